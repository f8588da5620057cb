"""Raw event rows → events that count, and a reason for every row that does not.

`EventDecoder.decode` takes a record batch as it comes from the source (columns of `posthog.events`) and
returns `DecodedEvents`: columns of the kept rows for `transforms.preaggregate`, the rejected rows with their
reason, and counts. Every row is in exactly one of kept, filtered.<reason>, rejected.<reason>.

The first reason that applies wins: an excluded id, then in the order of `REJECTED`, then `FILTERED`, so that
the outcome of a row does not depend on the batch it comes in.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.elements import string_buffers
from transforms.event_ids import EventIds, event_ids
from transforms.excluded import Excluded
from transforms.metrics import (
    LIBRARY_PROPERTY,
    SCREEN_PROPERTY,
    SESSION_PROPERTY,
    Metric,
    Metrics,
)
from transforms.properties import PropertyColumns, PropertyDecoder, TextColumn, lookup, text_column
from transforms.scope import ARRIVAL_TIME, EVENT_TIME, EVERYTHING, MAX_AHEAD, Scope

#: PostHog cuts distinct ids and session ids far below this; anything longer is no id.
MAX_ID = 400
MIN_TIMESTAMP = 1_420_070_400_000_000  # 2015-01-01 UTC in µs: before there was PostHog or React Native
MAX_TIMESTAMP = 2_524_608_000_000_000  # 2050-01-01

REJECTED = (
    "uuid_missing",
    "uuid_too_long",
    "event_missing",
    "distinct_id_missing",
    "distinct_id_too_long",
    "timestamp_missing",
    "timestamp_implausible",
    "properties_missing",
    "properties_invalid",
    "session_id_missing",
    "session_id_invalid",
    "session_id_too_long",
)
#: `late`: new, but before the window of an incremental run; its session is listed in the ledger.
FILTERED = ("library", "excluded_user", "late")
_BLANK = " \t\r\n\f\v"
_IS_BLANK = np.isin(np.arange(256), list(_BLANK.encode()))


@dataclass(frozen=True)
class DecodedEvents:
    """The kept rows of a batch as columns (all of one length), and what became of the others."""

    sessions: TextColumn
    distinct_ids: TextColumn
    ids: EventIds
    timestamps: npt.NDArray[np.int64]
    """Microseconds since the epoch, UTC."""
    arrivals: npt.NDArray[np.int64]
    """The same for `bq_ingested_timestamp`; where it is null, what `Scope.as_arrivals` makes of the timestamp."""
    flags: npt.NDArray[np.int64]
    """Bit i: the event sets `metrics.event_flags[i]`."""
    masks: npt.NDArray[np.uint16]
    """Bit i: the event counts for `metrics.counts[i]`."""
    texts: dict[str, TextColumn]
    maxima: list[npt.NDArray[np.float64]]
    """Per `metrics.maxima` the value of each event, NaN for none."""
    rejected: pa.RecordBatch
    """The source's columns of the rejected rows plus `reason`."""
    left_out: set[tuple[str, str]]
    """(session id, empty for none, distinct id) of rows with an excluded distinct id: whose the session is, they tell
    as well."""
    late_sessions: list[str]
    """Sessions of rows that are new but happened before the window: only a backfill settles them."""
    counts: Counter[str]
    """read, filtered.<reason>, rejected.<reason>, nulled.<property>."""
    latest_arrival: int | None
    """The greatest arrival of all rows read with a plausible time, µs."""


class EventDecoder:
    """Decodes batches under one set of metrics, one list of excluded distinct ids, and a run's scope."""

    def __init__(self, metrics: Metrics, excluded: frozenset[str] = frozenset(), scope: Scope = EVERYTHING) -> None:
        self._metrics = metrics
        self._scope = scope
        self._excluded = Excluded(excluded)
        self._properties = PropertyDecoder(metrics.properties, required=SESSION_PROPERTY)

    def decode(self, batch: pa.RecordBatch) -> DecodedEvents:
        """Decode a batch with the columns of `tables.EVENTS`, times in µs."""
        concerned = self._scope.concerns(_micros(batch.column(EVENT_TIME)), _micros(batch.column(ARRIVAL_TIME)))
        outside = int((~concerned).sum())
        if outside:
            batch = batch.filter(pa.array(concerned))
        stamps, stamp_null = _micros(batch.column(EVENT_TIME))
        dated = _micros(batch.column(ARRIVAL_TIME))
        # without an arrival the event's own time stands for it
        arrivals = np.where(dated[1], stamps, dated[0])
        size = batch.num_rows
        reason = np.zeros(size, np.int8)  # 0: none, i + 1: _REASONS[i]
        names = text_column(batch.column("event"))
        people = text_column(batch.column("distinct_id"))

        if self._excluded:  # first of all reasons: a row of an excluded person is no dead letter
            _mark(reason, "excluded_user", lookup(people.codes, self._excluded.among(people.values), bool))
        uuids = batch.column("uuid")
        _mark(reason, "uuid_missing", _blank(uuids))
        _mark(reason, "uuid_too_long", _longer(uuids))
        _mark(reason, "event_missing", _blank_codes(names))
        _mark(reason, "distinct_id_missing", _blank_codes(people))
        _mark(reason, "distinct_id_too_long", _longer(batch.column("distinct_id")))
        _mark(reason, "timestamp_missing", stamp_null)
        implausible = (stamps < MIN_TIMESTAMP) | (stamps >= MAX_TIMESTAMP)
        implausible |= stamps > arrivals + MAX_AHEAD
        _mark(reason, "timestamp_implausible", implausible)
        texts = batch.column("properties")
        _mark(reason, "properties_missing", _blank(texts))

        columns = self._properties.decode(texts)
        _mark(reason, "properties_invalid", ~columns.valid)
        if self._metrics.libraries is not None:
            library = columns.texts[LIBRARY_PROPERTY]
            known = [value in self._metrics.libraries for value in library.values]
            _mark(reason, "library", ~lookup(library.codes, known, bool))
        sessions = columns.texts[SESSION_PROPERTY]
        _mark(reason, "session_id_invalid", columns.not_text)
        _mark(reason, "session_id_missing", _blank_codes(sessions))
        too_long = [len(value) > MAX_ID for value in sessions.values]
        _mark(reason, "session_id_too_long", lookup(sessions.codes, too_long, bool))

        late = (reason == 0) & ~self._scope.in_window(stamps)
        late_sessions = {sessions.values[code] for code in sessions.codes[late].tolist()}
        _mark(reason, "late", late)

        kept = np.flatnonzero(reason == 0)
        plausible = arrivals[~(stamp_null | implausible) & (arrivals < MAX_TIMESTAMP)]
        return DecodedEvents(
            sessions=_take(sessions, kept),
            distinct_ids=_take(people, kept),
            ids=event_ids(uuids.take(pa.array(kept))),
            timestamps=stamps[kept],
            arrivals=self._scope.as_arrivals(stamps, dated)[kept],
            flags=self._flags(names, columns)[kept],
            masks=self._masks(names, columns)[kept],
            texts={name: _take(column, kept) for name, column in columns.texts.items()},
            maxima=[values[kept] for values in self._maxima(columns)],
            rejected=_rejected(batch, reason),
            left_out=_pairs(sessions, people, reason == _CODE["excluded_user"]),
            late_sessions=sorted(late_sessions),
            counts=_counts(reason, columns.nulled, outside),
            latest_arrival=int(plausible.max()) if len(plausible) else None,
        )

    def _flags(self, names: TextColumn, columns: PropertyColumns) -> npt.NDArray[np.int64]:
        return _name_bits(self._metrics.event_flags, names, columns.texts.get(SCREEN_PROPERTY))

    def _masks(self, names: TextColumn, columns: PropertyColumns) -> npt.NDArray[np.uint16]:
        entries = self._metrics.counts
        masks = _name_bits(entries, names, columns.texts.get(SCREEN_PROPERTY)).astype(np.uint16)
        for bit, entry in enumerate(entries):
            if entry.property:
                masks |= columns.present[entry.property].astype(np.uint16) << np.uint16(bit)
        return masks

    def _maxima(self, columns: PropertyColumns) -> list[npt.NDArray[np.float64]]:
        found = []
        for entry in self._metrics.maxima:
            assert entry.property is not None
            values = columns.numbers[entry.property]
            if entry.divided_by:
                divisor = columns.numbers[entry.divided_by]
                with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                    values = np.where(divisor > 0, values / divisor, np.nan)
                    values = np.where(np.isfinite(values), values, np.nan)
            if entry.clip:
                values = np.clip(values, *entry.clip)
            found.append(values + 0.0)  # −0.0 becomes 0.0: equal numbers must be equal bytes
        return found


_REASONS = (*REJECTED, *FILTERED)
_CODE = {name: code for code, name in enumerate(_REASONS, start=1)}


def _mark(reason: npt.NDArray[np.int8], name: str, where: npt.NDArray[np.bool_]) -> None:
    """Give this reason to the rows of `where` that have none yet."""
    reason[where & (reason == 0)] = _CODE[name]


def _counts(reason: npt.NDArray[np.int8], nulled: Counter[str], outside: int) -> Counter[str]:
    counts = Counter({"read": len(reason) + outside})
    if outside:
        counts["filtered.outside_scan"] = outside
    for code, number in enumerate(np.bincount(reason, minlength=len(_REASONS) + 1)):
        if code and number:
            name = _REASONS[code - 1]
            counts[f"{'filtered' if name in FILTERED else 'rejected'}.{name}"] = int(number)
    counts.update({f"nulled.{name}": number for name, number in nulled.items()})
    return counts


def _rejected(batch: pa.RecordBatch, reason: npt.NDArray[np.int8]) -> pa.RecordBatch:
    is_rejected = (reason > 0) & (reason <= len(REJECTED))
    rows = np.flatnonzero(is_rejected)
    reasons = pa.array([_REASONS[code - 1] for code in reason[rows].tolist()], pa.string())
    taken = batch.take(pa.array(rows))
    return pa.RecordBatch.from_arrays([*taken.columns, reasons], [*taken.schema.names, "reason"])


def _name_bits(entries: tuple[Metric, ...], names: TextColumn, screens: TextColumn | None) -> npt.NDArray[Any]:
    """Bit i of a row is set where `entries[i]` matches its event name or screen (int64).

    Each different text is tested once, not each row.
    """
    bits = [sum(entry.matches_name(name) << i for i, entry in enumerate(entries)) for name in names.values]
    found = lookup(names.codes, bits, np.int64)
    if screens is not None:
        bits = [sum((name in entry.screens) << i for i, entry in enumerate(entries)) for name in screens.values]
        found = found | lookup(screens.codes, bits, np.int64)
    return found


def _pairs(sessions: TextColumn, people: TextColumn, rows: npt.NDArray[np.bool_]) -> set[tuple[str, str]]:
    names = [*sessions.values, ""]
    pairs = zip(sessions.codes[rows].tolist(), people.codes[rows].tolist(), strict=True)
    return {(names[session], people.values[person]) for session, person in pairs}


def _take(column: TextColumn, rows: npt.NDArray[np.int64]) -> TextColumn:
    return TextColumn(column.codes[rows], column.values)


def _micros(times: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """(µs since the epoch, is null) of a timestamp[us] array; 0 where null."""
    if not times.null_count:
        return times.view(pa.int64()).to_numpy(), np.zeros(len(times), bool)
    missing = times.is_null().to_numpy(zero_copy_only=False)
    return times.view(pa.int64()).fill_null(0).to_numpy(), missing


def _blank(texts: pa.Array) -> npt.NDArray[np.bool_]:
    """Null, empty or white space only."""
    blank: npt.NDArray[np.bool_] = np.array(texts.is_null().to_numpy(zero_copy_only=False))
    offsets, data = string_buffers(texts)
    sizes = np.diff(offsets)
    blank |= sizes == 0
    # most texts start with something else, so only the first byte of each is looked at
    first = np.zeros(len(texts), np.uint8)
    first[~blank] = data[offsets[:-1][~blank]]
    for i in np.flatnonzero(_IS_BLANK[first] & ~blank):
        blank[i] = not bytes(data[offsets[i] : offsets[i + 1]]).strip(_BLANK.encode())
    return blank


def _blank_codes(column: TextColumn) -> npt.NDArray[np.bool_]:
    filled = [bool(value.strip(_BLANK)) for value in column.values]
    return ~lookup(column.codes, filled, bool)


def _longer(texts: pa.Array) -> npt.NDArray[np.bool_]:
    """More than `MAX_ID` characters; few have as many bytes, so only their characters are counted."""
    offsets, _ = string_buffers(texts)
    longer = np.diff(offsets) > MAX_ID
    for i in np.flatnonzero(longer):
        longer[i] = len(texts[i].as_py() or "") > MAX_ID
    return longer
