"""Moments of every physical type: µs of UTC, or null."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from pipeline.warehouse.cast_times import LIMIT
from tests.pipeline.warehouse.reading import NUMERIC, read
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
