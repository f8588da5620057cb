"""Which sessions a run goes on with, whose they are, and how they differ from what is published.

A full load uses what it aggregated. Other runs aggregated only the events of their scan:
`transforms.sessions.concluded` says which sessions they have read whole, and of which the published facts stay.

Here, where both are at hand, facts are compared with what is published; the columns that are only made later
(`transforms.sessions.rows`) travel along as `_was_…`, so that no second join by session is needed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.events.session_blocks import session_blocks
from transforms.ids.excluded import Excluded
from transforms.incremental.unsettled import UNSETTLED, as_text
from transforms.incremental.window import Window
from transforms.machinery.join import JoinByKey, Outcome, Result, Side
from transforms.machinery.steps import flat_map
from transforms.published.changes import equal
from transforms.sessions.concluded import choose
from transforms.sessions.facts import ARRIVAL, ROWS
from transforms.sessions.owners import (
    MATCHES,
    PERSON,
    canonical_acquisition,
    differences,
    have_excluded_user,
    latest_acquisition,
    with_person,
)

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
    window: Window, excluded: frozenset[str], facts_schema: pa.Schema, sessions_schema: pa.Schema
) -> Callable[[dict[str, pa.Table]], Iterator[Result]]:
    """The join function of `facts` (of the scan), `published`, `matches`, `acquisition` and `unsettled` by session id.

    Gives rows of `settled_schema`, counts of input rows (`kept`, `duplicates`, `filtered.<reason>`) and of sessions,
    and a text (`unsettled.as_text`) of each session that waits for a backfill.
    """
    listed = Excluded(excluded)
    target = settled_schema(facts_schema, sessions_schema)
    fact_names = [field.name for field in facts_schema if field.name not in (ROWS, ARRIVAL)]

    def settled(tables: dict[str, pa.Table]) -> Iterator[Result]:
        facts, published, matches = tables["facts"], tables["published"], tables["matches"]
        keys = published.column("session_id").combine_chunks()
        position = pc.index_in(facts.column("session_id"), value_set=keys)
        surprising = np.zeros(facts.num_rows, bool)
        if window.is_full:
            use, stay = np.ones(facts.num_rows, bool), np.zeros(published.num_rows, bool)
        else:
            choice = choose(window, listed, facts, published, tables["unsettled"])
            use, stay, surprising = choice.use, choice.stay, choice.surprising
            for reason, where in (("too_old", choice.stale), ("untouched", ~use & ~choice.stale)):
                rows = int(_ints(facts.column(ROWS))[where].sum())
                if rows:
                    yield f"filtered.session_{reason}", rows
            if choice.waiting:
                yield "sessions.too_old", len(choice.waiting)
                yield from itertools.starmap(as_text, choice.waiting.items())
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
        before = published.take(position)
        same = same_in(fact_names, fresh, before)
        if surprises := int((surprising[use] & ~same).sum()):
            yield "sessions.later_than_overlap", surprises
        known = np.asarray(pc.is_valid(before.column("session_id")))
        same &= same_in(PERSON.names, fresh, before)
        yield _beside(fresh, before, np.where(known, np.where(same, SAME, DIFFERENT), NEW), target)
        yield _beside(old, staying, np.where(same_in(PERSON.names, old, staying), SAME, DIFFERENT), target)
        yield _beside(gone, gone, np.full(gone.num_rows, GONE), target)

    return settled


class SettleSessions(beam.PTransform):
    """(facts, published, matches, acquisition, unsettled) → `Outcome` of `settled_schema`; `texts` are those that wait.

    `facts` come from this run's events (`facts_schema`), `published` are rows of the sessions table as last
    published, `matches` are `MATCHES` of both, `acquisition` rows of PostHog's sessions, `unsettled` are `UNSETTLED`
    of events that came too late for the window, now or before; facts come as a tuple of
    PCollection[(block, pa.RecordBatch)], the others as PCollection[pa.RecordBatch].
    """

    def __init__(
        self,
        window: Window,
        excluded: frozenset[str],
        schemas: tuple[pa.Schema, pa.Schema, pa.Schema],
        blocks: int,
    ) -> None:
        super().__init__()
        facts, sessions, acquisition = schemas
        self._function = settle(window, excluded, facts, sessions)
        self._sides = {
            "facts": Side("session_id", facts, session_blocks),
            "published": Side("session_id", sessions, session_blocks),
            "matches": Side("session_id", MATCHES, session_blocks),
            "acquisition": Side("session_id", acquisition, session_blocks),
            "unsettled": Side("session_id", UNSETTLED, session_blocks),
        }
        self._blocks = blocks

    def expand(self, inputs: tuple[Any, ...]) -> Outcome:
        """One shuffle by block of sessions: facts are in their blocks already."""
        *others, acquisition, unsettled = inputs
        canonical = acquisition | "Canonical ids" >> flat_map(canonical_acquisition)
        sides = dict(zip(self._sides, (*others, canonical, unsettled), strict=True))
        return sides | "Join by session" >> JoinByKey(self._function, self._sides, self._blocks)


def same_in(names: Sequence[str], rows: pa.Table, before: pa.Table) -> _Bools:
    """Whether rows have the published values in these columns; `before` has nulls where nothing is published."""
    same = np.asarray(pc.is_valid(before.column("session_id"))).copy()
    for name in names:
        same &= equal(rows.column(name), before.column(name))
    return same


def _beside(rows: pa.Table, before: pa.Table, states: npt.NDArray[np.int64], target: pa.Schema) -> pa.Table:
    """Rows of `target`: the columns that they have, their state, and the published values of the others.

    Args:
      rows: facts with person.
      before: the published row of each, nulls for none.
      states: of each.
      target: the schema.
    """
    columns = []
    for field in target:
        if field.name == STATE:
            columns.append(pa.array(states.astype(np.int8)))
        elif field.name.startswith(_WAS):
            columns.append(before.column(field.name.removeprefix(_WAS)))
        else:
            columns.append(rows.column(field.name))
    return pa.table(columns, schema=target)


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


def _ints(values: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return np.asarray(values.to_numpy())
