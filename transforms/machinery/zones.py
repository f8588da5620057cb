"""Local times, by the zones of the package `tzdata`: the machine's own files differ from worker to worker."""

from __future__ import annotations

import functools
from datetime import datetime
from importlib.metadata import version
from importlib.resources import files
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

#: Of the zones: another one can say other local times.
ZONES_VERSION = version("tzdata")
UTC = "UTC"
_MICROS = 1_000_000
_MINUTE = 60 * _MICROS
Ints = npt.NDArray[np.int64]


@functools.cache
def zone_names() -> frozenset[str]:
    """The names of all zones, with their letter case."""
    return frozenset(files("tzdata").joinpath("zones").read_text().split())


def local_micros(micros: Ints, zone: str) -> Ints:
    """What clocks of a zone show at these times, as µs since 1970-01-01 00:00 there.

    Each different minute is asked once: a zone changes its offset at the begin of a minute.

    Args:
      micros: since the epoch.
      zone: one of `zone_names`.
    """
    if zone == UTC or not len(micros):
        return micros
    minutes, place = np.unique(micros // _MINUTE, return_inverse=True)
    clock = _zone(zone)
    offsets = [datetime.fromtimestamp(minute * 60, clock).utcoffset() for minute in minutes.tolist()]
    seconds = np.array([offset.total_seconds() if offset else 0 for offset in offsets], np.int64)
    return micros + seconds[place] * _MICROS


@functools.cache
def _zone(name: str) -> ZoneInfo:
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
