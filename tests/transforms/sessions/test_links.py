"""The links of sessions have the fate of their session: made anew with it, or staying with it."""

from __future__ import annotations

import pyarrow as pa

from pipeline import tables
from tests.builders import METRICS
from transforms.sessions.facts import LINKS, fact_schema
from transforms.sessions.links import link_rows

TABLE = next(table for table in tables.outputs(METRICS) if table.name == "session_links")
FACTS = fact_schema(METRICS, tables.SESSIONS.under(METRICS).bare)


def content(session: str, number: int) -> dict[str, object]:
    """A row of the table: every column has a value of its type that says which row it is."""
    made: dict[str, object] = {}
    for field in TABLE.content:
        kind = field.type
        made[field.name] = f"{field.name} {number}" if pa.types.is_string(kind) else number
        if pa.types.is_timestamp(kind) or pa.types.is_boolean(kind):
            made[field.name] = pa.scalar(number, pa.int64()).cast(kind).as_py()
    return made | {"session_id": session}


def facts(*rows: dict[str, object]) -> pa.Table:
    """Facts of the sessions of these rows, with them as their links."""
    inner = FACTS.field(LINKS).type.value_type
    names = [inner.field(i).name for i in range(inner.num_fields)]
    found = []
    for session in dict.fromkeys(row["session_id"] for row in rows):
        mine = [row for row in rows if row["session_id"] == session]
        of_session = {name: mine[0][name] for name in TABLE.content.names if name in FACTS.names}
        found.append(of_session | {LINKS: [{name: row[name] for name in names} for row in mine]})
    return pa.Table.from_pylist(found, FACTS)


def test_links_of_fresh_sessions_are_made_and_those_of_staying_ones_stay() -> None:
    fresh = [content("fresh", 1), content("fresh", 2)]
    for name in set(TABLE.content.names) & set(FACTS.names):  # what is of the session is the same in all its links
        fresh[1][name] = fresh[0][name]
    published = [content("fresh", 3), content("stays", 4), content("gone", 5)]
    kept = pa.Table.from_pylist(published, TABLE.bare)
    found = link_rows(facts(*fresh), pa.chunked_array([["stays"]]), kept, TABLE.target)
    assert found.schema == TABLE.content
    assert found.to_pylist() == pa.Table.from_pylist([*fresh, published[1]], TABLE.content).to_pylist()


def test_a_session_without_links_has_none() -> None:
    nothing = pa.Table.from_pylist([{"session_id": "s", LINKS: []}], FACTS)
    empty = TABLE.bare.empty_table()
    assert link_rows(nothing, pa.chunked_array([[]], pa.string()), empty, TABLE.target).num_rows == 0
