"""Casts to text (see `casts.CASTS`): always valid UTF-8, U+FFFD for what is not."""

from __future__ import annotations

import binascii
from decimal import Decimal
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.machinery.texts import valid_text
from transforms.schemas.fields import INTEGER, TEXT

#: Where the digits of a UUID stand in its text.
_DIGITS = [place for place in range(36) if place not in (8, 13, 18, 23)]
#: Floats are exact for whole numbers up to here.
_EXACT = 2**53


def text(column: pa.Array) -> pa.Array:
    """Text of any width; what is no UTF-8 (a character cut in the middle) becomes U+FFFD."""
    if pa.types.is_string_view(column.type):
        return text_of_bytes(column.cast(pa.binary_view()).cast(pa.binary()))
    return valid_text(column if column.type == TEXT else column.cast(TEXT))


def text_of_bytes(column: pa.Array) -> pa.Array:
    """Bytes that hold UTF-8; 16 bytes that do not are a UUID, in other bytes U+FFFD stands for what is none."""
    column = column.cast(pa.binary())
    try:
        return column.cast(TEXT)
    except pa.ArrowInvalid:
        return pa.array([None if value is None else _of_bytes(value) for value in column.to_pylist()], TEXT)


def uuid_text(column: pa.Array) -> pa.Array:
    """16 bytes each, as Parquet stores a UUID → its text, in lower case with dashes."""
    size = len(column)
    if column.null_count == size:
        return pa.nulls(size, TEXT)
    raw = bytes(memoryview(column.buffers()[1])[column.offset * 16 : (column.offset + size) * 16])
    letters = np.full((size, 36), ord("-"), np.uint8)
    letters[:, _DIGITS] = np.frombuffer(binascii.hexlify(raw), np.uint8).reshape(size, 32)
    offsets = np.arange(0, (size + 1) * 36, 36, dtype=np.int32)
    found = pa.StringArray.from_buffers(size, pa.py_buffer(offsets), pa.py_buffer(letters))
    return pc.if_else(column.is_valid(), found, pa.scalar(None, TEXT)) if column.null_count else found


def text_of_numbers(column: pa.Array) -> pa.Array:
    """Ids that a loader took for numbers: 15550100001 and 15550100001.0 are both "15550100001"."""
    if pa.types.is_integer(column.type):
        return column.cast(TEXT)
    if pa.types.is_decimal(column.type):
        return pa.array([None if value is None else _digits(value) for value in column.to_pylist()], TEXT)
    numbers = column.cast(pa.float64())
    whole = pc.and_(pc.equal(pc.floor(numbers), numbers), pc.less_equal(pc.abs(numbers), float(_EXACT)))
    digits = pc.if_else(whole, numbers, 0.0).cast(INTEGER).cast(TEXT)
    return pc.if_else(pc.is_finite(numbers), pc.if_else(whole, digits, numbers.cast(TEXT)), pa.scalar(None, TEXT))


def _of_bytes(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return str(UUID(bytes=raw)) if len(raw) == 16 else raw.decode("utf-8", "replace")


def _digits(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
