"""What the ledger keeps of a list of excluded ids: enough to know what changed, and nobody whose ids they are. Pure.

JSON: per id a mark, and a mark of the accounts that it stands for. A mark is 24 bits of SHA-256: hundreds of phone
numbers have the same, and of a list of thousands two ids may. Then a run can be a full load that was not needed, or not
say that one of the two was taken off.

Of a deletion request the accounts are those that requests do not name wholly, by user id and phone number. What is
named is gone whatever becomes of the account, so such an account may come and go; what only the account tells of would
come back when it goes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.ids.excluded import Excluded
from transforms.ids.phones import phone_forms
from transforms.ids.posthog_rules import known_ids

NO_MARKS = "{}"
#: Before the mark of a request's accounts: the list and a request leave out different things.
_REQUESTED = "+"
#: A request's accounts are all named; there is none.
_NAMED, _NOBODYS = "named", "nobody"
#: (user id, phone number) of a user.
Account: TypeAlias = tuple[str | None, str | None]


def marks(excluded: frozenset[str], accounts: Iterable[Account], *, requested: bool = False) -> str:
    """The marks of a list.

    Args:
      excluded: the list.
      accounts: of users; those that share a user id or a number with a listed one must be among them.
      requested: whether it is of deletion requests.
    """
    listed = Excluded(excluded)
    users, phones = zip(*accounts, strict=True) if (accounts := list(accounts)) else ((), ())
    ids = known_ids(pa.array(users, pa.string()))
    forms = phone_forms(known_ids(pa.array(phones, pa.string())))
    reached = listed.mask(ids) | listed.mask(forms)
    hits = reached & False
    while (reached & ~hits).any():  # who has a user id or a number of them may be kept instead of them
        hits = reached
        for column in (ids, forms):
            theirs = pc.unique(column.filter(pa.array(hits))).drop_null()
            reached = reached | np.asarray(pc.is_in(column, theirs))
    found: dict[str, set[str]] = {one: set() for one in excluded}
    rows = [(user, form) for user, form, hit in zip(ids.to_pylist(), forms.to_pylist(), hits, strict=True) if hit]
    for group in _components(rows):
        named = {one for row in group for one in listed.listed(pa.array(row, pa.string()).drop_null())}
        for one in named:
            found[one] |= {f"{user} {form}" for user, form in group}
    if requested:
        unnamed = {f"{user} {form}" for user, form in rows if not listed.has_all(user, form)}
        return json.dumps({_mark(one): _requested(found[one], unnamed) for one in sorted(excluded)}, sort_keys=True)
    return json.dumps({_mark(one): _mark("\n".join(sorted(found[one]))) for one in sorted(excluded)}, sort_keys=True)


def _requested(accounts: set[str], unnamed: set[str]) -> str:
    if not accounts:
        return _NOBODYS
    return _REQUESTED + _mark("\n".join(sorted(accounts))) if accounts & unnamed else _NAMED


def _components(rows: Iterable[Account]) -> list[list[Account]]:
    """Accounts that hang together by a user id or a phone number."""
    group_of: dict[tuple[str, str], int] = {}
    groups: dict[int, tuple[set[tuple[str, str]], list[Account]]] = {}
    for number, (user, form) in enumerate(rows):
        keys = {(kind, text) for kind, text in (("user", user), ("phone", form)) if text is not None}
        some: list[Account] = []
        for other in {group_of[key] for key in keys if key in group_of}:
            their_keys, theirs = groups.pop(other)
            keys, some = keys | their_keys, [*some, *theirs]
        groups[number] = keys, [*some, (user, form)]
        group_of |= dict.fromkeys(keys, number)
    return [some for _, some in groups.values()]


def taken_off(before: str, now: str) -> int:
    """How many ids of the list with the marks `before` are not on the list with the marks `now`."""
    return len(json.loads(before).keys() - json.loads(now).keys())


def accounts_changed(before: str, now: str) -> bool:
    """Whether an id that is on both lists stands for other accounts."""
    earlier, later = json.loads(before), json.loads(now)
    return any(not _is_same(earlier[mark], later[mark]) for mark in earlier.keys() & later.keys())


def not_named(requests: str) -> int:
    """How many ids of deletion requests stand for accounts that requests do not name wholly."""
    return sum(mark not in (_NAMED, _NOBODYS) for mark in json.loads(requests).values())


def coming_back(before: str, now: str) -> int:
    """Of how many ids of deletion requests something would come back in a full load: the request is not there anymore,
    or an account that it did not name has changed. `before` and `now` are marks of requests only."""
    later = json.loads(now)
    return sum(
        one not in later or not (_is_same(mark, later[one]) or mark in (_NAMED, _NOBODYS) or later[one] == _NAMED)
        for one, mark in json.loads(before).items()
    )


def together(before: str, now: str) -> str:
    """Marks of both lists; of an id on both, as in `now`."""
    return json.dumps(json.loads(before) | json.loads(now), sort_keys=True)


def without(some: str, others: str) -> str:
    """The marks of ids that are not among others."""
    left = json.loads(others)
    return json.dumps({one: mark for one, mark in json.loads(some).items() if one not in left}, sort_keys=True)


def _is_same(before: str, now: str) -> bool:
    """Whether what an id stands for leaves out the same; a named account may come and go."""
    return before == now or {before, now} == {_NAMED, _NOBODYS}


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
