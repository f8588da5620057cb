"""Moments of every physical type: µs of UTC, or null."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from pipeline.warehouse.cast_times import (
    LIMIT,
    in_calendar,
    is_seconds_and_nanos,
    midnights,
    moments,
    moments_of_numbers,
    moments_of_structs,
)
from tests.pipeline.warehouse.exported import NUMERIC, read
from transforms.schemas.fields import TIMESTAMP

MOMENT = 1_762_000_000_000_000
SECONDS_AND_NANOS = pa.struct([("_seconds", pa.int64()), ("_nanoseconds", pa.int64())])


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


def stamps(*values: int | None) -> pa.Array:
    return pa.array(values, pa.int64()).view(TIMESTAMP)


def test_moments_that_are_µs_of_utc_already_are_not_copied() -> None:
    column = stamps(MOMENT, None)
    assert moments(column) is column
    assert in_calendar(column) is column


def test_the_calendar_has_the_years_1_to_9999() -> None:
    first = int((datetime(1, 1, 1) - datetime(1970, 1, 1)).total_seconds()) * 1_000_000
    beyond = (int((datetime(9999, 12, 31) - datetime(1970, 1, 1)).total_seconds()) + 86_400) * 1_000_000
    column = stamps(first - 1, first, beyond - 1, beyond, None)
    assert in_calendar(column).view(pa.int64()).to_pylist() == [None, first, beyond - 1, None, None]


@pytest.mark.parametrize(
    ("kind", "is_one"),
    [
        (SECONDS_AND_NANOS, True),
        (pa.struct([("nanos", pa.int32()), ("seconds", pa.int64())]), True),
        (pa.struct([("seconds", pa.int64()), ("nanoseconds", pa.int64())]), True),
        (pa.struct([("_seconds", pa.int64()), ("nanoseconds", pa.int64())]), False),
        (pa.struct([("_seconds", pa.float64()), ("_nanoseconds", pa.int64())]), False),
        (pa.struct([("_seconds", pa.int64())]), False),
        (pa.int64(), False),
    ],
)
def test_structs_as_firestores_clients_write_them(kind: pa.DataType, is_one: bool) -> None:
    assert is_seconds_and_nanos(kind) == is_one


def test_the_fields_of_a_struct_may_stand_in_any_order() -> None:
    kind = pa.struct([("nanos", pa.int32()), ("seconds", pa.int64())])
    column = pa.array([{"nanos": 1_999, "seconds": MOMENT // 1_000_000}, {"nanos": None, "seconds": 1}], kind)
    assert moments_of_structs(column).view(pa.int64()).to_pylist() == [MOMENT + 1, 1_000_000]


def test_days_are_clipped_before_they_overflow() -> None:
    far = pa.array([2**31 - 1, -(2**31)], pa.int32()).cast(pa.date32())
    found = midnights(far).view(pa.int64()).to_pylist()
    assert [abs(one) <= LIMIT + 86_400_000_000 for one in found] == [True, True]
    assert found[0] > 0 > found[1]


@pytest.mark.parametrize(
    ("number", "micros"),
    [
        (10**11 - 1, (10**11 - 1) * 1_000_000),
        (10**11, 10**11 * 1_000),
        (10**14 - 1, (10**14 - 1) * 1_000),
        (10**14, 10**14),
        (10**17 - 1, 10**17 - 1),
        (10**17, 10**14),
        (0, 0),
    ],
)
def test_where_one_unit_ends_and_the_next_begins(number: int, micros: int) -> None:
    for sign in (1, -1):
        assert moments_of_numbers(pa.array([sign * number])).view(pa.int64()).to_pylist() == [sign * micros]


@pytest.mark.parametrize("parts", [(1, 10**26), (10**26, 1), (-(10**26), 1)])
def test_parts_of_a_text_beyond_all_times_are_no_moment(parts: tuple[int, int]) -> None:
    seconds, nanos = parts
    text = f'{{"_seconds": {seconds}, "_nanoseconds": {nanos}}}'
    assert read(pa.array([text, "1970-01-01T00:00:01Z"]), TIMESTAMP) == [None, 1_000_000]


def test_seconds_beyond_64_bits_with_a_sign_are_no_moment_of_before_1970() -> None:
    kind = pa.struct([("_seconds", pa.uint64()), ("_nanoseconds", pa.uint64())])
    rows = [{"_seconds": 2**64 - 1, "_nanoseconds": 0}, {"_seconds": 1, "_nanoseconds": 5_000}]
    assert moments_of_structs(pa.array(rows, kind)).cast(pa.int64()).to_pylist() == [None, 1_000_005]
