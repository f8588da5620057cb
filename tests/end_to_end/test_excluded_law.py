"""The law for excluded persons: whatever happens to their accounts, an incremental run ends where a full load would.

On the pure functions. No table remembers the events that were left out, so a run that finds an excluded id standing
for other accounts than before is a full load by itself.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import RunError
from pipeline.plan import Request
from tests.builders import SMALL_METRICS, at, event
from tests.pure import Model
from transforms.incremental.watermark import SUPPORT

HOUR = 3_600
DAY = 24 * HOUR
PHONE, OTHER = "+12015550100", "+12015550101"
ANN, BOB = {"user_id": "u-ann", "phoneNumber": PHONE}, {"user_id": "u-bob", "phoneNumber": OTHER}
ALIAS = {"user_id": "u-alias", "phoneNumber": "001 201 555 0100", "fullName": "Ann Example"}
#: Sessions by the distinct ids of their events, in order.
SESSIONS = {
    "phone": [PHONE],
    "mixed": ["anon", PHONE, "anon"],
    "by-id": ["anon", "u-ann"],
    "alias": ["u-alias"],
    "two": [OTHER, "0012015550100"],
    "bob": ["u-bob", "anon-2"],
    "nobody": ["anon-2"],
}


def source() -> list[dict[str, Any]]:
    """The events of `SESSIONS`, of long ago, and a session of today, so that they lie before the next run's window."""
    rows = [
        event(100 * n + i, name, name="tap", distinct_id=who, seconds=n * DAY + i * 60)
        for n, (name, ids) in enumerate(SESSIONS.items())
        for i, who in enumerate(ids)
    ]
    return rows + [event(5_000 + n, "today", distinct_id="anon-3", seconds=99 * DAY + n) for n in range(SUPPORT)]


ROWS = source()


def full(excluded: frozenset[str], users: list[dict[str, Any]]) -> Model:
    model = Model(SMALL_METRICS, excluded=excluded)
    model.run(ROWS, users)
    return model


def sessions(model: Model) -> set[str]:
    return {row["session_id"] for row in model.content()["sessions"]} & set(SESSIONS)


@pytest.mark.parametrize("listed", [PHONE, "0012015550100", "u-ann", "u-alias"])
def test_who_is_excluded_is_gone_with_the_next_run(listed: str) -> None:
    users = [ANN, BOB, ALIAS]
    model = full(frozenset(), users)
    model.excluded = frozenset({listed})
    assert model.run(ROWS, users).mode == "incremental"
    assert sessions(model) == {"bob", "nobody"}
    assert model.content() == full(model.excluded, users).content()


@pytest.mark.parametrize(
    ("before", "after", "mode"),
    [
        ([BOB], [BOB, ANN], "full"),  # signs up
        ([ANN, BOB], [BOB], "full"),  # is deleted upstream
        ([ANN, BOB], [{**ANN, "phoneNumber": None}, BOB], "full"),  # gives up the number
        ([ANN, BOB], [{**ANN, "phoneNumber": None}, {**BOB, "phoneNumber": PHONE}], "full"),  # it changes hands
        ([ANN, BOB], [ANN, BOB, ALIAS], "full"),  # a second account
        ([ANN, BOB, ALIAS], [ALIAS, BOB], "full"),  # the account made anew stays alone
        ([ANN, BOB], [{**ANN, "fullName": "Ann Example"}, {**BOB, "phoneNumber": None}], "incremental"),
        ([ANN, BOB], [ANN], "incremental"),
        ([ANN], [ANN, BOB], "incremental"),
    ],
)
@pytest.mark.parametrize("listed", [PHONE, "u-ann"])
def test_what_happens_to_the_accounts_of_an_excluded_id(
    before: list[dict[str, Any]], after: list[dict[str, Any]], mode: str, listed: str
) -> None:
    model = full(frozenset({listed}), before)
    plan = model.run(ROWS, after)
    wanted = full(model.excluded, after).content()
    assert model.content() == wanted
    if listed == PHONE:
        assert plan.mode == mode
    assert model.run(ROWS, after).mode == "incremental"
    assert model.content() == wanted


def versions(*users: dict[str, Any], document: str | None = "d") -> list[dict[str, Any]]:
    """Rows of an export that appends a document whenever it changes."""
    return [{**user, "document_id": document, "etl_loaded_at": at(n)} for n, user in enumerate(users)]


@pytest.mark.parametrize("document", ["d", None])
@pytest.mark.parametrize("listed", [PHONE, "u-ann"])
def test_what_an_account_was_in_earlier_versions_of_its_document_says_nothing(
    listed: str, document: str | None
) -> None:
    without = {**ANN, "phoneNumber": None}
    rows = versions(ANN, without, ANN, without, {"user_id": None} if document else ANN, document=document)
    model = full(frozenset({listed}), rows[:1])
    for number in range(2, len(rows) + 1):
        model.run(ROWS, rows[:number])
        assert model.content() == full(model.excluded, rows[:number]).content()


def test_who_asks_to_be_deleted_stays_away_when_a_later_version_has_emptied_the_account() -> None:
    before, after = versions(ANN), versions(ANN, {"user_id": None})
    named, half = (Model(SMALL_METRICS, requested=frozenset(ids)) for ids in (("u-ann", PHONE), ("u-ann",)))
    today = [*ROWS, event(9_000, "new", distinct_id=PHONE, seconds=99 * DAY)]
    for model in (named, half):
        model.run(ROWS, before)
    assert named.run(today, after).mode == "incremental"
    with pytest.raises(RunError, match="deletion requests would come back"):
        half.run(today, after)
    for model in (named, half):
        assert not {"new", "phone", "mixed", "by-id"} & {row["session_id"] for row in model.content()["sessions"]}


@settings(max_examples=8)
@given(st.randoms(use_true_random=False))
def test_any_history_of_accounts(rng: random.Random) -> None:
    people = [ANN, BOB, ALIAS, {**ANN, "phoneNumber": OTHER}, {**BOB, "phoneNumber": None}, {"user_id": "u-a"}]
    model = Model(SMALL_METRICS)
    for _ in range(4):
        users = rng.sample(people, rng.randint(0, 4))
        model.excluded |= frozenset(rng.sample([PHONE, OTHER, "u-ann", "anon"], rng.choice([0, 0, 1])))
        model.run(ROWS, users)
        assert model.content() == full(model.excluded, users).content()


def test_who_is_taken_off_the_list_comes_back_with_a_full_load_and_is_remembered_until_then() -> None:
    users = [ANN, BOB]
    model = full(frozenset({PHONE, "anon-2"}), users)
    model.excluded = frozenset({"anon-2"})
    for _ in range(2):
        model.run(ROWS, users)
        assert "phone" not in sessions(model)
        assert len(model.ledger[-1]["excluded_marks"].split(",")) == 2
    model.run(ROWS, users, request=Request(full_load=True))
    assert model.content() == full(model.excluded, users).content()
    assert len(model.ledger[-1]["excluded_marks"].split(",")) == 1


def test_who_is_taken_off_comes_back_in_whole_sessions_also_from_an_empty_list() -> None:
    reached = (full(frozenset(), []).ledger[-1]["watermark"] - at(0)).total_seconds()
    begin = reached - 5 * DAY  # of the window
    hidden = [event(n, "hidden", distinct_id=PHONE, seconds=begin + hours * HOUR) for n, hours in enumerate((-2, 0, 2))]
    rows = [*ROWS, *hidden]
    model = Model(SMALL_METRICS, excluded=frozenset({PHONE}))
    model.run(rows)
    model.excluded = frozenset()
    for _ in range(2):
        assert model.run(rows).mode == "incremental"
        assert "hidden" not in {row["session_id"] for row in model.content()["sessions"]}
    model.run(rows, request=Request(full_load=True))
    assert [row["event_count"] for row in model.content()["sessions"] if row["session_id"] == "hidden"] == [3]


def test_a_session_with_an_excluded_id_is_never_made_anew_from_a_part_of_its_events() -> None:
    """The excluded id is nobody's, so the others' events of the session stay; a backfill of later days sees some."""
    long = [
        event(n, "long", distinct_id=who, seconds=n * 10 * HOUR)
        for n, who in enumerate(["anon", PHONE, "anon", "anon", "anon"])
    ]
    rows = [*long, *ROWS]
    model = Model(SMALL_METRICS)
    model.run(rows)
    model.excluded = frozenset({PHONE})
    day = at(0).date() + timedelta(days=2)
    model.run(rows, request=Request(start_date=day, end_date=day + timedelta(days=1)))
    [row] = [row for row in model.content()["sessions"] if row["session_id"] == "long"]
    assert row["event_count"] == 5
    model.run(rows)
    wanted = Model(SMALL_METRICS, excluded=model.excluded)
    wanted.run(rows)
    assert model.content() == wanted.content()
    [row] = [row for row in model.content()["sessions"] if row["session_id"] == "long"]
    assert (row["event_count"], row["distinct_ids"]) == (4, ["anon"])


def test_who_is_excluded_first_and_then_asks_to_be_deleted_is_gone_whatever_backfill_comes_between() -> None:
    """Of the list's id only the events go, of the request's all sessions; and which they are, no row tells anymore."""
    model = full(frozenset({PHONE}), [])
    assert "mixed" in sessions(model)
    model.requested = frozenset({PHONE})
    day = at(60 * DAY).date()
    model.run(ROWS, request=Request(start_date=day, end_date=day + timedelta(days=1)))
    model.run(ROWS)
    wanted = Model(SMALL_METRICS, excluded=model.excluded, requested=model.requested)
    wanted.run(ROWS)
    assert model.content() == wanted.content()
    assert "mixed" not in sessions(model)


@pytest.mark.parametrize("listed", [frozenset[str](), frozenset({PHONE})])
def test_a_request_that_only_the_list_follows_brings_nobody_back_by_itself(listed: frozenset[str]) -> None:
    model = Model(SMALL_METRICS, excluded=listed, requested=frozenset({PHONE}))
    model.run(ROWS)
    model.excluded, model.requested = frozenset({PHONE}), frozenset()
    some_days = Request(start_date=at(0).date(), end_date=at(9 * DAY).date())
    for request in (None, some_days):
        with pytest.raises(RunError, match="deletion requests would come back"):
            model.run(ROWS, request=request)
    model.run(ROWS, request=Request(full_load=True))
    assert model.content() == full(model.excluded, []).content()
