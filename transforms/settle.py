"""Which sessions a run goes on with, whose they are, and how they differ from what is published.

A full load uses what it aggregated. An incremental run aggregated only the events of its window, so a
session's fresh facts count when the session is touched (an event arrived since the last run) and lies
whole in the window; every other session keeps its published facts. A backfill replaces the sessions that
start in its days.

Here, where both are at hand, facts are compared with what is published; the columns that are only made later
(`transforms.enrich`) travel along as `_was_…`, so that no second join by session is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.blocks import session_blocks
from transforms.changes import equal
from transforms.elements import flat_map
from transforms.excluded import Excluded
from transforms.identity import (
    MATCHES,
    PERSON,
    canonical_acquisition,
    differences,
    have_excluded_user,
    latest_acquisition,
    with_person,
)
from transforms.join import JoinByKey, Outcome, Result, Side
from transforms.scope import Scope
from transforms.sessions import ARRIVAL, ROWS

#: Column that says what is known of a row: a new session; facts and person as published; not so; not a session anymore.
STATE = "_state"
NEW, SAME, DIFFERENT, GONE = range(4)
_WAS = "_was_"
_Bools = npt.NDArray[np.bool_]


def was(name: str) -> str:
    """The column with the published value of a column."""
    return _WAS + name


def settled_schema(facts: pa.Schema, sessions: pa.Schema) -> pa.Schema:
    """The schema of `SettleSessions`: facts, person, `STATE`, and `was` of all other columns of `sessions`."""
    known = [field for field in facts if field.name not in (ROWS, ARRIVAL)] + list(PERSON)
    names = {field.name for field in known}
    carried = [field.with_name(was(field.name)) for field in sessions if field.name not in names]
    return pa.schema([*known, pa.field(STATE, pa.int8()), *carried])


def settle(
    scope: Scope, excluded: frozenset[str], facts_schema: pa.Schema, sessions_schema: pa.Schema
) -> Callable[[dict[str, pa.Table]], Iterator[Result]]:
    """The join function of `facts` (of the scan), `published`, `matches` and `acquisition` by session id.

    Gives rows of `settled_schema`, counts of input rows (`kept`, `duplicates`, `filtered.<reason>`), and the
    ids of sessions that are touched but too old for the window.
    """
    listed = Excluded(excluded)
    target = settled_schema(facts_schema, sessions_schema)
    fact_names = [field.name for field in facts_schema if field.name not in (ROWS, ARRIVAL)]

    def settled(tables: dict[str, pa.Table]) -> Iterator[Result]:
        facts, published, matches = tables["facts"], tables["published"], tables["matches"]
        keys = published.column("session_id").combine_chunks()
        position = pc.index_in(facts.column("session_id"), value_set=keys)
        if scope.is_full:
            use, stay = np.ones(facts.num_rows, bool), np.zeros(published.num_rows, bool)
        else:
            use, stale, stay = _choose(scope, listed, facts, published, position)
            for reason, where in (("too_old", stale), ("untouched", ~use & ~stale)):
                rows = int(_ints(facts.column(ROWS))[where].sum())
                if rows:
                    yield f"filtered.session_{reason}", rows
            if stale.any():
                yield from facts.column("session_id").filter(pa.array(stale)).to_pylist()
        is_fresh = matches.column("fresh")
        fresh_matches, old_matches = matches.filter(is_fresh), matches.filter(pc.invert(is_fresh))
        gone_with_user = use & have_excluded_user(facts, fresh_matches)
        stay &= ~have_excluded_user(published, old_matches)
        if gone_with_user.any():
            yield "filtered.excluded_user", int(_ints(facts.column(ROWS))[gone_with_user].sum())
        use &= ~gone_with_user
        facts, position = facts.filter(pa.array(use)), position.filter(pa.array(use))
        yield from row_counts(facts)

        acquisition = latest_acquisition(tables["acquisition"])
        fresh = with_person(facts.select(fact_names), fresh_matches, acquisition)
        staying = published.filter(pa.array(stay))
        old = with_person(staying.select(fact_names), old_matches, acquisition)
        for chosen in (fresh, old):
            yield from differences(chosen, acquisition)
        found = np.isin(np.arange(published.num_rows), np.asarray(position.fill_null(-1)))
        gone = published.filter(pa.array(~stay & ~found))
        before = published.take(position) if published.num_rows else None
        yield _beside(fresh, before, [*fact_names, *PERSON.names], target)
        yield _beside(old, staying, PERSON.names, target)
        yield _beside(gone, gone, [], target, state=GONE)

    return settled


class SettleSessions(beam.PTransform):
    """(facts, published, matches, acquisition) → `Outcome` of `settled_schema`; `texts` are sessions too old.

    `facts` come from this run's events (`facts_schema`), `published` are rows of the sessions table as last
    published, `matches` are `MATCHES` of both, `acquisition` rows of PostHog's sessions; facts come as a tuple of
    PCollection[(block, pa.RecordBatch)], the others as PCollection[pa.RecordBatch].
    """

    def __init__(
        self,
        scope: Scope,
        excluded: frozenset[str],
        schemas: tuple[pa.Schema, pa.Schema, pa.Schema],
        blocks: int,
    ) -> None:
        super().__init__()
        facts, sessions, acquisition = schemas
        self._function = settle(scope, excluded, facts, sessions)
        self._sides = {
            "facts": Side("session_id", facts, session_blocks),
            "published": Side("session_id", sessions, session_blocks),
            "matches": Side("session_id", MATCHES, session_blocks),
            "acquisition": Side("session_id", acquisition, session_blocks),
        }
        self._blocks = blocks

    def expand(self, inputs: tuple[Any, ...]) -> Outcome:
        """One shuffle by block of sessions: facts are in their blocks already."""
        *others, acquisition = inputs
        canonical = acquisition | "Canonical ids" >> flat_map(canonical_acquisition)
        sides = dict(zip(self._sides, (*others, canonical), strict=True))
        return sides | "Join by session" >> JoinByKey(self._function, self._sides, self._blocks)


def _beside(
    rows: pa.Table, before: pa.Table | None, names: Sequence[str], target: pa.Schema, state: int | None = None
) -> pa.Table:
    """Rows of `target`: the columns that they have, their state, and the published values of the others.

    Args:
      rows: facts with person.
      before: the published row of each, nulls for none; None when nothing is published.
      names: the columns that may differ.
      target: the schema.
      state: when it is known.
    """
    if before is None:
        states = np.full(rows.num_rows, NEW, np.int8)
    elif state is not None:
        states = np.full(rows.num_rows, state, np.int8)
    else:
        same = np.ones(rows.num_rows, bool)
        for name in names:
            same &= equal(rows.column(name), before.column(name))
        known = np.asarray(pc.is_valid(before.column("session_id")))
        states = np.where(known, np.where(same, SAME, DIFFERENT), NEW).astype(np.int8)
    columns = []
    for field in target:
        if field.name == STATE:
            columns.append(pa.array(states))
        elif not field.name.startswith(_WAS):
            columns.append(rows.column(field.name))
        elif before is None:
            columns.append(pa.nulls(rows.num_rows, field.type))
        else:
            columns.append(before.column(field.name.removeprefix(_WAS)))
    return pa.table(columns, schema=target)


def _choose(
    scope: Scope, excluded: Excluded, facts: pa.Table, published: pa.Table, position: pa.ChunkedArray
) -> tuple[_Bools, _Bools, _Bools]:
    """(fresh facts to use, of these touched but too old, published rows whose facts stay)."""
    banned = _has_any(published.column("distinct_ids"), excluded)
    start = _micros(facts.column("start_timestamp"))
    before = _micros(published.column("start_timestamp").take(position).fill_null(2**62))
    use, stale = (_in_days if scope.days else _touched)(scope, facts, start, before)
    row = np.asarray(position.fill_null(-1))
    if scope.scan_start is not None:  # a session with a banned id is made anew, whatever arrived
        again = np.append(banned, False)[row] & (before >= scope.scan_start)
        use, stale = use | again, stale & ~again
    replaced = np.isin(np.arange(published.num_rows), row[use])
    if scope.days:  # what starts in these days and was not found again is gone
        first, beyond = scope.days
        begins = _micros(published.column("start_timestamp"))
        replaced |= (begins >= first) & (begins < beyond)
    return use, stale, ~replaced & ~banned


def _touched(
    scope: Scope, facts: pa.Table, start: npt.NDArray[np.int64], before: npt.NDArray[np.int64]
) -> tuple[_Bools, _Bools]:
    """(use the fresh facts, touched but too old) for an incremental run."""
    assert scope.new_from is not None
    assert scope.scan_start is not None
    touched = _micros(facts.column(ARRIVAL)) >= scope.new_from
    unknown = before == 2**62
    whole = (before >= scope.scan_start) & (start >= scope.scan_start)
    return (touched | unknown) & whole, touched & ~whole


def _has_any(lists: pa.ChunkedArray, wanted: Excluded) -> _Bools:
    """Whether each list of distinct ids holds an excluded one."""
    found = np.zeros(len(lists), bool)
    flat = lists.combine_chunks()
    found[np.asarray(pc.list_parent_indices(flat))[wanted.mask(pc.list_flatten(flat))]] = True
    return found


def _in_days(
    scope: Scope, facts: pa.Table, start: npt.NDArray[np.int64], before: npt.NDArray[np.int64]
) -> tuple[_Bools, _Bools]:
    """(use the fresh facts, none) for a backfill: sessions that start in the days, now or as published."""
    assert scope.days is not None
    first, beyond = scope.days
    use = ((start >= first) & (start < beyond)) | ((before >= first) & (before < beyond))
    return use, np.zeros(len(use), bool)


def row_counts(facts: pa.Table) -> Iterator[tuple[str, int]]:
    """How the input rows of facts add up."""
    rows = _ints(facts.column(ROWS))
    events = _ints(facts.column("event_count"))
    oversized = np.asarray(facts.column("is_oversized"))
    kept = np.where(oversized, rows, events)  # beyond the limit duplicates cannot be told from events
    yield "kept", int(kept.sum())
    yield "duplicates", int((rows - kept).sum())
    if oversized.any():
        yield "sessions.oversized", int(oversized.sum())


def _micros(times: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return _ints(times.cast(pa.int64()))


def _ints(values: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return np.asarray(values.to_numpy())
