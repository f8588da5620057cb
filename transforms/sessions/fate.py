"""The fate of every session, decided here: made of this run's facts, kept with those that are published, or gone.

A full load uses what it aggregated. Other runs aggregated only the events of their scan:
`transforms.sessions.concluded` says which sessions they have read whole, and of which the published facts stay.

The published row goes along as one nullable struct, so that `transforms.sessions.rows`, which makes the other columns,
can say what changed without a second join by session. Facts that stay are those of the struct, and travel once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.events.session_blocks import session_blocks
from transforms.ids.excluded import Excluded
from transforms.ids.pseudonyms import PLAIN, Pseudonyms
from transforms.incremental.unsettled import UNSETTLED, unsettled_rows
from transforms.incremental.window import Window
from transforms.machinery.counts import some_of
from transforms.machinery.join import JoinByKey, Outcome, Results, Side
from transforms.machinery.keys import positions, rows_of_structs, structs_of
from transforms.machinery.record_batches import where
from transforms.machinery.steps import flat_map
from transforms.published.changes import Bools, LoadedBy, Target, compare
from transforms.schemas.fields import BOOLEAN, bare
from transforms.schemas.inputs import POSTHOG_SESSIONS
from transforms.sessions.concluded import Choice, choose, excluded_ids
from transforms.sessions.facts import ARRIVAL, LINKS, ROWS
from transforms.sessions.links import involved_persons, link_rows
from transforms.sessions.owners import (
    MATCHES,
    PERSON,
    canonical_acquisition,
    differences,
    have_excluded_user,
    latest_acquisition,
    with_person,
)

#: Columns beside facts and person: the published row, null for none; whether nothing of this run says why the facts
#: should be other than published; whether the session is none anymore.
PUBLISHED, SURPRISING, GONE = "_published", "_surprising", "_gone"
#: The outputs beside sessions that are made anew: published rows that stay or go; sessions that wait for a backfill;
#: rows of `session_links` with their change; who did what with which social event, by all rows that there are now.
STAYING, WAITING, LINKED, WHO = "staying", "waiting", "linked", "who"


def fresh_schema(facts: pa.Schema, sessions: pa.Schema) -> pa.Schema:
    """Sessions made of this run's facts: facts, person, `SURPRISING`, and `PUBLISHED` if there is a row."""
    return pa.schema([*fact_fields(facts), *PERSON, pa.field(SURPRISING, BOOLEAN), _published(sessions)])


def staying_schema(sessions: pa.Schema) -> pa.Schema:
    """Sessions that are published: whose they are now, `GONE`, and the row, which has their facts."""
    return pa.schema([*PERSON, pa.field(GONE, BOOLEAN), _published(sessions)])


def fact_fields(facts: pa.Schema) -> list[pa.Field]:
    """The facts that are columns of `sessions`."""
    return [field for field in facts if field.name not in (ROWS, ARRIVAL, LINKS)]


def _published(sessions: pa.Schema) -> pa.Field:
    return pa.field(PUBLISHED, pa.struct(list(sessions)))


@dataclass(frozen=True)
class Sessions:
    """Sessions of a run whatever their fate: first those that are made of this run's facts, then the others."""

    rows: pa.Table
    """Facts and person."""
    before: pa.Table
    """The published row of each, nulls for none."""
    known: Bools
    """Whether there is one."""
    gone: Bools
    """Whether it is no session anymore."""
    fresh: int
    """How many are made of this run's facts."""
    surprising: Bools
    """Of these: nothing says why their facts should be other than published."""

    @classmethod
    def of(cls, fresh: pa.Table, staying: pa.Table, facts: pa.Schema) -> Sessions:
        """From rows of `fresh_schema` and of `staying_schema`."""
        names = [field.name for field in fact_fields(facts)]
        new, old = (rows_of_structs(rows.column(PUBLISHED)) for rows in (fresh, staying))
        theirs = staying.select(PERSON.names)
        for name in names:
            theirs = theirs.append_column(name, old.column(name))
        columns = [*names, *PERSON.names]
        rows = pa.concat_tables([fresh.select(columns), theirs.select(columns)]).combine_chunks()
        known = np.append(np.asarray(pc.is_valid(fresh.column(PUBLISHED))), np.ones(staying.num_rows, bool))
        gone = np.append(np.zeros(fresh.num_rows, bool), np.asarray(staying.column(GONE)))
        surprising = np.asarray(fresh.column(SURPRISING))
        return cls(rows, pa.concat_tables([new, old]), known.astype(bool), gone.astype(bool), len(fresh), surprising)


@dataclass(frozen=True)
class Conclude:
    """The join function of `facts` (of the scan), `published`, published `links`, `matches`, `acquisition` and
    `unsettled` by session id.

    Gives rows of `fresh_schema`; `STAYING` of `staying_schema`; `UNSETTLED` of each session that waits for a backfill;
    `LINKED`; `WHO` (`INVOLVED`); counts of input rows (`kept`, `duplicates`, `filtered.<reason>`), of sessions and of
    changed links.
    """

    window: Window
    excluded: frozenset[str]
    """Distinct ids and user ids, hashes where ids are hashed."""
    facts: pa.Schema
    sessions: pa.Schema
    links: Target
    loaded_by: LoadedBy
    pseudonyms: Pseudonyms = PLAIN

    def __call__(self, tables: dict[str, pa.Table]) -> Results:
        """The results of one block of sessions."""
        found, published, matches = tables["facts"], tables["published"], tables["matches"]
        choice = choose(self.window, self._listed, found, published, tables["unsettled"])
        is_fresh = matches.column("fresh")
        now, before = matches.filter(is_fresh), matches.filter(pc.invert(is_fresh))
        theirs = choice.use & have_excluded_user(found, now)
        use, stay = choice.use & ~theirs, choice.stay & ~have_excluded_user(published, matches)

        used, kept = where(found, use), where(published, stay)
        row = positions(used, published, ["session_id"])
        replaced = np.isin(np.arange(published.num_rows), np.asarray(row.fill_null(-1)))
        gone = published.filter(pa.array(~stay & ~replaced))
        of_excluded = have_excluded_user(gone, before) | excluded_ids(gone, self._listed)[1]

        acquisition = latest_acquisition(tables["acquisition"])
        names = [field.name for field in fact_fields(self.facts)]
        fresh = with_person(used.select(names), now, acquisition, self.pseudonyms)
        owned = with_person(kept.select(names), before, acquisition, self.pseudonyms)
        counts = _of_no_session(found.column(ROWS), choice, theirs, full=self.window.is_full)
        counts.update(some_of({"excluded.sessions": int(of_excluded.sum())}))
        for some in (row_counts(used), differences(fresh, acquisition), differences(owned, acquisition)):
            counts.update(some)
        made, staying = fresh_schema(self.facts, self.sessions), staying_schema(self.sessions)
        also = {
            STAYING: [_staying(owned, kept, staying, gone=False), _staying(gone, gone, staying, gone=True)],
            WAITING: [pa.Table.from_batches([_waiting(choice)])],
        }
        linked = self._linked(used, kept, tables["links"], [fresh, owned])
        rows = _fresh(fresh, choice.surprising[use], published, row, made)
        counts.update(linked.counts)
        return Results([rows], {**also, **linked.also}, counts)

    @cached_property
    def _listed(self) -> Excluded:
        return Excluded(self.excluded)

    def _linked(self, used: pa.Table, kept: pa.Table, before: pa.Table, persons: list[pa.Table]) -> Results:
        """What the links of the sessions become: `LINKED`, `WHO`, and their counts."""
        rows = link_rows(used, kept.column("session_id"), before, self.links)
        changed = compare(self.links, self.loaded_by)({"rows": rows, "published": before})
        theirs = pa.concat_tables([some.select(["session_id", "person_id"]) for some in persons]).combine_chunks()
        return Results([], {LINKED: changed.rows, WHO: [involved_persons(rows, theirs)]}, changed.counts)


def _fresh(owned: pa.Table, surprising: Bools, published: pa.Table, row: pa.Int64Array, schema: pa.Schema) -> pa.Table:
    """Rows of `fresh_schema`: facts of this run with their person, and the published row that they replace."""
    columns = {name: owned.column(name) for name in schema.names if name not in (SURPRISING, PUBLISHED)}
    columns[SURPRISING] = pa.array(surprising)
    columns[PUBLISHED] = structs_of(published.take(row), np.asarray(pc.is_null(row)))
    return pa.table(columns, schema=schema)


def _staying(owned: pa.Table, published: pa.Table, schema: pa.Schema, *, gone: bool) -> pa.Table:
    """Rows of `staying_schema`: published ones, and the same rows with their person of today."""
    columns = {name: owned.column(name) for name in PERSON.names}
    columns |= {GONE: pa.array(np.full(published.num_rows, gone)), PUBLISHED: structs_of(published)}
    return pa.table(columns, schema=schema)


def _waiting(choice: Choice) -> pa.RecordBatch:
    """`UNSETTLED` rows."""
    begins, newest = zip(*choice.waiting.values(), strict=True) if choice.waiting else ((), ())
    return unsettled_rows(choice.waiting, begins, newest)


def _of_no_session(rows: pa.ChunkedArray, choice: Choice, theirs: Bools, *, full: bool) -> Counter[str]:
    """Why input rows are in no session of this run."""
    numbers = _ints(rows)
    counts = {"filtered.excluded_user": int(numbers[theirs].sum())}
    if not full:
        counts["filtered.session_too_old"] = int(numbers[choice.stale].sum())
        counts["filtered.session_untouched"] = int(numbers[~choice.use & ~choice.stale].sum())
    return Counter(some_of(counts))


class ConcludeSessions(beam.PTransform):
    """(facts, published, links, matches, acquisition, unsettled) → `Outcome` of sessions made anew; see `Conclude`.

    `facts` come from this run's events (`facts_schema`), `published` and `links` are rows of `sessions` and
    `session_links` as last published, `matches` are `MATCHES` of both, `acquisition` rows of PostHog's sessions,
    `unsettled` are `UNSETTLED` of events that came too late for the window, now or before; facts come as a tuple of
    PCollection[(block, pa.RecordBatch)], the others as PCollection[pa.RecordBatch].
    """

    def __init__(
        self,
        window: Window,
        excluded: frozenset[str],
        facts: pa.Schema,
        sessions: pa.Schema,
        links: Target,
        loaded_by: LoadedBy,
        blocks: int,
        pseudonyms: Pseudonyms = PLAIN,
    ) -> None:
        super().__init__()
        self._function = Conclude(window, excluded, facts, sessions, links, loaded_by, pseudonyms)
        schemas: Mapping[str, pa.Schema] = {
            "facts": facts,
            "published": sessions,
            "links": links.schema,
            "matches": MATCHES,
            "acquisition": bare(POSTHOG_SESSIONS),
            "unsettled": UNSETTLED,
        }
        self._sides = {name: Side("session_id", schema, session_blocks) for name, schema in schemas.items()}
        self._blocks = blocks

    def expand(self, inputs: tuple[Any, ...]) -> Outcome:
        """One shuffle by block of sessions: facts are in their blocks already."""
        *others, acquisition, unsettled = inputs
        canonical = acquisition | "Canonical ids" >> flat_map(canonical_acquisition)
        sides = dict(zip(self._sides, (*others, canonical, unsettled), strict=True))
        joined = JoinByKey(self._function, self._sides, self._blocks, also=(STAYING, WAITING, LINKED, WHO))
        return sides | "Join by session" >> joined


def row_counts(facts: pa.Table) -> dict[str, int]:
    """How the input rows of facts add up."""
    rows, events = _ints(facts.column(ROWS)), _ints(facts.column("event_count"))
    oversized = np.asarray(facts.column("is_oversized"))
    kept = np.where(oversized, rows, events)  # beyond the limit duplicates cannot be told from events
    counts = {"kept": int(kept.sum()), "duplicates": int((rows - kept).sum())}
    return counts | some_of({"sessions.oversized": int(oversized.sum())})


def _ints(values: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return np.asarray(values.to_numpy())
