"""Which person a session belongs to: distinct ids → user, resolved anew in every run.

A session's user is the one whose phone number equals any of its distinct ids, else the one whose user id
does; of several at one level the smallest user id. Without a user the session belongs to its first distinct
id. Because the session keeps all its distinct ids, a user who signs up later gets older sessions as well.
"""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.elements import flat_map
from transforms.join import JoinByKey, Outcome, Side, all_counts, lookup
from transforms.settle import settled_schema
from transforms.users import IDENTITIES, first_of_each, identities

SESSION_IDS = pa.schema([("session_id", pa.string()), ("distinct_id", pa.string())])
MATCHES = pa.schema([("session_id", pa.string()), ("match", pa.string())])
#: The columns of PostHog's own sessions that fill ours.
ACQUISITION = ("channel_type", "is_bounce")


def with_person(facts_schema: pa.Schema) -> pa.Schema:
    """The schema of facts after `AssignPersons`."""
    texts = [pa.field(name, pa.string()) for name in ("user_id", "person_id", "channel_type")]
    return pa.schema([*settled_schema(facts_schema), *texts, pa.field("is_bounce", pa.bool_())])


def distinct_ids(facts: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Session facts → `SESSION_IDS`, one row a distinct id of a session."""
    ids = facts.column("distinct_ids")
    sessions = facts.column("session_id").take(pc.list_parent_indices(ids))
    yield pa.RecordBatch.from_arrays([sessions, pc.list_flatten(ids)], schema=SESSION_IDS)


def match_users(tables: dict[str, pa.Table]) -> Iterator[pa.Table]:
    """`ids` (`SESSION_IDS`) and `identities` with the same keys → `MATCHES` of sessions with a user."""
    ids = tables["ids"]
    best = _smallest(tables["identities"], "key", "match")
    match = lookup(best, "key", ids.column("distinct_id"), ["match"]).column("match")
    found = pa.table({"session_id": ids.column("session_id"), "match": match}, schema=MATCHES)
    yield found.filter(pc.is_valid(match))


def assign_persons(tables: dict[str, pa.Table]) -> Iterator[pa.Table | tuple[str, int]]:
    """`facts`, `matches` and `acquisition` of the same sessions → facts with person and acquisition.

    Adds `user_id`, `person_id`, `channel_type`, `is_bounce`; counts where PostHog's sessions say otherwise.
    """
    facts = tables["facts"]
    keys = facts.column("session_id")
    best = _smallest(tables["matches"], "session_id", "match")
    match = lookup(best, "session_id", keys, ["match"]).column("match")
    user_id = pc.utf8_slice_codeunits(match, 1)
    acquisition = _latest_acquisition(tables["acquisition"])
    known = lookup(acquisition, "session_id", keys, acquisition.schema.names)
    yield from _differences(facts, known)
    yield (
        facts.append_column("user_id", user_id)
        .append_column("person_id", pc.coalesce(user_id, facts.column("distinct_id")))
        .append_column("channel_type", known.column("channel_type"))
        .append_column("is_bounce", known.column("is_bounce"))
    )


class AssignPersons(beam.PTransform):
    """(facts, users, acquisition) → `Outcome` of facts with person and acquisition (`with_person`).

    `facts` are settled facts (`facts_schema` without its run columns), `users` unique users, `acquisition`
    rows of PostHog's sessions with `acquisition_schema`; all PCollection[pa.RecordBatch].
    """

    def __init__(self, facts_schema: pa.Schema, acquisition_schema: pa.Schema, partitions: int) -> None:
        super().__init__()
        self._schema, self._acquisition = settled_schema(facts_schema), acquisition_schema
        self._partitions = partitions

    def expand(self, inputs: tuple[PCollection[pa.RecordBatch], ...]) -> Outcome:
        """A shuffle by distinct id to find users, and one by session id to bring all together."""
        facts, users, acquisition = inputs
        ids = facts | "Distinct ids" >> flat_map(distinct_ids)
        keys = users | "Identities" >> flat_map(identities)
        found = {"ids": ids, "identities": keys} | "Match users" >> JoinByKey(
            match_users,
            {"ids": Side("distinct_id", SESSION_IDS), "identities": Side("key", IDENTITIES)},
            self._partitions,
        )
        sides = {
            "facts": Side("session_id", self._schema),
            "matches": Side("session_id", MATCHES),
            "acquisition": Side("session_id", self._acquisition),
        }
        joined = {"facts": facts, "matches": found.rows, "acquisition": acquisition}
        assigned = joined | "Assign" >> JoinByKey(assign_persons, sides, self._partitions)
        return assigned._replace(counts=all_counts(found, assigned) | "Counts" >> beam.Flatten())


def _smallest(table: pa.Table, key: str, value: str) -> pa.Table:
    return first_of_each(table.sort_by([(key, "ascending"), (value, "ascending")]), key)


def _latest_acquisition(sessions: pa.Table) -> pa.Table:
    """One row a session id: the latest end, then the smallest channel type, then not bounced."""
    order = pc.sort_indices(
        sessions,
        sort_keys=[
            ("session_id", "ascending", "at_end"),
            ("end_timestamp", "descending", "at_end"),
            ("channel_type", "ascending", "at_end"),
            ("is_bounce", "ascending", "at_end"),
        ],
    )
    return first_of_each(sessions.take(order), "session_id")


def _differences(facts: pa.Table, known: pa.Table) -> Iterator[tuple[str, int]]:
    """How often PostHog's sessions, which go stale for late events, disagree with the events."""
    yield "posthog_sessions.matched", known.num_rows - known.column("session_id").null_count
    for name in ("start_timestamp", "end_timestamp", "autocapture_count", "screen_count"):
        if name in facts.schema.names:
            ours, theirs = facts.column(name), known.column(name)
            differs = np.asarray(pc.not_equal(ours, theirs).fill_null(False))
            yield f"posthog_sessions.{name}_differs", int(differs.sum())
