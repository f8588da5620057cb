"""The whole graph on one screen.

    posthog events ─► Decode ─► COMBINE ─► Settle ─► Assign ─► Make ───┬────────────► Compare ─► sessions ─┐
                        │     per session  facts    persons  session   │                                   │
                        │                    ▲       ▲   ▲    rows     └─► COMBINE ─► Compare ─► persons ──┼─► Publish
                        │                published   │ posthog  ▲       per person                         │ (one switch,
                        └─► rejected     sessions    │ sessions │                     Compare ─► rejected ─┘ with ledger)
                                                  unique    firebase
                                                   users     events

Events are shuffled once, as per-session parts of a batch. Everything after that moves record batches of
sessions, joined by hash partition (`transforms.join`), and is recomputed in every run. `Compare` leaves
rows alone whose content did not change. `Publish` is a step of the graph: under a Flex Template nobody
waits for the job.
"""  # noqa: E501 (a diagram)

from __future__ import annotations

import apache_beam as beam
from apache_beam.pvalue import AsList, AsSingleton

from pipeline import tables
from pipeline.ledger import MAX_LISTED
from pipeline.publish import publish_run
from pipeline.warehouse.base import Run, Warehouse
from transforms.changes import CompareWithPublished
from transforms.counts import ListIds, SumCounts
from transforms.enrich import MakeSessionRows
from transforms.identity import AssignPersons
from transforms.metrics import Metrics
from transforms.persons import AggregatePersons
from transforms.rejected import MakeRejectedRows
from transforms.sessions import AggregateSessions, DecodeEvents, fact_schema
from transforms.settle import SettleFacts
from transforms.users import UniqueUsers


def build(p: beam.Pipeline, warehouse: Warehouse, run: Run, metrics: Metrics, excluded: frozenset[str]) -> None:
    """Add the graph of a run to a pipeline: read, aggregate twice, compare, stage, publish."""
    sessions, persons, rejected = tables.outputs(metrics)
    facts = fact_schema(metrics, sessions.bare)
    users, acquisition, social = tables.USERS, tables.POSTHOG_SESSIONS, tables.FIREBASE_EVENTS
    n = run.partitions

    events = p | "Read events" >> warehouse.read_events(run.plan)
    decoded = events | "Decode events" >> DecodeEvents(metrics, excluded, run.plan.scope)
    fresh = decoded.parts | "Aggregate sessions" >> AggregateSessions(metrics, facts)

    published = {
        table: p | f"Read published {table.name}" >> warehouse.read_published(run, table)
        for table in (sessions, persons, rejected)
    }
    settled = (fresh, published[sessions]) | "Settle facts" >> SettleFacts(run.plan.scope, facts, excluded, n)
    unique_users = p | "Read users" >> warehouse.read_input(users) | "Deduplicate users" >> UniqueUsers(users.bare, n)
    assigned = (
        settled.rows,
        unique_users.rows,
        p | "Read PostHog sessions" >> warehouse.read_input(acquisition),
    ) | "Assign persons" >> AssignPersons(facts, acquisition.bare, n)
    made = (
        assigned.rows,
        unique_users.rows,
        p | "Read Firebase events" >> warehouse.read_input(social),
    ) | "Make session rows" >> MakeSessionRows(metrics, facts, users.bare, sessions.content, n)

    people = made.rows | "Aggregate persons" >> AggregatePersons(metrics, persons.content)
    dead = decoded.rejected | "Make rejected rows" >> MakeRejectedRows(rejected.content)
    changed = {
        table: (rows, published[table])
        | f"Compare {table.name}" >> CompareWithPublished(table.name, table.bare, run.stamp, n)
        for table, rows in ((sessions, made.rows), (persons, people), (rejected, dead))
        if table in run.tables
    }
    staged = [step.rows | f"Stage {table.name}" >> warehouse.stage(run, table) for table, step in changed.items()]
    steps = (decoded, settled, unique_users, assigned, made, *changed.values())
    old = [decoded.texts, settled.texts] | "All too old" >> beam.Flatten()
    old = old | "List too old" >> ListIds("sessions.too_old", MAX_LISTED)
    counts = [step.counts for step in steps] + [old["counts"]]
    latest = decoded.arrivals | "Latest arrival" >> beam.CombineGlobally(max).without_defaults()
    _ = (
        p
        | "Start publishing" >> beam.Create([run])
        | "Publish"
        >> beam.Map(
            publish_run,
            warehouse=warehouse,
            staged=AsList(staged | "All staged" >> beam.Flatten()),
            counts=AsList(counts | "All counts" >> beam.Flatten() | "Sum counts" >> SumCounts()),
            latest_arrival=AsSingleton(latest, default_value=None),
            too_old=AsSingleton(old["ids"], default_value=[]),
        )
    )
