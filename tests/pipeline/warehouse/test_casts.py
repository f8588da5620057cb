"""Every physical type that an exporter may choose: read as the declared type, or not at all; a bad value is null."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.warehouse.cast_times import LIMIT
from pipeline.warehouse.casts import CASTS, cast_for
from transforms.schemas.fields import BOOLEAN, DATE, FLOAT, INTEGER, TEXT, TEXTS, TIMESTAMP

NUMERIC = pa.decimal128(38, 9)
CUT = b"caf\xc3"  # a character of two bytes without its second
ID = UUID("018f0000-0000-7000-8000-00000000abcd")
MOMENT = 1_762_000_000_000_000
SECONDS_AND_NANOS = pa.struct([("_seconds", pa.int64()), ("_nanoseconds", pa.int64())])


def not_utf8(*values: bytes | None) -> pa.Array:
    """A column of text that is none."""
    raw = pa.array(values, pa.binary())
    _, offsets, data = raw.buffers()
    return pa.StringArray.from_buffers(len(raw), offsets, data, raw.buffers()[0])


def read(column: pa.Array, wanted: pa.DataType, *, needed: bool = False) -> list[Any]:
    """The values of a column after its cast, times as µs."""
    convert = cast_for(column.type, wanted, needed=needed)
    assert convert, f"{column.type} is not read as {wanted}"
    found = convert(column)
    assert found.type == wanted
    found.validate(full=True)
    part = convert(column.slice(1))
    assert part.equals(found.slice(1)), "a slice is read like the whole"
    return (found.cast(pa.int64()) if wanted == TIMESTAMP else found).to_pylist()


@pytest.mark.parametrize("needed", [True, False])
@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array(["a", None, "é"]), ["a", None, "é"]),
        (pa.array(["a", None, "é"], pa.large_string()), ["a", None, "é"]),
        (pa.array(["a", None, "é"], pa.string_view()), ["a", None, "é"]),
        (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
        (pa.array(['{"a": 1}', None], pa.json_()), ['{"a": 1}', None]),
        (not_utf8(CUT, None, b"ok", b"\xed\xa0\x80"), ["caf�", None, "ok", "���"]),
        (pa.array([b"caf\xc3\xa9", None, CUT], pa.binary()), ["café", None, "caf�"]),
        (pa.array([b"a", None], pa.large_binary()), ["a", None]),
        (pa.array([b"abc", None], pa.binary(3)), ["abc", None]),
        (pa.array([ID.bytes, None, b"text of 16 bytes"], pa.binary()), [str(ID), None, "text of 16 bytes"]),
        (pa.array([ID.bytes, None, bytes(16)], pa.binary(16)), [str(ID), None, str(UUID(int=0))]),
        (pa.array([ID.bytes, None], pa.uuid()), [str(ID), None]),
        (pa.array([None, None], pa.binary(16)), [None, None]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_text(column: pa.Array, values: list[Any], needed: bool) -> None:
    assert read(column, TEXT, needed=needed) == values


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array([15550100001, None]), ["15550100001", None]),
        (pa.array([7], pa.uint8()), ["7"]),
        (pa.array([15550100001.0, 1.5, None, float("nan"), 1e300]), ["15550100001", "1.5", None, None, "1e+300"]),
        (pa.array([Decimal("15550100001"), Decimal("1.50"), None], NUMERIC), ["15550100001", "1.5", None]),
    ],
)
def test_ids_that_a_loader_took_for_numbers(column: pa.Array, values: list[Any]) -> None:
    assert read(column, TEXT) == values


@pytest.mark.parametrize("kind", [pa.uint8(), pa.int8(), pa.int64(), pa.float32(), pa.float64(), NUMERIC])
def test_booleans_are_0_and_1_in_posthogs_export(kind: pa.DataType) -> None:
    assert read(pa.array([0, 1, 2, None]).cast(kind), BOOLEAN) == [False, True, None, None]


def test_booleans_as_words() -> None:
    words = ["true", "FALSE", " t ", "f", "Yes", "no", "1", "0", "1.0", "", "maybe", None]
    assert read(pa.array(words), BOOLEAN) == [True, False, True, False, True, False, True, False, True, *[None] * 3]
    assert read(not_utf8(CUT, b"true"), BOOLEAN) == [None, True]
    assert read(pa.array([True, None]), BOOLEAN) == [True, None]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array([2**64 - 1, 5, None], pa.uint64()), [None, 5, None]),
        (pa.array([200, None], pa.uint8()), [200, None]),
        (pa.array([1.0, 1.5, None, float("nan"), float("inf"), 2.0**63]), [1, None, None, None, None, None]),
        (pa.array([Decimal(3), Decimal("3.5"), None], NUMERIC), [3, None, None]),
        (pa.array(["12", " 12.0 ", "1.5", "x", "1e999999", "nan", str(2**63), None]), [12, 12, *[None] * 6]),
    ],
)
def test_counts(column: pa.Array, values: list[Any]) -> None:
    assert read(column, INTEGER) == values


def test_floats_and_lists() -> None:
    assert read(pa.array([1, None]), FLOAT) == [1.0, None]
    assert read(pa.array([["a"], None], pa.list_(pa.large_string())), TEXTS) == [["a"], None]


@pytest.mark.parametrize(("unit", "value"), [("s", 1_762_000_000), ("ms", MOMENT // 1_000), ("ns", MOMENT * 1_000 + 7)])
@pytest.mark.parametrize("zone", [None, "UTC", "America/Chicago"])
def test_timestamps_of_any_unit_and_zone(unit: str, value: int, zone: str | None) -> None:
    assert read(pa.array([value, None], pa.timestamp(unit, zone)), TIMESTAMP, needed=True) == [MOMENT, None]


def test_moments_that_overflow_are_clipped_for_events_and_null_elsewhere() -> None:
    column = pa.array([2**63 - 1, -(2**63), 1], pa.timestamp("s", "UTC"))
    clipped = LIMIT // 1_000_000 * 1_000_000
    assert read(column, TIMESTAMP, needed=True) == [clipped, -clipped - 1_000_000, 1_000_000]
    assert read(column, TIMESTAMP) == [None, None, 1_000_000]


@pytest.mark.parametrize("value", [1_762_000_000, 1_762_000_000_000, 1_762_000_000_000_000, 1_762_000_000_000_000_000])
def test_a_number_is_a_time_by_its_magnitude(value: int) -> None:
    for column in (
        pa.array([value, None]),
        pa.array([value, None], pa.uint64()),
        pa.array([float(value), None]),
        pa.array([Decimal(value), None], NUMERIC),
        pa.array([str(value), None]),
    ):
        assert read(column, TIMESTAMP) == [MOMENT, None]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-11-01T12:26:40Z", MOMENT),
        ("2025-11-01 12:26:40", MOMENT),
        ("2025-11-01 12:26:40 UTC", MOMENT),
        ("2025-11-01 12:26:40.000001+00", MOMENT + 1),
        ("2025-11-01T14:26:40.000001999+02:00", MOMENT + 1),
        ('"2025-11-01T12:26:40Z"', MOMENT),
        ('{"_seconds":1762000000,"_nanoseconds":1999}', MOMENT + 1),
        ('{"seconds": 1762000000, "nanos": 0}', MOMENT),
        ("1762000000.5", MOMENT + 500_000),
        ("2025-11-01", MOMENT - 44_800_000_000),
    ],
)
def test_times_as_text(text: str, moment: int) -> None:
    assert read(pa.array([text, None]), TIMESTAMP) == [moment, None]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "{",
        "[1]",
        '{"_seconds": "a", "_nanoseconds": 0}',
        "9999-99-99",
        "0001-01-01T00:00:00+10:00",
        "[" * 10**5,
        '{"_seconds": true, "_nanoseconds": 0}',
        '{"_seconds": ' + "9" * 50 + ', "_nanoseconds": 0}',
        "1e9",
        "9" * 20,
    ],
)
def test_text_that_is_no_time_is_null(text: str) -> None:
    assert read(pa.array([text, None]), TIMESTAMP) == [None, None]


def test_dates_and_structs() -> None:
    midnight = int(datetime(2025, 11, 1, tzinfo=UTC).timestamp()) * 1_000_000
    for kind in (pa.date32(), pa.date64()):
        assert read(pa.array([date(2025, 11, 1), None], kind), TIMESTAMP) == [midnight, None]
    assert read(pa.array([2**31 - 1, 0], pa.int32()).cast(pa.date32()), TIMESTAMP) == [None, 0]
    rows = [{"_seconds": 1_762_000_000, "_nanoseconds": 1_999}, None, {"_seconds": None, "_nanoseconds": 1}]
    huge = {"_seconds": 2**62, "_nanoseconds": 2**62}
    assert read(pa.array([*rows, huge], SECONDS_AND_NANOS), TIMESTAMP) == [MOMENT + 1, None, None, None]


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (pa.struct([("a", pa.int64())]), TEXT),
        (pa.list_(pa.string()), TEXT),
        (pa.bool_(), TEXT),
        (pa.struct([("a", pa.int64())]), TIMESTAMP),
        (pa.time64("us"), TIMESTAMP),
        (pa.list_(pa.bool_()), BOOLEAN),
        (pa.binary(), INTEGER),
        (pa.map_(pa.string(), pa.string()), INTEGER),
    ],
)
def test_what_nothing_can_be_made_of(kind: pa.DataType, wanted: pa.DataType) -> None:
    assert cast_for(kind, wanted, needed=False) is None


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [(pa.int64(), TEXT), (pa.string(), TIMESTAMP), (pa.int64(), TIMESTAMP), (pa.date32(), TIMESTAMP)],
)
def test_of_the_events_the_kind_of_a_value_does_not_change(kind: pa.DataType, wanted: pa.DataType) -> None:
    assert cast_for(kind, wanted, needed=True) is None
    assert cast_for(kind, wanted, needed=False) is not None


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.binary(max_size=20))))
def test_any_bytes_become_text(values: list[bytes | None]) -> None:
    for column in (pa.array(values, pa.binary()), not_utf8(*values)):
        found = read(column, TEXT, needed=True)
        assert [value is None for value in found] == [value is None for value in values]
        for text, raw in zip(found, values, strict=True):
            if raw is not None and text.encode() != raw:
                assert "�" in text or UUID(text).bytes == raw


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text()), min_size=1))
def test_no_value_of_an_optional_table_is_an_error(values: list[Any]) -> None:
    for kind in (pa.int64(), pa.float64(), pa.string(), pa.timestamp("s"), pa.timestamp("ns")):
        fitting = str if pa.types.is_string(kind) else (float if pa.types.is_floating(kind) else int)
        column = pa.array([value if type(value) is fitting else None for value in values], kind)
        for wanted in (TEXT, BOOLEAN, INTEGER, TIMESTAMP):
            if cast_for(kind, wanted, needed=False):
                assert len(read(column, wanted)) == len(values)


def test_every_declared_type_has_casts() -> None:
    assert {cast.to for cast in CASTS} == {TEXT, BOOLEAN, INTEGER, FLOAT, TIMESTAMP, DATE, TEXTS}
