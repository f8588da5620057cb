"""What a source's column can be read as: physical types → the types that `pipeline.tables` declares, once.

Every exporter has its own types: PostHog's sessions export has 0/1 for booleans and unsigned counts, pandas makes
floats of whole numbers with gaps, Firestore's dates come as text, numbers or `{_seconds, _nanoseconds}`. `CASTS` says
which of them are read and how, for Parquet and for BigQuery alike (a BigQuery column counts as the Arrow type that the
Storage Read API gives it).

A value that a cast cannot read is null, never an error. Text is valid UTF-8 afterwards (see
`transforms.machinery.texts`), so that nothing that is published is unreadable. Only casts that keep the kind of a value
are made for a table whose every row counts (`needed`); a table that only adds facts is read as far as it can be.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from pipeline.warehouse import cast_texts as texts
from pipeline.warehouse import cast_times as times
from pipeline.warehouse import cast_values as values
from transforms.schemas.fields import BOOLEAN, DATE, FLOAT, INTEGER, TEXT, TEXTS, TIMESTAMP

Convert = Callable[[pa.Array], pa.Array]


@dataclass(frozen=True)
class Cast:
    """Columns of some physical types are read as a declared type by `convert`."""

    to: pa.DataType
    reads: Callable[[pa.DataType], bool]
    convert: Convert
    needed: bool = False
    """Also for tables of which every row counts."""


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_uuid(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_binary(kind) and kind.byte_width == 16)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_whole_or_float(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


#: The first that fits is taken.
CASTS = (
    Cast(TEXT, _is_text, texts.text, needed=True),
    Cast(TEXT, _is_uuid, texts.uuid_text, needed=True),
    Cast(TEXT, _is_bytes, texts.text_of_bytes, needed=True),
    Cast(TEXT, pa.types.is_fixed_size_binary, texts.text_of_bytes, needed=True),
    Cast(TEXT, _is_number, texts.text_of_numbers),
    Cast(BOOLEAN, pa.types.is_boolean, values.same, needed=True),
    Cast(BOOLEAN, _is_number, values.flags_of_numbers),
    Cast(BOOLEAN, _is_text, values.flags_of_texts),
    Cast(INTEGER, pa.types.is_integer, values.whole_numbers, needed=True),
    Cast(INTEGER, pa.types.is_floating, values.whole_of_floats),
    Cast(INTEGER, pa.types.is_decimal, values.whole_of_decimals),
    Cast(INTEGER, _is_text, values.whole_of_texts),
    Cast(FLOAT, _is_whole_or_float, values.floats, needed=True),
    Cast(TIMESTAMP, pa.types.is_timestamp, times.moments, needed=True),
    Cast(TIMESTAMP, pa.types.is_date, times.midnights),
    Cast(TIMESTAMP, _is_number, times.moments_of_numbers),
    Cast(TIMESTAMP, _is_text, times.moments_of_texts),
    Cast(TIMESTAMP, times.is_seconds_and_nanos, times.moments_of_structs),
    Cast(DATE, pa.types.is_date32, values.same, needed=True),
    Cast(TEXTS, pa.types.is_list, values.text_lists, needed=True),
)


@functools.lru_cache(maxsize=1_000)
def cast_for(kind: pa.DataType, wanted: pa.DataType, *, needed: bool) -> Convert | None:
    """How a column of a physical type becomes one of a declared type; None when it cannot.

    Args:
      kind: the Arrow type of the source's column.
      wanted: the type that `pipeline.tables` declares.
      needed: every row of the table counts, so that the kind of a value must not change.
    """
    if isinstance(kind, pa.BaseExtensionType):  # UUID and JSON: what they are stored as
        inner = cast_for(kind.storage_type, wanted, needed=needed)
        return inner and functools.partial(_of_storage, inner)
    if pa.types.is_dictionary(kind):
        inner = cast_for(kind.value_type, wanted, needed=needed)
        return inner and functools.partial(_of_dictionary, inner)
    if pa.types.is_null(kind):
        return functools.partial(_nulls, wanted)
    fits = (cast.convert for cast in CASTS if cast.to == wanted and cast.reads(kind) and (cast.needed or not needed))
    convert = next(fits, None)
    if convert and wanted == TIMESTAMP and not needed:
        # of a table whose rows count, whoever judges the rows decides what to do with such a moment
        return functools.partial(_in_calendar, convert)
    return convert


def _of_storage(convert: Convert, column: pa.Array) -> pa.Array:
    return convert(column.storage)


def _of_dictionary(convert: Convert, column: pa.Array) -> pa.Array:
    return convert(column.dictionary_decode())


def _in_calendar(convert: Convert, column: pa.Array) -> pa.Array:
    return times.in_calendar(convert(column))


def _nulls(wanted: pa.DataType, column: pa.Array) -> pa.Array:
    return pa.nulls(len(column), wanted)
