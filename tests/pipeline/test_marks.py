"""What the ledger remembers of a list of excluded ids."""

from __future__ import annotations

import pytest

from pipeline.marks import accounts_changed, coming_back, marks, not_named, taken_off, together

PHONE, OTHER = "+12015550100", "+12015550101"
ACCOUNTS = [("u-ann", PHONE), ("u-alias", "001 201 555 0100"), ("u-bob", OTHER), ("u-cid", None), (None, None)]


def test_marks_tell_what_was_taken_off_and_nothing_else() -> None:
    before = marks(frozenset({PHONE, "u-bob", "staff"}), ACCOUNTS)
    assert taken_off(before, before) == 0
    assert taken_off(before, marks(frozenset({PHONE, "u-bob", "staff", "more"}), ACCOUNTS)) == 0
    assert taken_off(before, marks(frozenset({PHONE, "more"}), ACCOUNTS)) == 2
    assert taken_off("{}", before) == 0
    for text in (PHONE, "2015550100", "u-bob", "staff", "u-ann"):
        assert text not in before
    assert marks(frozenset(), ACCOUNTS) == marks(frozenset(), []) == "{}"


@pytest.mark.parametrize("listed", [PHONE, "0012015550100", "u-ann", "u-alias"])
@pytest.mark.parametrize(
    ("accounts", "changed"),
    [
        (ACCOUNTS[::-1], False),
        ([*ACCOUNTS, ("u-new", None), ("u-other", OTHER)], False),
        ([*ACCOUNTS, ("u-ann", "12015550100")], False),  # another version of the same
        ([*ACCOUNTS, ("u-new", PHONE)], True),
        ([("u-ann", None), *ACCOUNTS[1:]], True),
        (ACCOUNTS[1:], True),
        ([ACCOUNTS[0], *ACCOUNTS[2:]], True),
    ],
)
def test_it_shows_when_an_id_stands_for_other_accounts(
    listed: str, accounts: list[tuple[str | None, str | None]], changed: bool
) -> None:
    before, now = (marks(frozenset({listed, "staff"}), rows) for rows in (ACCOUNTS, accounts))
    assert accounts_changed(before, now) == changed
    assert not accounts_changed("{}", now)


def test_another_row_of_the_same_user_can_decide_about_the_number() -> None:
    rows = [("u-ann", OTHER), ("u-ann", PHONE)]
    assert accounts_changed(marks(frozenset({OTHER}), rows), marks(frozenset({OTHER}), rows[:1]))


@pytest.mark.parametrize("nobody", ["", " ", "undefined", "0000000"])
def test_accounts_without_a_number_or_an_id_have_nothing_in_common(nobody: str) -> None:
    before = [("u-ann", nobody), (nobody, OTHER), ("u-bob", OTHER)]
    now = [*before, ("u-new", nobody), (nobody, PHONE)]
    for listed in ("u-ann", OTHER):
        for requested in (False, True):
            one, other = (marks(frozenset({listed}), accounts, requested=requested) for accounts in (before, now))
            assert one == other
    assert not_named(marks(frozenset({"u-ann"}), before, requested=True)) == 0


def test_an_id_without_account_that_gets_one_has_changed() -> None:
    before, now = (marks(frozenset({PHONE}), rows) for rows in ([], ACCOUNTS))
    assert accounts_changed(before, now)


def test_of_an_id_on_two_lists_the_later_accounts_count() -> None:
    before, now = (marks(frozenset({PHONE, only}), rows) for only, rows in (("a", []), ("b", ACCOUNTS)))
    both = together(before, now)
    assert taken_off(both, now) == 1
    assert not accounts_changed(both, now)
    assert accounts_changed(together(now, before), now)


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
