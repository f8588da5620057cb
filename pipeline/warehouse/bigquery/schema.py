"""`pipeline.tables` as BigQuery schemas, and what of an existing table does not fit. Pure.

A field is BigQuery's own form: a dict of name, type, mode and description.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipeline.errors import RunError
from pipeline.tables import Table, description
from transforms.changes import CHANGE

Field = dict[str, Any]

_TYPES = {
    pa.string(): "STRING",
    pa.int64(): "INTEGER",
    pa.float64(): "FLOAT",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us", "UTC"): "TIMESTAMP",
}
#: The API accepts and gives both names.
_SAME = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}
#: Types of input columns that are read as one of ours.
_READABLE = {
    "STRING": ("STRING", "JSON"),
    "INTEGER": ("INTEGER",),
    "FLOAT": ("FLOAT", "INTEGER"),
    "BOOLEAN": ("BOOLEAN",),
    "TIMESTAMP": ("TIMESTAMP",),
}


def fields_of(table: Table) -> list[Field]:
    """The columns of a table as it is published."""
    return [_field(field, "NULLABLE" if field.nullable else "REQUIRED") for field in table.schema]


def staging_fields(table: Table) -> list[Field]:
    """The columns of its staging table: nothing required, and what happens to each row."""
    change = {"name": CHANGE, "type": "STRING", "mode": "NULLABLE", "description": "What publishing does with the row."}
    return [*(_field(field, "NULLABLE") for field in table.schema), change]


def missing_fields(table: Table, existing: Sequence[Field], label: str) -> list[Field]:
    """The columns that an existing target lacks, to be added (nullable, as BigQuery wants it).

    Raises:
      RunError: a column has another type, or is none of ours; the message names it and what to do.
    """
    wanted = {field["name"]: field for field in fields_of(table)}
    found = {field["name"]: field for field in existing}
    for name, field in found.items():
        if name not in wanted:
            raise RunError(
                f"{label}: column {name!r} is none of this pipeline's; drop it (ALTER TABLE … DROP COLUMN {name}) or "
                "write to another --aggregated_dataset"
            )
        kinds = [(_type(one), one.get("mode") == "REPEATED") for one in (field, wanted[name])]
        if kinds[0] != kinds[1]:
            raise RunError(
                f"{label}: column {name!r} is {_type(field)}, expected {wanted[name]['type']}; drop it and run with "
                "--full_load, or write to another --aggregated_dataset"
            )
    missing = [field for name, field in wanted.items() if name not in found]
    return [field | {"mode": "REPEATED" if field["mode"] == "REPEATED" else "NULLABLE"} for field in missing]


def check_input(table: Table, existing: Sequence[Field], label: str) -> tuple[str, ...]:
    """The table's columns that an existing input table has.

    Raises:
      RunError: a required column is missing, or a column has a type that does not fit, naming them.
    """
    found = {field["name"]: field for field in existing}
    present = []
    for wanted in fields_of(table):
        name, field = wanted["name"], found.get(wanted["name"])
        if field is None:
            if wanted["mode"] == "REQUIRED":
                raise RunError(f"{label}: required column {name!r} is missing")
            continue
        allowed = _READABLE[wanted["type"]]
        if _type(field) not in allowed or field.get("mode") == "REPEATED":
            raise RunError(f"{label}: column {name!r} is {_type(field)}, expected {' or '.join(allowed)}")
        present.append(name)
    return tuple(present)


def _type(field: Field) -> str:
    kind = str(field["type"])
    return _SAME.get(kind, kind)


def _field(field: pa.Field, mode: str) -> Field:
    kind = field.type
    if pa.types.is_list(kind):
        kind, mode = kind.value_type, "REPEATED"
    return {"name": field.name, "type": _TYPES[kind], "mode": mode, "description": description(field)}
