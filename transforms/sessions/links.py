"""Rows of `session_links`: those of sessions that are made anew, and those of sessions that stay as they are published.

The links of a session are facts of it, so they have its fate, and are compared with the published ones where that is
decided. They need nothing that comes later, and no shuffle of their own.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from transforms.published.changes import Target
from transforms.sessions.facts import LINKS


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
