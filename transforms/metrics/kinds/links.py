"""Links: which domain objects a session has to do with, as a social event that is viewed and joined, and how.

A property names the object, the name of an event says what was done with it. Flags of a session cannot tell whether
what was joined is what was viewed; links can.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
import pyarrow as pa

from transforms.metrics.kinds.conditions import Condition, Text, Texts, When
from transforms.metrics.kinds.kind import TIME, Column, Ints, Needs, Noun, SessionEvents, times

#: The link whose objects are social events, by the ids of their documents; and its actions of which `social_events`
#: counts the persons.
SOCIAL_EVENT_LINK, VIEWED, JOINED = "social_event", "viewed", "joined"

Actions = Annotated[dict[Noun, Texts], msgspec.Meta(min_length=1, max_length=20)]


class Link(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One `[links.NAME]` of a metrics file."""

    name: str
    description: Text
    property: Text
    """Its text names the object; events without one have nothing to do with any."""
    actions: Actions
    """Action → the names of the events that do it."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 100
    """So many objects of a session are kept: those that come first in it."""

    def conditions(self) -> dict[str, Condition]:
        """Which events do an action."""
        return {action: When(events=names).condition() for action, names in self.actions.items()}

    def names(self) -> frozenset[str]:
        """The names of the events of which its text is needed."""
        return frozenset(name for names in self.actions.values() for name in names)

    def needs(self) -> Needs:
        """One text an event, and one bit an action."""
        return Needs(conditions=tuple(self.conditions().values()), texts=(self.property,))


def link_columns(actions: Sequence[str]) -> list[Column]:
    """What is told of a link and object; of each action null where the link has none of the name.

    Args:
      actions: of all links.
    """
    done = [
        column
        for action in actions
        for column in (
            Column(f"first_{action}_at", TIME, f"When the first event with the action {action} was.", False),
            Column(f"{action}_count", pa.int64(), f"Events with the action {action}.", False),
        )
    ]
    return [
        Column("link", pa.string(), "Which of the links of the metrics file.", True),
        Column("value", pa.string(), "The object, as the link's property names it.", True),
        Column("is_cut", pa.bool_(), "The session has more objects of this link than its limit.", True),
        *done,
    ]


def link_type(actions: Sequence[str]) -> pa.ListType:
    """The links of a session, as they travel with its facts."""
    return pa.list_(pa.struct([(one.name, one.type) for one in link_columns(actions)]))


def links_of(links: Sequence[Link], events: SessionEvents, actions: Sequence[str]) -> pa.ListArray:
    """Of each session a list with an entry a link and object, by link and there in order of the first event."""
    kind = link_type(actions)
    found = [_objects(link, events, kind.value_type) for link in links]
    session = np.concatenate([np.zeros(0, np.int64), *(owner for owner, _ in found)])
    entries = pa.concat_arrays([pa.array([], kind.value_type), *(objects for _, objects in found)])
    sizes = np.bincount(session, minlength=len(events.starts))
    offsets = np.append(0, np.cumsum(sizes)).astype(np.int32)
    order = np.argsort(session, kind="stable")
    return pa.ListArray.from_arrays(pa.array(offsets), entries.take(pa.array(order)), type=kind)


def _objects(link: Link, events: SessionEvents, kind: pa.StructType) -> tuple[Ints, pa.StructArray]:
    """The objects of a link that are kept, in order of their sessions and first events: (session, entry) of each."""
    column, conditions = events.text(link.property), link.conditions()
    hits = {action: events.matches(condition) & (column.codes >= 0) for action, condition in conditions.items()}
    rows = np.flatnonzero(np.logical_or.reduce(list(hits.values())))
    width = len(column.values) + 1
    owner = np.searchsorted(events.starts, rows, side="right") - 1
    pairs, first, of = np.unique(owner * width + column.codes[rows], return_index=True, return_inverse=True)
    order = np.argsort(first)  # rows are in order, so objects come in that of their first event
    session = (pairs // width)[order]
    sizes = np.bincount(session, minlength=len(events.starts))
    place = np.arange(len(session)) - (np.cumsum(sizes) - sizes)[session]
    kept = order[place < link.limit]
    session = session[place < link.limit]

    values = {
        "link": pa.array([link.name] * len(kept), pa.string()),
        "value": column.values.take(pa.array((pairs % width)[kept])),
        "is_cut": pa.array(sizes[session] > link.limit),
    }
    for action, hit in hits.items():
        done = hit[rows]
        number = np.bincount(of[done], minlength=len(pairs))
        objects, earliest = np.unique(of[done], return_index=True)
        time = np.zeros(len(pairs), np.int64)
        time[objects] = events.times[rows[done][earliest]]
        values[f"first_{action}_at"] = times(time[kept], number[kept] > 0)
        values[f"{action}_count"] = pa.array(number[kept], pa.int64())
    arrays = [values[field.name] if field.name in values else pa.nulls(len(kept), field.type) for field in kind]
    return session, pa.StructArray.from_arrays(arrays, fields=list(kind))
