"""`pipeline.tables` as BigQuery schemas, and what of an existing table does not fit. Pure.

A field is BigQuery's own form: a dict of name, type, mode and description.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from pipeline import tables
from pipeline.errors import RunError
from pipeline.tables import OutputTable, Table
from pipeline.warehouse.binding import Binding, Found, bind
from transforms.published.changes import CHANGE
from transforms.schemas.fields import description

Field = dict[str, Any]

_TYPES = {
    pa.string(): "STRING",
    pa.int64(): "INTEGER",
    pa.float64(): "FLOAT",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us", "UTC"): "TIMESTAMP",
    pa.date32(): "DATE",
}
#: The API accepts and gives both names.
_SAME = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}
#: What the Storage Read API gives for the types that a `Cast` reads; DATETIME as Avro has it, as text.
_KINDS = {
    "STRING": pa.string(),
    "JSON": pa.string(),
    "BYTES": pa.binary(),
    "INTEGER": pa.int64(),
    "FLOAT": pa.float64(),
    "NUMERIC": pa.decimal128(38, 9),
    "BIGNUMERIC": pa.decimal256(76, 38),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
    "DATE": pa.date32(),
    "DATETIME": pa.string(),
}
#: Stands for all others: nothing is read from it.
_OTHER = pa.time64("us")
#: What an input column should be.
_EXPECTED = {
    pa.string(): "STRING or JSON",
    pa.int64(): "INTEGER",
    pa.float64(): "FLOAT or INTEGER",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us", "UTC"): "TIMESTAMP",
    pa.date32(): "DATE",
}


@dataclass(frozen=True)
class About:
    """What a table says of itself beside its columns."""

    description: str
    key: tuple[str, ...]
    """Its primary key, which BigQuery does not enforce, but its optimizer and its readers use."""
    labels: Mapping[str, str]


def about(table: Table) -> About:
    """What a table that runs write says of itself."""
    personal = "yes" if tables.PERSONAL & set(table.schema.names) else "no"
    labels = {"made_by": "sessions-and-persons", "personal_data": personal}
    if isinstance(table, OutputTable):
        return About(table.output.description, table.output.key, labels)
    return About(tables.RUNS_DESCRIPTION, (tables.RUNS_KEY,), labels)


def described(table: Table, existing: Sequence[Field], said: About | None) -> list[Field] | None:
    """The columns of a table, with what they mean now; None where it and they say so already."""
    wanted, now = about(table), {field["name"]: field["description"] for field in fields_of(table)}
    fields = [{**field, "description": now.get(field["name"], field.get("description", ""))} for field in existing]
    said_labels = {name: label for name, label in said.labels.items() if name in wanted.labels} if said else {}
    says_so = said is not None and wanted == replace(said, labels=said_labels)
    return None if says_so and fields == [*existing] else fields


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


def binding_of(table: Table, existing: Sequence[Field], label: str) -> Binding:
    """How the columns of an existing input table are read; RunError as `binding.bind` says."""
    found = [Found(field["name"], _kind(field), _told(field)) for field in existing]
    return bind(table, found, label, _EXPECTED, "")


def _kind(field: Field) -> pa.DataType:
    """The Arrow type that reading a column gives."""
    if field.get("mode") == "REPEATED":
        return pa.list_(_kind(field | {"mode": "NULLABLE"}))
    if _type(field) in ("RECORD", "STRUCT"):
        return pa.struct([(part["name"], _kind(part)) for part in field.get("fields", ())])
    return _KINDS.get(_type(field), _OTHER)


def _told(field: Field) -> str:
    return f"{'REPEATED ' if field.get('mode') == 'REPEATED' else ''}{_type(field)}"


def _type(field: Field) -> str:
    kind = str(field["type"])
    return _SAME.get(kind, kind)


def _field(field: pa.Field, mode: str) -> Field:
    kind = field.type
    if pa.types.is_list(kind):
        kind, mode = kind.value_type, "REPEATED"
    return {"name": field.name, "type": _TYPES[kind], "mode": mode, "description": description(field)}
