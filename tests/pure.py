"""A whole run on the pure functions, without Beam: what the graph computes, in one process and one partition.

The laws of incremental runs are checked on it over many histories; the same laws are checked end to end, on
fewer, through the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pipeline import tables
from pipeline.plan import LastRun, Plan, Request, make_plan, next_watermark
from tests.builders import events_batch, facts_of_slices, slices_of
from transforms.changes import Stamp, compare, with_change
from transforms.elements import as_batch
from transforms.enrich import session_rows
from transforms.events import EventDecoder
from transforms.identity import MATCHES, SESSION_IDS, distinct_ids, match_users, session_ids
from transforms.metrics import Metrics
from transforms.persons import moved_schema, person_rows
from transforms.sessions import fact_schema
from transforms.settle import settle
from transforms.social import keyed_events, of_kept_users, unique_events
from transforms.users import clean_users, unique_by_phone, unique_by_user_id, unique_documents

Rows = Sequence[dict[str, Any]]


@dataclass
class Model:
    """Published tables and what the last run left, as the pure functions make them."""

    metrics: Metrics
    excluded: frozenset[str] = frozenset()
    last: LastRun | None = None
    sessions: pa.Table | None = None
    persons: pa.Table | None = None
    counts: dict[str, int] = field(default_factory=dict)
    too_old: list[str] = field(default_factory=list)
    runs: int = 0

    def run(self, events: Rows, users: Rows = (), social: Rows = (), request: Request | None = None) -> Plan:
        """One run over all rows that have arrived so far; a source of rows, not files, so nothing is pruned."""
        plan = make_plan(
            request or Request(),
            self.last,
            metrics_digest=self.metrics.digest,
            reach_back_to=self._reach_back(),
        )
        self.counts, self.too_old = {}, []
        self.runs += 1
        facts, left_out, latest = self._facts(events, plan)
        sessions, persons = tables.sessions(self.metrics), tables.persons(self.metrics)
        before = {
            table: published if published is not None else table.bare.empty_table()
            for table, published in ((sessions, self.sessions), (persons, self.persons))
        }
        unique, named = self._unique(users)
        settled = self._settle(facts, before[sessions], left_out, named["identities"], plan)
        stamp = Stamp(f"run-{self.runs}", datetime(2026, 1, 1, tzinfo=UTC))
        make = session_rows(self.metrics, sessions.bare, stamp, keep_persons=not plan.scope.is_full)
        created = pa.Table.from_pylist(list(social), schema=tables.FIREBASE_EVENTS.bare)
        keyed = self._collect(keyed_events(created))
        owned = {"events": self._collect(unique_events({"events": keyed})), "aliases": named["aliases"]}
        firebase_events = self._collect(of_kept_users(owned))
        also: dict[str, pa.Table] = {}
        made = self._collect(
            make(
                {"sessions": settled, "users": unique, "firebase_events": firebase_events, "persons": before[persons]}
            ),
            also=also,
        )
        people = {"rows": self._persons(also["people"]), "published": also["other_persons"]}
        changed = self._collect(compare("persons", persons.bare, stamp)(people))
        self.sessions = _published(made, sessions)
        self.persons = _published(pa.concat_tables([changed, also["kept_persons"]]), persons)
        watermark = next_watermark(plan, latest, datetime(2040, 1, 1, tzinfo=UTC))
        self.last = LastRun(f"run-{self.runs}", watermark, self.metrics.digest, "")
        return plan

    def _reach_back(self) -> datetime | None:
        if self.sessions is None or not self.excluded:
            return None
        banned = [
            row["start_timestamp"]
            for row in self.sessions.to_pylist()
            if self.excluded & set(row["distinct_ids"]) and not self.excluded >= set(row["distinct_ids"])
        ]
        return min(banned, default=None)

    def _facts(self, events: Rows, plan: Plan) -> tuple[pa.Table, pa.Table, int | None]:
        decoded = EventDecoder(self.metrics, self.excluded, plan.scope).decode(events_batch(events))
        self._count(decoded.counts.items())
        self.too_old += decoded.late_sessions
        schema = fact_schema(self.metrics, tables.sessions(self.metrics).bare)
        left_out = [session_ids(decoded.left_out)] if decoded.left_out else []
        facts = pa.Table.from_batches([facts_of_slices(slices_of(decoded.kept, self.metrics), self.metrics)], schema)
        return facts, pa.Table.from_batches(left_out, SESSION_IDS), decoded.latest_arrival

    def _unique(self, users: Rows) -> tuple[pa.Table, dict[str, pa.Table]]:
        rows = self._collect(clean_users(pa.Table.from_pylist(list(users), schema=tables.USERS.bare)))
        for step in (unique_documents, unique_by_user_id):
            rows = self._collect(step({"users": rows}))
        also: dict[str, pa.Table] = {}
        return self._collect(unique_by_phone(self.excluded)({"users": rows}), also=also), also

    def _settle(
        self, facts: pa.Table, published: pa.Table, left_out: pa.Table, identities: pa.Table, plan: Plan
    ) -> pa.Table:
        ids = [
            _of_batches(rows, lambda batch, fresh=fresh: distinct_ids(batch, fresh), SESSION_IDS)
            for rows, fresh in ((facts, True), (published, False))
        ]
        known = {"ids": pa.concat_tables([*ids, left_out]), "identities": identities}
        given = {
            "facts": facts,
            "published": published,
            "matches": self._collect(match_users(known), MATCHES),
            "acquisition": tables.POSTHOG_SESSIONS.bare.empty_table(),
        }
        sessions = tables.sessions(self.metrics).bare
        return self._collect(settle(plan.scope, self.excluded, facts.schema, sessions)(given))

    def _persons(self, rows: pa.Table) -> pa.Table:
        moved = moved_schema(self.metrics, tables.sessions(self.metrics).bare)
        content = tables.persons(self.metrics).content
        made = person_rows(as_batch(rows.select(moved.names)), self.metrics, content)
        return pa.Table.from_batches([made], content)

    def _collect(
        self, results: Iterable[Any], schema: pa.Schema | None = None, also: dict[str, pa.Table] | None = None
    ) -> pa.Table:
        found = []
        for result in results:
            if isinstance(result, tuple) and isinstance(result[1], pa.Table):
                assert also is not None
                also[result[0]] = pa.concat_tables([also[result[0]], result[1]]) if result[0] in also else result[1]
            elif isinstance(result, tuple):
                self._count([result])
            elif isinstance(result, str):
                self.too_old.append(result)
            else:
                found.append(result)
        return pa.concat_tables(found).combine_chunks() if found else schema.empty_table()

    def _count(self, counts: Iterable[tuple[str, int]]) -> None:
        for name, number in counts:
            self.counts[name] = self.counts.get(name, 0) + number

    def content(self) -> dict[str, list[dict[str, Any]]]:
        """Both tables without their run columns, sorted by key."""
        found = {}
        for name, table in (("sessions", self.sessions), ("persons", self.persons)):
            assert table is not None
            rows = table.drop_columns(["_loaded_at", "_run_id"]).to_pylist()
            found[name] = sorted(rows, key=lambda row: str(next(iter(row.values()))))
        return found


def _published(changed: pa.Table, table: tables.Table) -> pa.Table:
    assert changed.schema.names == with_change(table.bare).names
    kept = changed.filter(pa.array([c != "deleted" for c in changed["_change"].to_pylist()], pa.bool_()))
    return kept.select(table.schema.names)


def _of_batches(
    table: pa.Table, function: Callable[[pa.RecordBatch], Iterable[pa.RecordBatch]], schema: Any = None
) -> pa.Table:
    batches = [made for batch in table.combine_chunks().to_batches() for made in function(batch)]
    if not batches:
        empty = pa.RecordBatch.from_pylist([], schema=table.schema)
        batches = list(function(empty))
    return pa.Table.from_batches(batches, schema)
