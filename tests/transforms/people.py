"""Users and social events through the pure functions, as the graph calls them, in one partition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline import tables
from transforms.users.social_events import keyed_events, of_kept_users, unique_events
from transforms.users.users import clean_users, unique_by_phone, unique_by_user_id, unique_documents

Rows = Sequence[Mapping[str, Any]]


@dataclass
class Collected:
    """What join functions gave: rows, tables by name, counts."""

    rows: pa.Table
    also: dict[str, pa.Table] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


def collect(results: Iterable[Any], counts: Counter[str] | None = None) -> Collected:
    """Gather results; the rows are one table."""
    rows, also, numbers = [], dict[str, list[pa.Table]](), Counter() if counts is None else counts
    for result in results:
        if isinstance(result, pa.Table):
            rows.append(result)
        elif isinstance(result[1], pa.Table):
            also.setdefault(result[0], []).append(result[1])
        else:
            numbers[result[0]] += result[1]
    return Collected(pa.concat_tables(rows), {name: pa.concat_tables(parts) for name, parts in also.items()}, numbers)


def unique_users(rows: Rows, excluded: Iterable[str] = ()) -> Collected:
    """Rows of `firebase.users` → unique users, `aliases` and `identities`."""
    counts = Counter[str]()
    users = collect(clean_users(pa.Table.from_pylist(list(rows), schema=tables.USERS.bare)), counts).rows
    for step in (unique_documents, unique_by_user_id):
        users = collect(step({"users": users}), counts).rows
    return collect(unique_by_phone(frozenset(excluded))({"users": users}), counts)


def social_events(rows: Rows, aliases: pa.Table) -> Collected:
    """Rows of `firebase.events` → unique events of the kept users."""
    counts = Counter[str]()
    events = collect(keyed_events(pa.Table.from_pylist(list(rows), schema=tables.FIREBASE_EVENTS.bare)), counts).rows
    events = collect(unique_events({"events": events}), counts).rows
    return collect(of_kept_users({"events": events, "aliases": aliases}), counts)
