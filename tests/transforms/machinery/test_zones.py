"""Local times against the standard library's, and what they take for granted of the zones."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from importlib.resources import files
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.events.decoder import MAX_TIMESTAMP, MIN_TIMESTAMP
from transforms.machinery.zones import local_micros, zone_names

#: Whole hours, halves, quarters, two days a year that are 23 or 25 hours long, a day that was left out, no rule at all.
ZONES = ["UTC", "America/Chicago", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo", "Antarctica/Casey"]


@given(st.lists(st.integers(MIN_TIMESTAMP, MAX_TIMESTAMP - 1), max_size=20), st.sampled_from(ZONES))
def test_local_times_are_those_of_the_standard_library(micros: list[int], zone: str) -> None:
    shown = [datetime.fromtimestamp(one // 1_000_000, ZoneInfo(zone)).replace(tzinfo=UTC) for one in micros]
    wanted = [int(one.timestamp()) * 1_000_000 + rest % 1_000_000 for one, rest in zip(shown, micros, strict=True)]
    assert local_micros(np.array(micros, np.int64), zone).tolist() == wanted


@pytest.mark.parametrize(
    ("moment", "zone", "shown"),
    [
        ("2026-03-08T07:59:59.999999", "America/Chicago", "2026-03-08T01:59:59.999999"),
        ("2026-03-08T08:00:00", "America/Chicago", "2026-03-08T03:00:00"),
        ("2026-11-01T07:30:00", "America/Chicago", "2026-11-01T01:30:00"),
        ("2026-11-01T06:30:00", "America/Chicago", "2026-11-01T01:30:00"),
        ("2049-07-01T00:00:00", "Europe/Zurich", "2049-07-01T02:00:00"),
        ("2015-01-01T00:00:00", "Asia/Kathmandu", "2015-01-01T05:45:00"),
    ],
)
def test_local_times_around_changes(moment: str, zone: str, shown: str) -> None:
    micros = np.array([moment], "datetime64[us]").astype(np.int64)
    assert local_micros(micros, zone).astype("datetime64[us]") == np.datetime64(shown)


def test_zones_change_at_whole_minutes() -> None:
    for name in zone_names():
        times = changes(files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes())
        late = times[times >= MIN_TIMESTAMP // 1_000_000]
        assert not (late % 60).any(), name


def changes(content: bytes) -> np.ndarray:
    """The times (seconds) at which a zone file of version 2 or later says that something changes."""

    def counts(begin: int) -> tuple[int, ...]:
        magic, *found = struct.unpack_from(">4s16x6l", content, begin)
        assert magic == b"TZif"
        return tuple(found)

    utc, standard, leap, times, kinds, letters = counts(0)  # the first part has 32 bits a time, the second 64
    second = 44 + times * 5 + kinds * 6 + letters + leap * 8 + standard + utc
    return np.frombuffer(content, ">i8", counts(second)[3], second + 44).astype(np.int64)


def test_zones_have_their_names_with_their_letters() -> None:
    assert {"UTC", "America/Chicago"} <= zone_names()
    assert not zone_names() & {"america/chicago", "", "localtime", "../zones"}
