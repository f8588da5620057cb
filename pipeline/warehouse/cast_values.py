"""Casts to booleans and numbers (see `casts.CASTS`): a value that is none of them is null."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.warehouse.cast_texts import text as as_text
from transforms.schemas.fields import BOOLEAN, FLOAT, INTEGER, TEXTS

_GREATEST = 2**63 - 1
#: Words for true, then as many for false.
_WORDS = pa.array(["true", "t", "yes", "y", "1", "1.0", "false", "f", "no", "n", "0", "0.0"])


def same(column: pa.Array) -> pa.Array:
    """What needs no cast."""
    return column


def flags_of_numbers(column: pa.Array) -> pa.Array:
    """1 is true, 0 is false, all else null: PostHog's sessions export has `is_bounce` so."""
    numbers = column.cast(FLOAT, safe=False)
    known = pc.or_(pc.equal(numbers, 0.0), pc.equal(numbers, 1.0))
    return pc.if_else(known, pc.equal(numbers, 1.0), pa.scalar(None, BOOLEAN))


def flags_of_texts(column: pa.Array) -> pa.Array:
    """`true`, `t`, `yes`, `y`, `1` and their opposites in any case; all else null."""
    words = pc.utf8_lower(pc.utf8_trim_whitespace(as_text(column)))
    return pc.less(pc.index_in(words, value_set=_WORDS, skip_nulls=True), len(_WORDS) // 2)


def whole_numbers(column: pa.Array) -> pa.Array:
    """Signed and unsigned numbers of any width; beyond 64 bits with a sign they are null."""
    if column.type == INTEGER:
        return column
    if pa.types.is_uint64(column.type):
        small = pc.less_equal(column, pa.scalar(_GREATEST, pa.uint64()))
        column = pc.if_else(small, column, pa.scalar(None, pa.uint64()))
    return column.cast(INTEGER)


def whole_of_floats(column: pa.Array) -> pa.Array:
    """Counts that pandas made floats because some were null; fractions and what is no number are null."""
    numbers = column.cast(FLOAT)
    whole = pc.and_(pc.equal(pc.floor(numbers), numbers), pc.less(pc.abs(numbers), float(2**63)))
    return pc.if_else(whole, numbers, pa.scalar(None, FLOAT)).cast(INTEGER)


def whole_of_decimals(column: pa.Array) -> pa.Array:
    """NUMERIC without a fraction."""
    return pa.array(_whole(column.to_pylist()), INTEGER)


def whole_of_texts(column: pa.Array) -> pa.Array:
    """Digits, also as `12.0`."""
    return pa.array(_whole(_decimal(text) for text in as_text(column).to_pylist()), INTEGER)


def floats(column: pa.Array) -> pa.Array:
    """Floats and whole numbers."""
    return column if column.type == FLOAT else column.cast(FLOAT, safe=False)


def text_lists(column: pa.Array) -> pa.Array:
    """Lists of texts."""
    return column if column.type == TEXTS else column.cast(TEXTS)


def _decimal(text: str | None) -> Decimal | None:
    try:
        return None if text is None else Decimal(text.strip())
    except InvalidOperation:
        return None


def _whole(numbers: Iterable[Decimal | None]) -> list[int | None]:
    # compared before it is made whole: 1e999999 has a million digits then
    return [
        int(number)
        if number is not None and number.is_finite() and abs(number) <= _GREATEST and number == int(number)
        else None
        for number in numbers
    ]
