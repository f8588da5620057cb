"""Users and social events through the pure functions, as the graph calls them, in one partition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline import tables
from transforms.machinery.join import Results
from transforms.users.deeds import INVITES, SOCIAL_EVENTS, Deeds, keyed, of_kept_users, unique
from transforms.users.users import clean_users, unique_by_phone, unique_by_user_id, unique_documents

Rows = Sequence[Mapping[str, Any]]


@dataclass
class Collected:
    """What join functions gave: rows, tables by name, counts."""

    rows: pa.Table
    also: dict[str, pa.Table] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


def collect(results: Results, counts: Counter[str] | None = None) -> Collected:
    """Results with the tables of an output as one; `counts` gathers those of several."""
    numbers = Counter[str]() if counts is None else counts
    numbers.update(results.counts)
    also = {name: pa.concat_tables(parts) for name, parts in results.also.items() if parts}
    return Collected(pa.concat_tables(results.rows), also, numbers)


def unique_users(rows: Rows, excluded: Iterable[str] = ()) -> Collected:
    """Rows of `firebase.users` → unique users, `aliases` and `identities`."""
    counts = Counter[str]()
    users = collect(clean_users(pa.Table.from_pylist(list(rows), schema=tables.USERS.bare)), counts).rows
    for step in (unique_documents, unique_by_user_id):
        users = collect(step({"users": users}), counts).rows
    return collect(unique_by_phone(frozenset(excluded))({"users": users}), counts)


def social_events(rows: Rows, aliases: pa.Table, excluded: Iterable[str] = ()) -> Collected:
    """Rows of `firebase.events` → unique events of the kept users."""
    return _deeds(SOCIAL_EVENTS, pa.Table.from_pylist(list(rows), tables.FIREBASE_EVENTS.bare), aliases, excluded)


def invites(rows: Rows, aliases: pa.Table, excluded: Iterable[str] = ()) -> Collected:
    """Rows of `firebase.userinvites` → unique invites of the kept users."""
    return _deeds(INVITES, pa.Table.from_pylist(list(rows), tables.USER_INVITES.bare), aliases, excluded)


def _deeds(deeds: Deeds, rows: pa.Table, aliases: pa.Table, excluded: Iterable[str]) -> Collected:
    counts = Counter[str]()
    known = collect(keyed(deeds)(rows), counts).rows
    latest = collect(unique(deeds)({"rows": known}), counts).rows
    return collect(of_kept_users(deeds, frozenset(excluded))({"rows": latest, "aliases": aliases}), counts)
