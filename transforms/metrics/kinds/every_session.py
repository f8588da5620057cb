"""Columns that every session has, whatever the metrics file declares: kinds like the others, with fixed names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.machinery.columns import dictionary
from transforms.machinery.times import dates
from transforms.machinery.zones import local_micros, zone_names
from transforms.metrics.kinds.conditions import Where
from transforms.metrics.kinds.kind import Bools, Column, Ints, Kind, Needs, SessionEvents
from transforms.metrics.kinds.occurrences import Flag
from transforms.metrics.kinds.texts import first_text

#: The zone of the device, which React Native sends since version 4, and that of its address, which ingestion adds.
ZONE_PROPERTIES = ("$timezone", "$geoip_time_zone")
START_DATE = "start_date"
_DAY, _HOUR = 86_400_000_000, 3_600_000_000
#: ISO weekday of 1970-01-01, a Thursday.
_EPOCH_WEEKDAY = 4


class LocalStart(Kind, frozen=True, kw_only=True, tag="local_start"):
    """Of which day a session is for the reports, and of which hour and weekday for its user."""

    reporting_timezone: str

    def needs(self) -> Needs:
        """Two texts an event, which belong to the device."""
        return Needs(texts=ZONE_PROPERTIES)

    def columns(self) -> tuple[Column, ...]:
        """See `values`."""
        own = "in `timezone`, or in reporting_timezone where that is no zone of the IANA database."
        return (
            Column(START_DATE, pa.date32(), "Day of start_timestamp in reporting_timezone of the metrics file.", True),
            Column("timezone", pa.string(), "First $timezone of the device, else first $geoip_time_zone.", False),
            Column("local_start_hour", pa.int64(), f"Hour of start_timestamp, 0 to 23, {own}", True),
            Column("local_start_weekday", pa.int64(), f"Its weekday, 1 (Monday) to 7 (Sunday), {own}", True),
        )

    def values(self, events: SessionEvents) -> tuple[Any, ...]:
        """Day, zone, and the local hour and weekday of the first event."""
        device, address = (first_text(events.text(name), events.starts) for name in ZONE_PROPERTIES)
        zone = pc.coalesce(device, address)
        local = self._local(events.first_time, zone)
        days = local_micros(events.first_time, self.reporting_timezone) // _DAY
        weekday = (local // _DAY + _EPOCH_WEEKDAY - 1) % 7 + 1
        return dates(days), zone, local // _HOUR % 24, weekday

    def _local(self, micros: Ints, zone: pa.StringArray) -> Ints:
        column = dictionary(zone)
        known = [name if name in zone_names() else self.reporting_timezone for name in column.values.to_pylist()]
        local = np.empty_like(micros)
        for code, name in enumerate([*known, self.reporting_timezone]):
            rows = np.flatnonzero(column.codes == (code if code < len(known) else -1))
            local[rows] = local_micros(micros[rows], name)
        return local


class ClockSkew(Kind, frozen=True, kw_only=True, tag="clock_skew"):
    """Whether an event is dated after its own arrival, which a right clock cannot do."""

    type = pa.bool_()
    required = True

    def needs(self) -> Needs:
        """Nothing that an event does not have anyway."""
        return Needs()

    def column(self, events: SessionEvents) -> Bools:
        """True where any event is; one whose arrival is not known is not."""
        found: Bools = np.logical_or.reduceat(events.ahead, events.starts)
        return found


def of_every_session(reporting_timezone: str, dev_builds: Where) -> tuple[Kind, ...]:
    """The kinds that every session has.

    Args:
      reporting_timezone: in which days of reports begin and end.
      dev_builds: which events are of a build that is no release; see `Condition.where`.
    """
    return (
        LocalStart(name="local_start", description="When it starts.", reporting_timezone=reporting_timezone),
        Flag(name="is_emulator", description="An event with $is_emulator.", where={"$is_emulator": True}),
        Flag(name="is_dev_build", description="An event of dev_builds of the metrics file.", where=dev_builds),
        ClockSkew(name="has_clock_skew", description="An event that is dated after its own arrival."),
    )
