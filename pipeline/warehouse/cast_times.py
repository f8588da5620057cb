"""Casts to moments in µs, UTC (see `casts.CASTS`): what is no moment is null.

A number is seconds, milliseconds, microseconds or nanoseconds since 1970 by its magnitude: below 10¹¹ seconds, below
10¹⁴ milliseconds, below 10¹⁷ microseconds. In milliseconds the first bound is March 1973, before all that is exported.
A time without a zone is UTC; a date is its midnight.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.warehouse.cast_texts import text as as_text
from pipeline.warehouse.cast_values import whole_numbers
from transforms.machinery.times import micros
from transforms.schemas.fields import FLOAT, INTEGER, TIMESTAMP

#: Moments are clipped here: beyond all calendars, and a day can still be added.
LIMIT = 2**62
_GREATEST = 2**63 - 1
_SECONDS, _MILLIS, _MICROS = 10**11, 10**14, 10**17
_DAY = 86_400_000_000
_FACTORS = {"s": 1_000_000, "ms": 1_000}
_FIRST, _BEYOND = micros(datetime(1, 1, 1, tzinfo=UTC)), micros(datetime(9999, 12, 31, tzinfo=UTC)) + _DAY
_NUMBER = re.compile(r"[+-]?\d{9,19}(\.\d+)?")
_ZONE = re.compile(r"\s*(UTC|GMT)$")
_NAMES = ({"_seconds", "_nanoseconds"}, {"seconds", "nanoseconds"}, {"seconds", "nanos"})


def moments(column: pa.Array) -> pa.Array:
    """Moments of any unit and zone; nanoseconds are cut."""
    if column.type == TIMESTAMP:
        return column
    factor = _FACTORS.get(column.type.unit)
    if factor:
        return _scaled(column.cast(INTEGER), factor)
    return pc.cast(column, TIMESTAMP, safe=False)


def midnights(column: pa.Array) -> pa.Array:
    """Dates."""
    if pa.types.is_date32(column.type):
        return _scaled(column.cast(pa.int32()).cast(INTEGER), _DAY)
    return _scaled(column.cast(INTEGER), 1_000)


def moments_of_numbers(column: pa.Array) -> pa.Array:
    """Time since 1970, in the unit that the magnitude says."""
    if pa.types.is_integer(column.type):
        if pa.types.is_uint64(column.type):
            column = pc.min_element_wise(column, pa.scalar(LIMIT, pa.uint64()), skip_nulls=False)
        # the least number of all has no absolute value
        return _stamps(_by_magnitude(np.clip(_numpy(column.cast(INTEGER)), -_GREATEST, _GREATEST)), column)
    numbers = column.cast(FLOAT, safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    known = np.isfinite(numbers) & (np.abs(numbers) < LIMIT)
    found = _by_magnitude(np.where(known, numbers, 0.0))
    return pc.if_else(pa.array(known), _stamps(np.round(found).astype(np.int64), None), pa.scalar(None, TIMESTAMP))


def moments_of_texts(column: pa.Array) -> pa.Array:
    """ISO 8601 with or without a zone, time since 1970 in digits, or `{"_seconds": …, "_nanoseconds": …}`."""
    found = [None if text is None else _moment(text) for text in as_text(column).to_pylist()]
    return pa.array(found, INTEGER).view(TIMESTAMP)


def is_seconds_and_nanos(kind: pa.DataType) -> bool:
    """Whether it is a struct as Firestore's clients write a timestamp."""
    if not pa.types.is_struct(kind):
        return False
    fields = [kind.field(number) for number in range(kind.num_fields)]
    return {field.name for field in fields} in _NAMES and all(pa.types.is_integer(field.type) for field in fields)


def moments_of_structs(column: pa.Array) -> pa.Array:
    """Seconds and nanoseconds, see `is_seconds_and_nanos`."""
    parts = {column.type.field(number).name: pc.struct_field(column, [number]) for number in range(2)}
    seconds, nanos = (whole_numbers(parts.pop(name)) for name in sorted(parts, key=lambda name: "nano" in name))
    whole = _scaled(seconds, 1_000_000).view(INTEGER)
    rest = pc.divide(nanos.fill_null(0), 1_000)
    return pc.add(whole, rest).view(TIMESTAMP)


def in_calendar(column: pa.Array) -> pa.Array:
    """Moments, null outside the years 1 to 9999: BigQuery and Python know no others."""
    raw = column.view(INTEGER)
    known = pc.and_(pc.greater_equal(raw, _FIRST), pc.less(raw, _BEYOND))
    return column if pc.all(known).as_py() is not False else pc.if_else(known, column, pa.scalar(None, TIMESTAMP))


def _scaled(column: pa.Array, factor: int) -> pa.Array:
    """Whole numbers of a unit of `factor` µs."""
    return _stamps(np.clip(_numpy(column), -LIMIT // factor, LIMIT // factor) * factor, column)


def _by_magnitude(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    size = np.abs(numbers)
    steps = [size < _SECONDS, size < _MILLIS, size < _MICROS]
    # each on its own part: a product of the others would overflow
    scaled = [np.where(steps[0], numbers, 0) * 1_000_000, np.where(steps[1], numbers, 0) * 1_000, numbers]
    return np.select(steps, scaled, numbers // 1_000)


def _moment(text: str) -> int | None:
    text = text.strip().strip('"')
    try:
        if text.startswith("{"):
            return _of_parts(json.loads(text))
        if _NUMBER.fullmatch(text):
            return int(_by_magnitude(np.array([float(text) if "." in text else int(text)]))[0])
        found = datetime.fromisoformat(_ZONE.sub("+00:00", text))
        return micros(found if found.tzinfo else found.replace(tzinfo=UTC))
    except (ValueError, OverflowError, RecursionError):
        return None


def _of_parts(parts: dict[str, Any]) -> int | None:
    if set(parts) not in _NAMES or not all(type(part) is int for part in parts.values()):
        return None
    nanos = next(value for name, value in parts.items() if "nano" in name)
    seconds = next(value for name, value in parts.items() if "nano" not in name)
    found = seconds * 1_000_000 + nanos // 1_000
    return found if abs(found) < LIMIT else None


def _numpy(column: pa.Array) -> npt.NDArray[np.int64]:
    return np.asarray(column.fill_null(0).to_numpy(zero_copy_only=False), np.int64)


def _stamps(values: npt.NDArray[np.int64], like: pa.Array | None) -> pa.Array:
    """µs as moments, null where `like` is."""
    found = pa.array(values, INTEGER).view(TIMESTAMP)
    if like is None or not like.null_count:
        return found
    return pc.if_else(like.is_valid(), found, pa.scalar(None, TIMESTAMP))
