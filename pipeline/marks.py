"""What the ledger keeps of a list of excluded ids: enough to know what changed, and nobody whose ids they are. Pure.

JSON: per id a mark, and a mark of the accounts that it stands for. A mark is 24 bits of SHA-256: hundreds of phone
numbers have the same, and two ids of a list hardly ever.
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

NO_MARKS = "{}"
#: (user id, phone number) of a user.
Account: TypeAlias = tuple[str | None, str | None]


def marks(excluded: frozenset[str], accounts: Iterable[Account]) -> str:
    """The marks of a list.

    Args:
      excluded: the list.
      accounts: of users; those that share a user id or a number with a listed one must be among them.
    """
    listed = Excluded(excluded)
    users, phones = zip(*accounts, strict=True) if (accounts := list(accounts)) else ((), ())
    ids, forms = pa.array(users, pa.string()), phone_forms(pa.array(phones, pa.string()))
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
    return json.dumps({_mark(one): _mark("\n".join(sorted(found[one]))) for one in sorted(excluded)}, sort_keys=True)


def _components(rows: Iterable[Account]) -> list[list[Account]]:
    """Accounts that hang together by a user id or a phone number."""
    groups: list[tuple[set[tuple[str, str]], list[Account]]] = []
    for user, form in rows:
        keys = {(kind, text) for kind, text in (("user", user), ("phone", form)) if text is not None}
        joined = [group for group in groups if group[0] & keys]
        groups = [group for group in groups if not group[0] & keys]
        groups.append(
            (keys.union(*(known for known, _ in joined)), [*(row for _, some in joined for row in some), (user, form)])
        )
    return [some for _, some in groups]


def taken_off(before: str, now: str) -> int:
    """How many ids of the list with the marks `before` are not on the list with the marks `now`."""
    return len(json.loads(before).keys() - json.loads(now).keys())


def accounts_changed(before: str, now: str) -> bool:
    """Whether an id that is on both lists stands for other accounts."""
    earlier, later = json.loads(before), json.loads(now)
    return any(earlier[mark] != later[mark] for mark in earlier.keys() & later.keys())


def together(before: str, now: str) -> str:
    """Marks of both lists; of an id on both, as in `now`."""
    return json.dumps(json.loads(before) | json.loads(now), sort_keys=True)


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
