"""A whole run on the pure functions, without Beam: what the graph computes, in one process and one partition.

The laws of incremental runs are checked on it over many histories; the same laws are checked end to end, on
fewer, through the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pipeline import tables
from pipeline.excluded import digest
from pipeline.ledger import latest_run, ledger_row
from pipeline.marks import marks
from pipeline.plan import LastRun, Plan, Request, make_plan
from pipeline.terms import Terms
from pipeline.warehouse.base import Run, Scan
from tests.builders import events_batch, slices_of
from tests.merging import merge
from tests.same import RUN_COLUMNS
from transforms.events.decoder import DecodedEvents, EventDecoder
from transforms.events.distinct_ids import SESSION_IDS, distinct_ids, session_ids
from transforms.ids.excluded import Excluded, LeftOut
from transforms.ids.pseudonyms import PLAIN, Pseudonyms, key_id
from transforms.incremental.seen import news_only
from transforms.incremental.unsettled import ListUnsettled
from transforms.machinery.join import Results
from transforms.machinery.record_batches import as_batch
from transforms.metrics.definitions import Metrics
from transforms.persons.days import moved_schema as days_from
from transforms.persons.days import person_days
from transforms.persons.rows import moved_schema, person_rows
from transforms.published.changes import LoadedBy, compare, with_change
from transforms.sessions.concluded import excluded_ids
from transforms.sessions.facts import SessionCombineFn, fact_schema
from transforms.sessions.fate import LINKED, STAYING, WAITING, WHO, Conclude
from transforms.sessions.owners import match_users
from transforms.sessions.rows import session_rows
from transforms.social.events import hosted, social_events
from transforms.users.deeds import INVITES, SOCIAL_EVENTS, Deeds, keyed, of_kept_users, unique
from transforms.users.users import (
    ACCOUNTS,
    clean_users,
    present_accounts,
    requested_identities,
    unique_by_phone,
    unique_by_user_id,
    unique_documents,
)

Rows = Sequence[dict[str, Any]]


@dataclass
class Model:
    """Published tables and what the last run left, as the pure functions make them.

    Like BigQuery it merges only rows that changed: one that is wrongly called unchanged stays as it was.
    """

    metrics: Metrics
    excluded: frozenset[str] = frozenset()
    requested: frozenset[str] = frozenset()
    """Ids of deletion requests."""
    pseudonyms: Pseudonyms = PLAIN
    ledger: list[dict[str, Any]] = field(default_factory=list)
    published: dict[str, dict[Any, dict[str, Any]]] = field(
        default_factory=lambda: {output.name: {} for output in tables.OUTPUTS if not output.append_only}
    )
    """Rows of each table by key: its column's value, or a tuple of several."""
    counts: dict[str, int] = field(default_factory=dict)
    clock: datetime = datetime(2040, 1, 1, tzinfo=UTC)
    code_version: str = "1"
    known: dict[Any, tuple[Results, ...]] = field(default_factory=dict)
    """What the steps on users and on their deeds have given, by all that they were given. Models can share it: a run
    and the full load that it is compared with have the same users."""

    def __post_init__(self) -> None:
        self._tables = {output: output.under(self.metrics) for output in tables.OUTPUTS}
        self._fact_schema = fact_schema(self.metrics, self._tables[tables.SESSIONS].bare)
        self._combine = SessionCombineFn(self.metrics, self._fact_schema)

    @property
    def _left_out(self) -> LeftOut:
        return LeftOut.of(self.pseudonyms.set_of(self.excluded), self.pseudonyms.set_of(self.requested))

    @property
    def too_old(self) -> list[str]:
        """The sessions that the last run has listed."""
        return list(self.ledger[-1]["too_old_sessions"])

    @property
    def last(self) -> LastRun | None:
        """The run that was published last."""
        row = latest_run(self.ledger)
        return LastRun.of(row) if row else None

    def run(
        self,
        events: Rows,
        users: Rows = (),
        social: Rows = (),
        acquisition: Rows = (),
        invites: Rows = (),
        *,
        request: Request | None = None,
    ) -> Plan:
        """One run over all rows that have arrived so far; a source of rows, not files, so nothing is pruned."""
        request = request or Request()
        accounts = self.pseudonyms.pairs(present_accounts(pa.Table.from_pylist(list(users), schema=ACCOUNTS)))
        terms = Terms(
            metrics_digest=self.metrics.digest,
            excluded_digest=digest(self._left_out.listed),
            excluded_marks=marks(self._left_out.listed, accounts),
            deletion_digest=digest(self._left_out.requested),
            deletion_marks=marks(self._left_out.requested, accounts, requested=True),
            privacy_key_id=key_id(self.pseudonyms.key),
        )
        plan = make_plan(
            request,
            self.last,
            now=self.clock,
            terms=terms,
            reach_back_to=self._reach_back(terms),
            latest_end=self._latest_end(request),
        )
        self.counts = {}
        run_id = f"run-{len(self.ledger)}"
        loaded_by = LoadedBy(run_id, self.clock)
        sessions, persons, links, days, social_rows = (
            self._tables[output]
            for output in (
                tables.SESSIONS,
                tables.PERSONS,
                tables.SESSION_LINKS,
                tables.PERSON_DAYS,
                tables.SOCIAL_EVENTS,
            )
        )
        before = {table: self._table(table) for table in (sessions, persons, links, days, social_rows)}
        limited = events if plan.limit is None else list(events)[: plan.limit]
        facts, left_out, decoded = self._facts(limited, plan)
        unique, named = self._unique(users)
        concluded: dict[str, pa.Table] = {}
        fresh = self._conclude(
            facts, before, left_out, named["identities"], acquisition, decoded.late, plan, loaded_by, concluded
        )
        keep = plan.keeps_persons(self.code_version)
        make = session_rows(self.metrics, facts.schema, sessions.target, persons.target, loaded_by, keep_persons=keep)
        firebase_events, received = (
            self._deeds(deeds, rows, users, named["aliases"])
            for deeds, rows in ((SOCIAL_EVENTS, social), (INVITES, invites))
        )
        also: dict[str, pa.Table] = {}
        given = {
            "fresh": fresh,
            "staying": concluded[STAYING],
            "users": unique,
            "firebase_events": firebase_events,
            "persons": before[persons],
        }
        made = self._collect(make(given), also)
        people = {"rows": self._persons(also["people"]), "published": also["other_persons"]}
        changed = self._collect(compare(persons.target, loaded_by)(people))
        active = self._collect(
            person_days(self.metrics, days.target, loaded_by, keep)(
                {
                    "sessions": made.select(days_from(self.metrics, sessions.bare).names),
                    "events": firebase_events,
                    "invites": received,
                    "users": unique,
                    "published": before[days],
                }
            )
        )
        attended = self._collect(
            social_events(self.metrics, social_rows.target, loaded_by)(
                {
                    "events": self._collect(hosted({"events": firebase_events, "users": unique})),
                    "invites": received,
                    "who": concluded[WHO],
                    "published": before[social_rows],
                }
            )
        )
        if plan.mode == "sample":
            return plan
        listing = ListUnsettled()
        waiting = listing.create_accumulator()
        for batch in concluded[WAITING].to_batches():
            for news in news_only(batch, plan.window, plan.seen, decoded.seen):
                waiting = listing.add_input(waiting, news)
        unsettled = listing.extract_output(waiting)
        described = Run(
            run_id,
            self.clock,
            plan,
            Scan(0, 0, 0, 0),
            terms,
            1,
            self.code_version,
            {},
            (),
        )
        row = ledger_row(described, self.counts.items(), decoded.latest, unsettled, self.clock, decoded.seen)
        self._merge(sessions, made)
        self._merge(persons, pa.concat_tables([changed, also["kept_persons"]]))
        self._merge(links, concluded[LINKED])
        self._merge(days, active)
        self._merge(social_rows, attended)
        self.ledger.append(row)
        return plan

    def _table(self, table: tables.OutputTable) -> pa.Table:
        return pa.Table.from_pylist(list(self.published[table.name].values()), schema=table.bare)

    def _merge(self, table: tables.OutputTable, changed: pa.Table) -> None:
        """As the transaction does; and what is called unchanged or deleted was there, what is inserted was not."""
        assert changed.schema.names == with_change(table.bare).names
        rows = self.published[table.name]
        keys = merge(rows, table.output.key, changed.to_pylist())
        assert set(rows) <= keys

    def _reach_back(self, terms: Terms) -> datetime | None:
        if self.last is None or self.last.terms.digests == terms.digests:
            return None
        published = self._table(self._tables[tables.SESSIONS])
        some, every = excluded_ids(published, Excluded(self._left_out.every))
        starts = published["start_timestamp"].filter(pa.array(some & ~every))
        return min(starts.to_pylist(), default=None)

    def _latest_end(self, request: Request) -> datetime | None:
        rows = self.published["sessions"].values()
        first, beyond = request.days or (self.clock, self.clock)
        return max((row["end_timestamp"] for row in rows if first <= row["start_timestamp"] < beyond), default=None)

    def _facts(self, events: Rows, plan: Plan) -> tuple[pa.Table, pa.Table, DecodedEvents]:
        decoded = EventDecoder(self.metrics, self._left_out.every, plan.window, self.pseudonyms).decode(
            events_batch(events)
        )
        self._count(decoded.counts.items())
        left_out = [session_ids(decoded.left_out)] if decoded.left_out else []
        made = self._combine.output(slices_of(decoded.kept, self.metrics))
        facts = pa.Table.from_batches([made], self._fact_schema)
        return facts, pa.Table.from_batches(left_out, SESSION_IDS), decoded

    def _unique(self, users: Rows) -> tuple[pa.Table, dict[str, pa.Table]]:
        def steps() -> Iterator[Results]:
            results = clean_users(pa.Table.from_pylist(list(users), schema=tables.USERS.bare))
            yield results
            for step in (unique_documents, unique_by_user_id, unique_by_phone(self._left_out.every, self.pseudonyms)):
                results = step({"users": _rows(results)})
                yield results

        also: dict[str, pa.Table] = {}
        return self._once(steps, ("users", repr(users)), also), also

    def _deeds(self, deeds: Deeds, rows: Rows, users: Rows, aliases: pa.Table) -> pa.Table:
        """Of some users, who give the aliases."""

        def steps() -> Iterator[Results]:
            known = keyed(deeds)(pa.Table.from_pylist(list(rows), schema=deeds.given))
            yield known
            latest = unique(deeds, self.pseudonyms)({"rows": _rows(known)})
            yield latest
            yield of_kept_users(deeds, self._left_out.every)({"rows": _rows(latest), "aliases": aliases})

        return self._once(steps, (deeds, repr(rows), repr(users)))

    def _once(
        self, steps: Callable[[], Iterator[Results]], given: Any, also: dict[str, pa.Table] | None = None
    ) -> pa.Table:
        """The rows of the last of some steps, which are made once of what they are given; counted are those of all."""
        key = given, self._left_out.every, self.pseudonyms
        if key not in self.known:
            self.known[key] = tuple(steps())
        *before, last = self.known[key]
        for results in before:
            self._count(results.counts.items())
        return self._collect(last, also)

    def _conclude(
        self,
        facts: pa.Table,
        before: dict[tables.OutputTable, pa.Table],
        left_out: pa.Table,
        identities: pa.Table,
        acquisition: Rows,
        late: pa.RecordBatch,
        plan: Plan,
        loaded_by: LoadedBy,
        also: dict[str, pa.Table],
    ) -> pa.Table:
        sessions, _, links, *_ = before
        published = before[sessions]
        ids = [
            _of_batches(rows, lambda batch, fresh=fresh: distinct_ids(batch, fresh), SESSION_IDS)
            for rows, fresh in ((facts, True), (published, False))
        ]
        theirs = pa.Table.from_batches(requested_identities(None, self._left_out.requested), identities.schema)
        known = {"ids": pa.concat_tables([*ids, left_out]), "identities": pa.concat_tables([identities, theirs])}
        given = {
            "facts": facts,
            "published": published,
            "links": before[links],
            "matches": self._collect(match_users(known)),
            "acquisition": pa.Table.from_pylist(list(acquisition), schema=tables.POSTHOG_SESSIONS.bare),
            "unsettled": pa.Table.from_batches([late, plan.unsettled.rows()]),
        }
        function = Conclude(
            plan.window,
            self._left_out.every,
            facts.schema,
            sessions.bare,
            links.target,
            loaded_by,
            self.pseudonyms,
        )
        return self._collect(function(given), also)

    def _persons(self, rows: pa.Table) -> pa.Table:
        moved = moved_schema(self.metrics, self._tables[tables.SESSIONS].bare)
        content = self._tables[tables.PERSONS].content
        made = person_rows(as_batch(rows.select(moved.names)), self.metrics, content)
        return pa.Table.from_batches([made], content)

    def _collect(self, results: Results, also: dict[str, pa.Table] | None = None) -> pa.Table:
        self._count(results.counts.items())
        for name, found in results.also.items():
            assert also is not None
            also[name] = pa.concat_tables(found)
        return _rows(results)

    def _count(self, counts: Iterable[tuple[str, int]]) -> None:
        for name, number in counts:
            self.counts[name] = self.counts.get(name, 0) + number

    def content(self) -> dict[str, list[dict[str, Any]]]:
        """The tables without their run columns, sorted by key."""
        return {
            name: [
                {column: value for column, value in row.items() if column not in RUN_COLUMNS}
                for _, row in sorted(rows.items())
            ]
            for name, rows in self.published.items()
        }


def _rows(results: Results) -> pa.Table:
    return pa.concat_tables(results.rows).combine_chunks()


def _of_batches(
    table: pa.Table, function: Callable[[pa.RecordBatch], Iterable[pa.RecordBatch]], schema: Any = None
) -> pa.Table:
    batches = [made for batch in table.combine_chunks().to_batches() for made in function(batch)]
    if not batches:
        empty = pa.RecordBatch.from_pylist([], schema=table.schema)
        batches = list(function(empty))
    return pa.Table.from_batches(batches, schema)
