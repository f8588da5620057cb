"""What a run is made under, against what the tables were made under."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.errors import RunError
from pipeline.excluded import digest
from pipeline.marks import marks, together
from pipeline.terms import NOBODY, SEVERAL_LISTS, Terms

TERMS = Terms("metrics", excluded_digest=NOBODY, deletion_digest=NOBODY)
ANN = frozenset({"u-ann"})


@pytest.mark.parametrize(
    ("before", "now", "says"),
    [
        (replace(TERMS, excluded_digest=digest(ANN)), replace(TERMS, excluded_digest=None), "give --excluded_users"),
        (replace(TERMS, deletion_digest=digest(ANN)), replace(TERMS, deletion_digest=None), "deletion_requests"),
        (TERMS, replace(TERMS, metrics_digest="others"), "metric definitions changed"),
        (TERMS, replace(TERMS, privacy_key_id="0f"), "--privacy_key is another key"),
        (replace(TERMS, privacy_key_id="0f"), TERMS, "--privacy_key is another key"),
    ],
)
def test_other_terms_stop_a_run_in_one_line_that_says_what_to_do(before: Terms, now: Terms, says: str) -> None:
    with pytest.raises(RunError, match=says) as told:
        now.check(before, full_load=False)
    assert "\n" not in str(told.value)
    assert "--full_load" in str(told.value)


def test_a_full_load_takes_other_metrics_and_another_key_but_forgets_no_list() -> None:
    replace(TERMS, metrics_digest="others", privacy_key_id="0f").check(TERMS, full_load=True)
    for name in ("excluded_digest", "deletion_digest"):
        with pytest.raises(RunError):
            replace(TERMS, **{name: None}).check(replace(TERMS, **{name: digest(ANN)}), full_load=True)


def test_a_list_that_was_never_given_is_as_an_empty_one() -> None:
    never = Terms("metrics")
    never.check(TERMS, full_load=False)
    never.check(replace(TERMS, excluded_digest=""), full_load=False)  # as ledgers of old have it
    assert never.digests == TERMS.digests == (NOBODY, NOBODY)
    assert not never.leave_somebody_out
    assert replace(never, deletion_digest=digest(ANN)).leave_somebody_out


def test_a_run_of_some_days_does_not_end_the_work_of_a_changed_list() -> None:
    before = replace(TERMS, excluded_digest=digest(ANN), excluded_marks=marks(ANN, []))
    after = TERMS.after(before, of_some_days=True)
    assert (after.excluded_digest, after.deletion_digest) == (SEVERAL_LISTS, NOBODY)
    assert before.after(before, of_some_days=True) == before
    assert TERMS.after(before, of_some_days=False).excluded_digest == NOBODY


@pytest.mark.parametrize("of_some_days", [True, False])
def test_an_id_that_was_taken_off_is_remembered(of_some_days: bool) -> None:
    before = replace(TERMS, excluded_marks=marks(ANN, []), deletion_marks=marks(ANN, [], requested=True))
    after = TERMS.after(before, of_some_days=of_some_days)
    assert after.marks == before.marks == together(before.excluded_marks, before.deletion_marks)


def test_an_account_of_who_is_left_out_that_comes_takes_a_full_load() -> None:
    before = replace(TERMS, excluded_marks=marks(ANN, []))
    assert before.leave_out_the_accounts_of(before)
    known = replace(TERMS, excluded_marks=marks(ANN, [("u-ann", "+12015550100")]))
    assert not known.leave_out_the_accounts_of(before)
