"""The whole graph on one screen.

                                                        ┌─────────────────────────────────────────► links ─────┐
    posthog events ─► Decode ─► COMBINE ──┬──────────► Conclude ────► Make ─┬──────────────────────► sessions ─┤
                        │     per session │ facts     sessions      session │                                  │
                        │                 ▼           ▲   ▲   ▲      rows   └► COMBINE ─► Compare ─► persons ──┼─► Publish
                        │               Match users ──┘   │   │      ▲  ▲    per person                        │ (one switch,
                        │                 ▲   ▲           │ posthog  │  published                               │ with ledger)
                        │            unique   published ──┘ sessions │  persons   rows, firebase events,       │
                        │             users   sessions, links    users,           invites ─► Make ─► days ─────┤
                        │            firebase events, invites, users, persons with links ─► Make ─► social ────┤
                        └─► rejected                           firebase events     Compare ─► rejected events ─┘

Events are shuffled once, as slim rows in blocks of sessions (`transforms.machinery.blocks`), and their facts stay in
these blocks. Everything after that moves packed record batches of sessions, joined by block
(`transforms.machinery.join`), and is recomputed in every run, but persons whose sessions (and for days, whose social
events and invites) are all as they were keep their rows. Rows are compared with what is published on the way, so that
only what changed gets a new `_loaded_at`. `Publish` is a step of the graph: under a Flex Template nobody waits for the
job.
"""  # noqa: E501 (a diagram)

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from pipeline import tables
from pipeline.publish import add_publishing
from pipeline.tables import OutputTable, Table
from pipeline.warehouse.base import Run, Sink, Source
from transforms.events.decode import DecodeEvents
from transforms.events.rejected_events import CompareRejected
from transforms.events.session_blocks import Blocks
from transforms.ids.excluded import CountExcluded, LeftOut
from transforms.ids.pseudonyms import Pseudonyms
from transforms.machinery.join import Outcome, all_counts
from transforms.metrics.definitions import Metrics
from transforms.persons.days import MakePersonDays
from transforms.persons.rows import AggregatePersons
from transforms.published.changes import CompareWithPublished
from transforms.sessions.days import CountDays
from transforms.sessions.facts import AggregateSessions, fact_schema
from transforms.sessions.fate import ConcludeSessions
from transforms.sessions.owners import MatchUsers
from transforms.sessions.rows import MakeSessionRows
from transforms.social.events import MakeSocialEvents
from transforms.users.deeds import INVITES, SOCIAL_EVENTS, UniqueDeeds
from transforms.users.users import RequestedIdentities, UniqueUsers

#: The inputs beside events, as steps call them.
_INPUTS = {
    tables.POSTHOG_SESSIONS: "PostHog sessions",
    tables.USERS: "users",
    tables.FIREBASE_EVENTS: "Firebase events",
    tables.USER_INVITES: "invites",
}


def build(
    p: beam.Pipeline,
    source: Source,
    sink: Sink,
    run: Run,
    metrics: Metrics,
    left_out: LeftOut,
    shuffles: int,
    pseudonyms: Pseudonyms,
) -> None:
    """Add the graph of a run to a pipeline: read, aggregate twice, compare, stage, publish.

    Ids are hashed in the steps that have `pseudonyms`, where they enter; those of `left_out` are hashes already.
    The session shuffle is made in so many `shuffles`, which bounds the memory of a runner that holds them in memory.
    """
    named = tables.SESSIONS, tables.PERSONS, tables.SESSION_LINKS, tables.REJECTED_EVENTS
    sessions, persons, links, rejected = (output.under(metrics) for output in named)
    facts, window, n = fact_schema(metrics, sessions.bare), run.plan.window, run.partitions
    blocks = Blocks(run.session_blocks, shuffles, run.scan.rows // run.session_blocks)

    events = p | "Read events" >> source.read_events(run.plan)
    decoded = events | "Decode events" >> DecodeEvents(metrics, left_out.every, window, blocks, pseudonyms)
    fresh = decoded.slices | "Aggregate sessions" >> AggregateSessions(metrics, facts, blocks)
    fresh = fresh | "Tell blocks" >> sink.tell_blocks()

    before = read_published(p, sink, run, metrics)
    read = {table: p | f"Read {name}" >> source.read_input(table) for table, name in _INPUTS.items()}
    who = know_who(p, read, left_out, n, pseudonyms)
    matches = (fresh, decoded.left_out, before[sessions], who.identities) | "Match users" >> MatchUsers(n)
    unsettled = p | "Unsettled" >> beam.Create([run.plan.unsettled.rows()]).with_output_types(pa.RecordBatch)
    unsettled = (decoded.late, unsettled) | "All unsettled" >> beam.Flatten()
    known = fresh, before[sessions], before[links], matches.rows, read[tables.POSTHOG_SESSIONS].rows, unsettled
    concluded = known | "Conclude sessions" >> ConcludeSessions(
        window, left_out.every, facts, sessions.bare, links.target, run.loaded_by, blocks.number, pseudonyms
    )
    decided, staying = (concluded.rows, concluded.also["staying"]) | "Tell concluded" >> sink.tell_concluded()
    parts = decided, staying, who.users.rows, who.created.rows, before[persons]
    made = parts | "Make session rows" >> MakeSessionRows(
        metrics, facts, sessions.target, persons.target, run.loaded_by, n, keep_persons=run.keeps_persons
    )
    dead = (decoded.rejected, before[rejected], who.identities) | "Compare rejected events" >> CompareRejected(
        rejected.target, run.loaded_by, n, left_out.every, pseudonyms
    )
    written = {
        sessions: made,
        persons: aggregate_persons(run, metrics, made),
        links: concluded._replace(rows=concluded.also["linked"]),
        **make_days_and_social_events(run, metrics, before, who, concluded, made),
        rejected: dead,
    }
    matched = {"distinct_id": decoded.left_out, "distinct_ids": before[sessions], "key": who.users.also["identities"]}
    excluded = matched | "Count excluded ids" >> CountExcluded(left_out)
    counts = [decoded.counts, *all_counts(*read.values(), who.users, who.created, who.received), excluded]
    by_day = made.rows | "Count days" >> CountDays(run.checks.metrics, run.checks.since(run.plan.watermark))
    waiting, late = concluded.also["waiting"], decoded.seen
    add_publishing(p, run, source, sink, written, counts, decoded.arrivals, waiting, late, by_day)


_Published = Mapping[OutputTable, PCollection[pa.RecordBatch]]


def read_published(p: beam.Pipeline, sink: Sink, run: Run, metrics: Metrics) -> _Published:
    """What runs before have left of every output: the memory of this one."""
    return {
        table: p | f"Read published {table.name}" >> sink.read_published(run, table)
        for table in tables.outputs(metrics)
    }


class Who(NamedTuple):
    """Who the users are, and what they did outside PostHog's events."""

    users: Outcome
    """One row a user; also `aliases` (of users that were dropped) and `identities`."""
    created: Outcome
    """Social events, one row a document."""
    received: Outcome
    """Invites, one row a document."""
    identities: PCollection[pa.RecordBatch]
    """The ids of users, and those that ask to be deleted."""


def know_who(p: beam.Pipeline, read: Mapping[Table, Outcome], left_out: LeftOut, n: int, pseudonyms: Pseudonyms) -> Who:
    """Users, social events and invites, each once."""
    users = read[tables.USERS].rows | "Deduplicate users" >> UniqueUsers(n, left_out.every, pseudonyms)
    created, received = (
        (read[table].rows, users.also["aliases"])
        | f"Deduplicate {_INPUTS[table]}" >> UniqueDeeds(deeds, left_out.every, n, pseudonyms)
        for table, deeds in ((tables.FIREBASE_EVENTS, SOCIAL_EVENTS), (tables.USER_INVITES, INVITES))
    )
    requested = p | "Deletion requests" >> RequestedIdentities(left_out.requested)
    identities = (users.also["identities"], requested) | "All identities" >> beam.Flatten()
    return Who(users, created, received, identities)


def aggregate_persons(run: Run, metrics: Metrics, made: Outcome) -> Outcome:
    """Rows of `persons` with their change: made anew where a session is not as it was, else as published."""
    sessions, persons, n = tables.SESSIONS.under(metrics), tables.PERSONS.under(metrics), run.partitions
    people = made.also["people"] | "Aggregate persons" >> AggregatePersons(metrics, sessions.bare, persons.content, n)
    people = (people, made.also["other_persons"]) | "Compare persons" >> CompareWithPublished(
        persons.target, run.loaded_by, n
    )
    return people._replace(rows=(people.rows, made.also["kept_persons"]) | "All persons" >> beam.Flatten())


def make_days_and_social_events(
    run: Run, metrics: Metrics, before: _Published, who: Who, concluded: Outcome, made: Outcome
) -> dict[OutputTable, Outcome]:
    """Rows of `person_days` and `social_events` with their change."""
    days, social_events = tables.PERSON_DAYS.under(metrics), tables.SOCIAL_EVENTS.under(metrics)
    sessions, n = tables.SESSIONS.under(metrics).bare, run.partitions
    deeds = made.rows, who.created.rows, who.received.rows, who.users.rows, before[days]
    active = deeds | "Make person days" >> MakePersonDays(
        metrics, sessions, days.target, run.loaded_by, n, keep=run.keeps_persons
    )
    about = who.created.rows, who.users.rows, who.received.rows, concluded.also["who"], before[social_events]
    attended = about | "Make social events" >> MakeSocialEvents(metrics, social_events.target, run.loaded_by, n)
    return {days: active, social_events: attended}
