"""Social events, the invites to them, and who came across them → rows of social_events: one a document of Firebase.

What a document says is its latest version, and what became of an invite its present status. Persons come across a
social event in sessions: the link `social_event` of the metrics file names it, and a person counts once, in however
many sessions. What only cares about one social event is joined by its id; the order of a host's by the host, before.
"""

from __future__ import annotations

from collections.abc import Collection

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.machinery.join import JoinByKey, JoinFunction, Outcome, Results, Side
from transforms.machinery.keys import grouped, rows_of_keys
from transforms.metrics.definitions import Metrics
from transforms.metrics.kinds.links import JOINED, SOCIAL_EVENT_LINK, VIEWED
from transforms.published.changes import LoadedBy, Target, compare
from transforms.schemas import inputs
from transforms.schemas.fields import FLOAT, INTEGER, TEXT, columns_of
from transforms.schemas.outputs import SOCIAL_EVENT_ROW
from transforms.sessions.links import INVOLVED
from transforms.users.deeds import ACCEPTED, PENDING, REJECTED

_HOUR = 3_600_000_000
#: The columns about invites, and the status that each counts.
_INVITES = {"accepted_count": ACCEPTED, "rejected_count": REJECTED, "pending_count": PENDING}
#: The columns about persons, and the action of the link that each counts.
_PERSONS = {"viewer_count": VIEWED, "joiner_count": JOINED}
#: What a document and the other documents of its host say.
HOSTED = columns_of(
    SOCIAL_EVENT_ROW,
    *("social_event_id", "person_id", "type", "is_planned", "created_at", "starts_at", "lead_time_hours"),
    "host_event_number",
)
_EVENTS = columns_of(
    inputs.SOCIAL_EVENT, inputs.DOCUMENT_ID.name, "user_id", "type", "createdAt", "startTime", "eventDate"
)


def hosted(tables: dict[str, pa.Table]) -> Results:
    """The join function of social `events` (one a document) and `users` by user id → `HOSTED`.

    A host who is no user anymore is none: the document stays, and with it what others did.
    """
    events, users = tables["events"], tables["users"].column("user_id").combine_chunks()
    host, created = events.column("user_id"), events.column("createdAt")
    is_user = pc.is_in(host, users)
    starts = pc.coalesce(events.column("startTime"), events.column("eventDate"))
    lead = pc.subtract(starts.cast(INTEGER), created.cast(INTEGER))
    values = {
        "social_event_id": events.column(inputs.DOCUMENT_ID.name),
        "person_id": pc.if_else(is_user, host, pa.scalar(None, TEXT)),
        "type": events.column("type"),
        "is_planned": pc.greater(lead, 0),
        "created_at": created,
        "starts_at": starts,
        "lead_time_hours": pc.divide(lead.cast(FLOAT, safe=False), float(_HOUR)),
        "host_event_number": pc.if_else(is_user, _numbers(events), pa.scalar(None, INTEGER)),
    }
    return Results([pa.table(values, schema=HOSTED)])


def _numbers(events: pa.Table) -> pa.Array:
    """Of each the place among those of its user."""
    keys = ("user_id", "createdAt", inputs.DOCUMENT_ID.name)
    order = pc.sort_indices(events, sort_keys=[(name, "ascending") for name in keys]).to_numpy()
    user = events.column("user_id").combine_chunks().dictionary_encode().indices.to_numpy()[order]
    place = np.arange(len(order))
    number = np.empty(len(order), np.int64)
    number[order] = place - np.maximum.accumulate(np.where(np.diff(user, prepend=-1) != 0, place, 0)) + 1
    return pa.array(number)


def social_event_rows(
    events: pa.Table, invites: pa.Table, who: pa.Table, actions: Collection[str], schema: pa.Schema
) -> pa.Table:
    """Rows with `schema`.

    Args:
      events: `HOSTED`.
      invites: `event_id` and `status` of invites to any of them; one of an unknown status counts for nothing.
      who: `INVOLVED` in any of them, a person perhaps more than once.
      actions: what the link can say that persons did; of others nothing is known.
      schema: of the table without the run columns.
    """
    ids = events.column("social_event_id")
    answers = {name: pc.equal(invites.column("status"), status).cast(INTEGER) for name, status in _INVITES.items()}
    found = pa.table({"event_id": invites.column("event_id")} | answers)
    values = {name: events.column(name) for name in events.schema.names} | _sums(found, "event_id", ids)
    invited = pc.add(pc.add(values["accepted_count"], values["rejected_count"]), values["pending_count"])
    values["invited_count"] = invited
    some = pc.if_else(pc.greater(invited, 0), invited, pa.scalar(None, INTEGER))
    values["acceptance_rate"] = pc.divide(values["accepted_count"].cast(FLOAT), some.cast(FLOAT))

    persons = grouped(who, "social_event_id", "person_id").aggregate([(action, "any") for action in _PERSONS.values()])
    did = {name: persons.column(f"{action}_any").cast(INTEGER) for name, action in _PERSONS.items()}
    counted = _sums(pa.table({"social_event_id": persons.column("social_event_id")} | did), "social_event_id", ids)
    for name, action in _PERSONS.items():
        values[name] = counted[name] if action in actions else pa.nulls(events.num_rows, INTEGER)
    return pa.table({name: values[name] for name in schema.names}, schema=schema)


def _sums(rows: pa.Table, key: str, wanted: pa.ChunkedArray) -> dict[str, pa.ChunkedArray]:
    """The sums of all other columns by key, of the wanted keys; 0 for one without rows."""
    names = [name for name in rows.schema.names if name != key]
    sums = grouped(rows, key).aggregate([(name, "sum") for name in names])
    found = rows_of_keys(sums, key, wanted, [f"{name}_sum" for name in names])
    return {name: found.column(f"{name}_sum").fill_null(0) for name in names}


def social_events(metrics: Metrics, target: Target, loaded_by: LoadedBy) -> JoinFunction:
    """The join function that makes rows of social_events, with their change.

    Its tables, all of one partition of social events: `events` (`HOSTED`), `invites`, `who` (`INVOLVED`) and
    `published` rows.
    """
    changes = compare(target, loaded_by)
    actions = {action for link in metrics.links if link.name == SOCIAL_EVENT_LINK for action in link.actions}

    def made(tables: dict[str, pa.Table]) -> Results:
        rows = social_event_rows(tables["events"], tables["invites"], tables["who"], actions, target.content)
        return changes({"rows": rows, "published": tables["published"]})

    return made


class MakeSocialEvents(beam.PTransform):
    """(social events, users, invites, who, published rows) → `Outcome` of social_events rows with their change.

    `who` are `INVOLVED`; all are PCollection[pa.RecordBatch]. See `social_events`.
    """

    def __init__(self, metrics: Metrics, target: Target, loaded_by: LoadedBy, partitions: int) -> None:
        super().__init__()
        self._function = social_events(metrics, target, loaded_by)
        self._hosts = {
            "events": Side("user_id", _EVENTS),
            "users": Side("user_id", columns_of(inputs.USERS, "user_id")),
        }
        self._sides = {
            "events": Side("social_event_id", HOSTED),
            "invites": Side("event_id", columns_of(inputs.INVITE, "event_id", "status")),
            "who": Side("social_event_id", INVOLVED),
            "published": Side("social_event_id", target.schema),
        }
        self._partitions = partitions

    def expand(self, inputs: tuple[PCollection[pa.RecordBatch], ...]) -> Outcome:
        """Two shuffles: by host, then by social event."""
        events, users, *others = inputs
        by_host = {"events": events, "users": users} | "Join by host" >> JoinByKey(
            hosted, self._hosts, self._partitions
        )
        sides = dict(zip(self._sides, (by_host.rows, *others), strict=True))
        return sides | "Join by social event" >> JoinByKey(self._function, self._sides, self._partitions)
