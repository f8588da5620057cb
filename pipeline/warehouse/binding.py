"""Which column of a source is which column of a table: by name without regard to case, by what its type can become.

Of a table whose every row counts (the events, and what this pipeline publishes) a column that is missing, ambiguous or
of another kind stops the run with one line that names it. Of an optional input it is null, and told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

from pipeline.errors import RunError
from pipeline.tables import OPTIONAL_INPUTS, Table
from pipeline.warehouse.base import Problem
from pipeline.warehouse.batches import LONG
from pipeline.warehouse.casts import cast_for
from transforms.schemas.fields import TEXT, TIMESTAMP

#: Beginning of the names of counts: columns that are null because of their type, and single values.
UNREADABLE, LOST = "unreadable.", "unreadable_values."
#: Called with a column and the number of its values that could not be read.
Lost = Callable[[str, int], None]


class Found(NamedTuple):
    """A column as a source has it."""

    name: str
    kind: pa.DataType
    """The Arrow type that reading gives."""
    told: str
    """Its type in the source's own words."""


@dataclass(frozen=True)
class Binding:
    """How the columns of a table are read from one source."""

    table: Table
    label: str
    """The table as the user knows it, `dataset.table`."""
    sources: Mapping[str, str]
    """Column of the table → the source's name for it; those that it lacks, or that cannot be read, are not there."""
    unreadable: Mapping[str, str]
    """Column of the table → one line that says why it is null."""
    exact: Mapping[str, pa.DataType]
    """The source's name → its type, of those that need no cast."""

    @property
    def names(self) -> tuple[str, ...]:
        """The source's names of all columns that are read, in the table's order."""
        return tuple(self.sources[name] for name in self.table.schema.names if name in self.sources)

    @property
    def problems(self) -> list[Problem]:
        """The same for the user and for the ledger."""
        named = ((f"{UNREADABLE}{noun(self.table)}.{name}", line) for name, line in self.unreadable.items())
        return [Problem(f"{line}; it is null", name) for name, line in named]

    def conform(self, batch: pa.RecordBatch, lost: Lost | None = None) -> pa.RecordBatch:
        """A batch of the source as one of the table's bare schema."""
        schema, needed = self.table.bare, not is_optional(self.table)
        columns = []
        for field in schema:
            source = self.sources.get(field.name)
            column = pa.nulls(batch.num_rows, field.type) if source is None else batch.column(source)
            # long text that is as it should be stays unchecked: see transforms.machinery.texts
            if column.type != field.type or not needed or (column.type == TEXT and field.name not in LONG):
                convert = cast_for(column.type, field.type, needed=needed)
                if convert is None:
                    raise RunError(f"{self.label}: column {source!r} was read as {column.type}, expected {field.type}")
                read = convert(column)
                if lost is not None and read.null_count > column.null_count:
                    lost(field.name, read.null_count - column.null_count)
                column = read
            columns.append(column)
        return pa.RecordBatch.from_arrays(columns, schema=schema)


def noun(table: Table) -> str:
    """An input table in names of counts: two datasets have a table `events`."""
    return table.name if table.name == "users" else f"{table.source}_{table.name}"


def is_optional(table: Table) -> bool:
    """Whether a run can do without it."""
    return table in OPTIONAL_INPUTS


def bind(table: Table, found: Iterable[Found], label: str, expected: Mapping[pa.DataType, str], where: str) -> Binding:
    """Find a table's columns in a source.

    Args:
      table: whose columns.
      found: the columns of the source.
      label: the table as the user knows it, `dataset.table`.
      expected: declared type → the types that are read as it, in the source's own words.
      where: the file, as ` in part-0.parquet`; empty for a source that has none.

    Raises:
      RunError: a required column is missing, or a needed one cannot be read; naming table, column and file.
    """
    every = list(found)
    sources, unreadable, exact = dict[str, str](), dict[str, str](), dict[str, pa.DataType]()
    for field in table.schema:
        same = _of_name(field.name, every)
        if not same:
            if not field.nullable:
                raise RunError(f"{label}: required column {field.name!r} is missing{where}")
            continue
        problem = _problem(field, same, where, expected, needed=not is_optional(table))
        if not problem:
            sources[field.name] = same[0].name
            if same[0].kind == field.type:
                exact[same[0].name] = field.type
        elif is_optional(table):
            unreadable[field.name] = f"{label}: {problem}"
        else:
            remedy = _ADVICE.get(field.type, "cast it") if len(same) == 1 else "leave one of them in the export"
            raise RunError(f"{label}: {problem}; {remedy}")
    return Binding(table, label, sources, unreadable, exact)


_ADVICE = {
    TEXT: "write it as text (of a struct TO_JSON_STRING, of a number a CAST)",
    TIMESTAMP: "write it as a timestamp (CAST(… AS TIMESTAMP), or TIMESTAMP_MILLIS of a number)",
}


def _of_name(name: str, found: Sequence[Found]) -> list[Found]:
    """The columns of that name: spelled so when there are such, else in any case."""
    exact = [column for column in found if column.name == name]
    return exact or [column for column in found if column.name.lower() == name.lower()]


def _problem(
    field: pa.Field, same: Sequence[Found], where: str, expected: Mapping[pa.DataType, str], *, needed: bool
) -> str | None:
    if len(same) > 1:
        return f"column {field.name!r} is there {len(same)} times{where} ({', '.join(one.name for one in same)})"
    if cast_for(same[0].kind, field.type, needed=needed) is None:
        return f"column {field.name!r} is {same[0].told}{where}, expected {expected.get(field.type, field.type)}"
    return None
