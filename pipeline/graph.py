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

Events are shuffled once, as slim rows in blocks of sessions (`transforms.machinery.blocks`), and their facts stay in these blocks.
Everything after that moves packed record batches of sessions, joined by block (`transforms.machinery.join`), and is recomputed in
every run, but persons whose sessions (and for days, whose social events and invites) are all as they were keep their rows. Rows are compared with what is published on the way, so that only
what changed gets a new `_loaded_at`. `Publish` is a step of the graph: under a Flex Template nobody waits for
the job.
"""  # noqa: E501 (a diagram)

from __future__ import annotations

import apache_beam as beam
import pyarrow as pa

from pipeline import tables
from pipeline.publish import add_publishing
from pipeline.warehouse.base import Run, Sink, Source
from transforms.events.decode import DecodeEvents
from transforms.events.rejected_events import CompareRejected
from transforms.events.session_blocks import Blocks
from transforms.ids.excluded import CountExcluded, LeftOut
from transforms.ids.pseudonyms import PLAIN, Pseudonyms
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


def build(
    p: beam.Pipeline,
    source: Source,
    sink: Sink,
    run: Run,
    metrics: Metrics,
    left_out: LeftOut,
    shuffles: int = 1,
    pseudonyms: Pseudonyms = PLAIN,
) -> None:
    """Add the graph of a run to a pipeline: read, aggregate twice, compare, stage, publish.

    Ids are hashed in the steps that have `pseudonyms`, where they enter; those of `left_out` are hashes already.
    The session shuffle is made in so many `shuffles`, which bounds the memory of a runner that holds them in memory.
    """
    sessions, persons, links, days, social_events, rejected = (
        output.under(metrics)
        for output in (
            tables.SESSIONS,
            tables.PERSONS,
            tables.SESSION_LINKS,
            tables.PERSON_DAYS,
            tables.SOCIAL_EVENTS,
            tables.REJECTED_EVENTS,
        )
    )
    facts = fact_schema(metrics, sessions.bare)
    users, acquisition, social = tables.USERS, tables.POSTHOG_SESSIONS, tables.FIREBASE_EVENTS
    excluded = left_out.every
    n, blocks = run.partitions, Blocks(run.session_blocks, shuffles, run.scan.rows // run.session_blocks)

    events = p | "Read events" >> source.read_events(run.plan)
    decoded = events | "Decode events" >> DecodeEvents(metrics, excluded, run.plan.window, blocks, pseudonyms)
    fresh = decoded.slices | "Aggregate sessions" >> AggregateSessions(metrics, facts, blocks)
    fresh = fresh | "Tell blocks" >> sink.tell_blocks()

    published = {
        table: p | f"Read published {table.name}" >> sink.read_published(run, table)
        for table in tables.outputs(metrics)
    }
    unique_users = (
        p | "Read users" >> source.read_input(users) | "Deduplicate users" >> UniqueUsers(n, excluded, pseudonyms)
    )
    created = (
        p | "Read Firebase events" >> source.read_input(social),
        unique_users.also["aliases"],
    ) | "Deduplicate Firebase events" >> UniqueDeeds(SOCIAL_EVENTS, excluded, n, pseudonyms)
    received = (
        p | "Read invites" >> source.read_input(tables.USER_INVITES),
        unique_users.also["aliases"],
    ) | "Deduplicate invites" >> UniqueDeeds(INVITES, excluded, n, pseudonyms)
    requested = p | "Deletion requests" >> RequestedIdentities(left_out.requested)
    identities = (unique_users.also["identities"], requested) | "All identities" >> beam.Flatten()
    matches = (
        fresh,
        decoded.left_out,
        published[sessions],
        identities,
    ) | "Match users" >> MatchUsers(n)
    unsettled = p | "Unsettled" >> beam.Create([run.plan.unsettled.rows()]).with_output_types(pa.RecordBatch)
    concluded = (
        fresh,
        published[sessions],
        published[links],
        matches.rows,
        p | "Read PostHog sessions" >> source.read_input(acquisition),
        (decoded.late, unsettled) | "All unsettled" >> beam.Flatten(),
    ) | "Conclude sessions" >> ConcludeSessions(
        run.plan.window, excluded, facts, sessions.bare, links.target, run.loaded_by, blocks.number, pseudonyms
    )
    decided, staying = (concluded.rows, concluded.also["staying"]) | "Tell concluded" >> sink.tell_concluded()
    made = (
        decided,
        staying,
        unique_users.rows,
        created.rows,
        published[persons],
    ) | "Make session rows" >> MakeSessionRows(
        metrics, facts, sessions.target, persons.target, run.loaded_by, n, keep_persons=run.keeps_persons
    )

    people = made.also["people"] | "Aggregate persons" >> AggregatePersons(metrics, sessions.bare, persons.content, n)
    people = (people, made.also["other_persons"]) | "Compare persons" >> CompareWithPublished(
        persons.target, run.loaded_by, n
    )
    active = (
        made.rows,
        created.rows,
        received.rows,
        unique_users.rows,
        published[days],
    ) | "Make person days" >> MakePersonDays(
        metrics, sessions.bare, days.target, run.loaded_by, n, keep=run.keeps_persons
    )
    attended = (
        created.rows,
        unique_users.rows,
        received.rows,
        concluded.also["who"],
        published[social_events],
    ) | "Make social events" >> MakeSocialEvents(metrics, social_events.target, run.loaded_by, n)
    listed = {
        "distinct_id": decoded.left_out,
        "distinct_ids": published[sessions],
        "key": unique_users.also["identities"],
    } | "Count excluded ids" >> CountExcluded(left_out)
    dead = (
        decoded.rejected,
        published[rejected],
        identities,
    ) | "Compare rejected events" >> CompareRejected(rejected.target, run.loaded_by, n, excluded, pseudonyms)
    all_persons = (people.rows, made.also["kept_persons"]) | "All persons" >> beam.Flatten()
    linked = concluded._replace(rows=concluded.also["linked"])
    people = people._replace(rows=all_persons)
    written = {sessions: made, persons: people, links: linked, days: active, social_events: attended, rejected: dead}
    counts = [*(step.counts for step in (decoded, unique_users, created, received)), listed]
    by_day = made.rows | "Count days" >> CountDays(run.checks.metrics, run.checks.since(run.plan.watermark))
    add_publishing(p, run, source, sink, written, counts, decoded.arrivals, concluded.also["waiting"], by_day)
