"""Rows of `session_links`, and who did what with which social event, as they say.

Rows are those of sessions that are made anew, and those of sessions that stay as they are published.

The links of a session are facts of it, so they have its fate, and are compared with the published ones where that is
decided. They need nothing that comes later, and no shuffle of their own. Whose the sessions are is known there as well.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from transforms.machinery.keys import grouped, rows_of_keys
from transforms.metrics.kinds.links import JOINED, SOCIAL_EVENT_LINK, VIEWED
from transforms.published.changes import Target
from transforms.schemas.fields import BOOLEAN, columns_of
from transforms.schemas.outputs import SOCIAL_EVENT_ROW
from transforms.sessions.facts import LINKS

#: A social event, as the link names it, a person, and what the person did with it.
INVOLVED = pa.schema(
    [*columns_of(SOCIAL_EVENT_ROW, "social_event_id", "person_id"), (VIEWED, BOOLEAN), (JOINED, BOOLEAN)]
)


def link_rows(facts: pa.Table, staying: pa.ChunkedArray, published: pa.Table, target: Target) -> pa.Table:
    """Rows of `target.content`.

    Args:
      facts: of sessions that are made anew.
      staying: ids of the sessions whose published facts stay.
      published: rows of `session_links` of all these sessions.
      target: the table.
    """
    lists = facts.column(LINKS).combine_chunks()
    parents = pc.list_parent_indices(lists)
    entries = pa.Table.from_struct_array(lists.flatten())
    fresh = {name: facts.column(name).take(parents) for name in target.content.names if name in facts.schema.names}
    fresh |= {name: entries.column(name) for name in entries.schema.names}
    kept = published.filter(pc.is_in(published.column("session_id"), staying.combine_chunks()))
    made = pa.table([fresh[name] for name in target.content.names], schema=target.content)
    return pa.concat_tables([made, kept.select(target.content.names)])


def involved_persons(rows: pa.Table, sessions: pa.Table) -> pa.Table:
    """`INVOLVED`, one row a social event and person who viewed or joined it in some of the sessions.

    Args:
      rows: of `session_links`.
      sessions: `session_id` and `person_id` of all of their sessions.
    """
    rows = rows.filter(pc.equal(rows.column("link"), SOCIAL_EVENT_LINK))
    person = rows_of_keys(sessions, "session_id", rows.column("session_id"), ["person_id"]).column("person_id")
    columns = {"social_event_id": rows.column("value"), "person_id": person}
    for action in (VIEWED, JOINED):
        name = f"{action}_count"
        done = pc.greater(rows.column(name), 0).fill_null(False) if name in rows.schema.names else None
        columns[action] = pa.repeat(False, rows.num_rows) if done is None else done
    told = pa.table(columns, schema=INVOLVED)
    told = told.filter(pc.or_(told.column(VIEWED), told.column(JOINED)))
    found = grouped(told, "social_event_id", "person_id").aggregate([(VIEWED, "any"), (JOINED, "any")])
    return found.rename_columns(INVOLVED.names)
