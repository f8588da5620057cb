"""Which requests to be deleted hold, what the ledger remembers of them, and when a run must not go on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from pipeline import tables
from pipeline.errors import RunError
from pipeline.excluded import digest, requested
from pipeline.marks import accounts_changed, coming_back, marks, not_named, taken_off, together
from pipeline.plan import LastRun, Plan, Request, make_plan
from pipeline.terms import NOBODY, SEVERAL_LISTS, Terms

NOW = datetime(2026, 1, 5, tzinfo=UTC)
LATER = NOW + timedelta(microseconds=1)
PHONE, OTHER = "+12015550100", "+12015550101"
ACCOUNTS = [("u-ann", PHONE), ("u-alias", "001 201 555 0100"), ("u-bob", OTHER)]


def rows(*values: tuple[str | None, str | None, datetime | None]) -> pa.Table:
    names = tables.DELETION_REQUESTS.schema.names
    content = [dict(zip(names, row, strict=True)) for row in values]
    return pa.Table.from_pylist(content, schema=tables.DELETION_REQUESTS.bare)


def test_requests_that_hold_by_now() -> None:
    found = requested(
        rows(
            ("u-1", " +1 201 ", None),
            ("u-1", None, NOW),
            (None, "anon", NOW),
            ("u-later", None, LATER),
            ("undefined", "", LATER),
            (None, None, None),
        ),
        NOW,
    )
    assert found.ids == {"u-1", "+1 201", "anon"}
    assert dict(found.counts) == {"deletion.waiting": 1, "deletion.incomplete": 2}
    assert requested(rows(), NOW).ids == frozenset()
    assert requested(rows(("u-later", None, LATER)), LATER).ids == {"u-later"}


def test_a_table_in_which_no_row_names_anybody_is_wrong() -> None:
    with pytest.raises(RunError, match="no row of deletion_requests"):
        requested(rows((None, None, NOW), ("null", "0", NOW)), NOW)


def request_marks(*ids: str, accounts: list[tuple[str | None, str | None]] = ACCOUNTS) -> str:
    return marks(frozenset(ids), accounts, requested=True)


def test_an_account_that_requests_name_wholly_may_change() -> None:
    whole = request_marks("u-ann", "12015550100", "u-alias")
    assert not_named(whole) == 0
    for accounts in ([], ACCOUNTS[:1], [("u-ann", None)], [("u-alias", PHONE)]):
        now = request_marks("u-ann", "12015550100", "u-alias", accounts=accounts)
        assert not accounts_changed(whole, now)
        assert not accounts_changed(now, whole)
        assert not_named(now) == 0
    part = request_marks("u-ann", "12015550100")
    assert not_named(part) == 2  # the alias
    assert coming_back(part, request_marks("u-ann", "12015550100", accounts=[])) == 2
    assert coming_back(part, whole) == 0
    assert accounts_changed(part, whole)
    assert not accounts_changed(whole, request_marks("u-ann", "12015550100", "u-alias", accounts=[]))
    assert coming_back(part, part) == coming_back(whole, whole) == 0
    assert coming_back(whole, request_marks("u-ann", "u-alias")) == 1


def test_a_list_and_a_request_are_not_the_same() -> None:
    listed = marks(frozenset({"staff"}), [])
    assert listed != request_marks("staff", accounts=[])
    assert taken_off(listed, request_marks("staff")) == 0
    assert coming_back(request_marks("staff"), listed) == 0


LAST = LastRun("run-1", NOW, "digest", NOBODY)


def planned(previous: LastRun, request: Request | None = None, *, known: str | None = NOBODY, now: str = "{}") -> Plan:
    return make_plan(
        request or Request(),
        previous,
        now=NOW,
        terms=Terms("digest", deletion_digest=known, deletion_marks=now),
    )


@pytest.mark.parametrize("request_", [Request(), Request(full_load=True)])
def test_a_run_does_not_forget_the_table(request_: Request) -> None:
    for before in (digest(frozenset({"a"})), SEVERAL_LISTS):
        with pytest.raises(RunError, match="no table deletion_requests in --privacy_dataset"):
            planned(replace(LAST, deletion_digest=before), request_, known=None)
        assert planned(replace(LAST, deletion_digest=before), request_)
    assert planned(LAST, request_, known=None)


def test_only_a_full_load_that_is_asked_for_brings_somebody_back() -> None:
    before = replace(LAST, deletion_marks=request_marks("u-ann", "u-bob"))
    gone = request_marks("u-ann", "u-bob", accounts=ACCOUNTS[:2])
    with pytest.raises(RunError, match="1 ids of deletion requests would come back"):
        planned(before, now=gone)
    assert planned(before, Request(full_load=True), now=gone).mode == "full"
    removed = planned(before, now=request_marks("u-ann"))
    assert removed.mode == "incremental"
    kept = removed.terms_after(Terms("digest", deletion_marks=request_marks("u-ann"))).deletion_marks
    assert kept == together(before.deletion_marks, request_marks("u-ann")) == before.deletion_marks


def test_a_listed_id_that_is_requested_takes_a_full_load() -> None:
    listed = replace(LAST, excluded_marks=marks(frozenset({"u-ann"}), []), excluded_digest="x")
    plan = make_plan(
        Request(),
        listed,
        now=NOW,
        terms=Terms(
            "digest",
            excluded_digest=NOBODY,
            deletion_digest="x",
            deletion_marks=request_marks("u-ann", accounts=[]),
        ),
    )
    assert plan.mode == "full"


def test_a_backfill_does_not_end_the_work_of_requests() -> None:
    days = Request(start_date=NOW.date(), end_date=LATER.date() + timedelta(days=1))
    plan = planned(LAST, days, known="other")
    assert plan.terms_after(Terms("digest", deletion_digest="other")).deletion_digest == SEVERAL_LISTS
    assert planned(LAST, days).terms_after(Terms("digest", deletion_digest=NOBODY)).deletion_digest == NOBODY
