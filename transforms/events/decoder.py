"""Raw event rows → events that count, and a reason for every row that does not.

`EventDecoder.decode` takes a record batch as it comes from the source (columns of `posthog.events`) and
returns `DecodedEvents`: slim rows of the kept events, the rejected rows with their reason, and counts. Every row is in
exactly one of kept, filtered.<reason>, rejected.<reason>.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.events.needed import NeededColumns
from transforms.events.outcomes import NULLED, OUTSIDE, Outcomes
from transforms.events.properties import PropertyColumns, PropertyDecoder, clean_text, clean_texts, values_of
from transforms.events.slim_rows import NO_ARRIVAL
from transforms.ids.excluded import Excluded
from transforms.ids.posthog_rules import canonical_session_ids, meaningless_column
from transforms.ids.pseudonyms import PLAIN, Pseudonyms
from transforms.incremental import seen
from transforms.incremental.unsettled import unsettled_rows
from transforms.incremental.watermark import Latest, latest
from transforms.incremental.window import ARRIVAL_TIME, EVENT_TIME, EVERYTHING, MAX_AHEAD, Window
from transforms.machinery.columns import Columns, TextColumn, dictionary
from transforms.machinery.texts import string_buffers
from transforms.machinery.times import micros_or_null
from transforms.machinery.uuids import Ids, hash_texts, parse_uuids, uuid_texts
from transforms.metrics.definitions import LIBRARY_PROPERTY, SESSION_PROPERTY, Metrics

#: PostHog cuts distinct ids and session ids far below this; anything longer is no id.
MAX_ID = 400
MIN_TIMESTAMP = 1_420_070_400_000_000  # 2015-01-01 UTC in µs: before there was PostHog or React Native
MAX_TIMESTAMP = 2_524_608_000_000_000  # 2050-01-01
#: PostHog takes events of 1 MB; texts beyond 16 MiB are damage, and are not parsed.
MAX_PROPERTIES = 16 * 2**20
_BLANK = " \t\r\n\f\v"
_IS_BLANK = np.isin(np.arange(256), list(_BLANK.encode()))
_DAY = 86_400_000_000


@dataclass(frozen=True)
class DecodedEvents:
    """The kept rows of a batch, and what became of the others."""

    kept: Columns
    """Slim rows; see `transforms.events.slim_rows.layout`."""
    rejected: pa.RecordBatch
    """The source's columns of the rejected rows plus `reason`."""
    left_out: set[tuple[str, str]]
    """(session id, empty for none, distinct id) of rows with an excluded distinct id: whose the session is, they tell
    as well. Only those do that would be kept: of another nothing is published that tells it to later runs. None of rows
    without a plausible time: no window but that of the run to which they are news has them."""
    late: pa.RecordBatch
    """`UNSETTLED` of rows that are new but happened before the window: only a backfill settles their sessions."""
    matches: dict[str, int]
    """Metric of some events only, or link → kept rows that match its conditions."""
    counts: Counter[str]
    """read, filtered.<reason>, rejected.<reason>, nulled.<property>."""
    latest: Latest
    """The greatest arrivals of all rows read with a plausible time, µs."""
    seen: pa.RecordBatch
    """`transforms.incremental.seen.FOUND` of all rows that arrived so late that the ledger remembers them."""


@dataclass(frozen=True)
class _Times:
    """When events happened and arrived, µs since the epoch; without an arrival the event's own time stands for it."""

    stamps: npt.NDArray[np.int64]
    missing: npt.NDArray[np.bool_]
    arrivals: npt.NDArray[np.int64]
    dated: tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]
    """The arrivals as they come, and where they are null."""

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> _Times:
        """The times of a batch."""
        stamps, missing = micros_or_null(batch.column(EVENT_TIME))
        dated = micros_or_null(batch.column(ARRIVAL_TIME))
        return cls(stamps, missing, np.where(dated[1], stamps, dated[0]), dated)

    @cached_property
    def implausible(self) -> npt.NDArray[np.bool_]:
        """Which events happened in no year of this app, or more than a day after they arrived."""
        outside = (self.stamps < MIN_TIMESTAMP) | (self.stamps >= MAX_TIMESTAMP)
        return outside | (self.stamps > self.arrivals + MAX_AHEAD)

    @cached_property
    def plausible(self) -> npt.NDArray[np.bool_]:
        """Which events have a time."""
        return ~(self.missing | self.implausible)

    def too_old(self, window: Window, days: int) -> npt.NDArray[np.bool_]:
        """Which events happened so many days before they arrived; an arrival after the run's clock says nothing."""
        plausible = self.arrivals <= (MAX_TIMESTAMP if window.clock is None else window.clock)
        return plausible & (self.stamps < self.arrivals - days * _DAY)

    def latest(self, window: Window) -> Latest:
        """The greatest arrivals, of rows with a plausible time."""
        told = self.plausible & (self.arrivals < MAX_TIMESTAMP) & window.counts(self.arrivals)
        return latest(self.arrivals[told])

    def numbers(self, window: Window) -> dict[str, npt.NDArray[np.int64]]:
        """The columns of slim rows that say when."""
        return {
            "time": self.stamps,
            "lag": np.where(self.dated[1], NO_ARRIVAL, self.arrivals - self.stamps),
            "later": window.as_arrivals(self.stamps, self.dated) - self.arrivals,
        }


class EventDecoder:
    """Decodes batches under one set of metrics, one list of excluded distinct ids, and a run's window.

    With `pseudonyms` excluded ids are hashes, and so is every id that comes out, but those in rejected rows.
    """

    def __init__(
        self,
        metrics: Metrics,
        excluded: frozenset[str] = frozenset(),
        window: Window = EVERYTHING,
        pseudonyms: Pseudonyms = PLAIN,
    ) -> None:
        self._metrics = metrics
        self._window = window
        self._excluded = Excluded(excluded)
        self._properties = PropertyDecoder(metrics.properties, required=SESSION_PROPERTY)
        self._needed = NeededColumns(metrics, pseudonyms)
        self._pseudonyms = pseudonyms

    def decode(self, batch: pa.RecordBatch) -> DecodedEvents:
        """Decode a batch with the columns of `tables.EVENTS`, times in µs."""
        concerned, read = self._concerned(batch), batch.num_rows
        if not concerned.all():
            batch = batch.filter(pa.array(concerned))
        times, outcomes = _Times.of(batch), Outcomes(batch.num_rows)
        names = dictionary(batch.column("event"), clean_texts)
        people = dictionary(batch.column("distinct_id"), self._ids)
        self._check_ids(outcomes, batch, names, people)
        self._check_times(outcomes, times)
        properties = self._check_properties(outcomes, batch.column("properties"))
        sessions, session_texts = _session_ids(properties.required, outcomes)
        theirs = _of(people, self._excluded.mask(people.values)) if self._excluded else np.zeros(batch.num_rows, bool)
        tell = theirs & outcomes.kept
        outcomes.mark_before_all("excluded_user", theirs)  # a row of an excluded person is no dead letter
        late = outcomes.kept & ~self._window.in_window(times.stamps)
        outcomes.mark("late", late)

        rows = np.flatnonzero(outcomes.kept)
        every = slice(None) if len(rows) == batch.num_rows else rows
        uuids = batch.column("uuid")
        ids, id_texts = _event_ids(uuids if len(rows) == batch.num_rows else uuids.take(pa.array(rows)))
        by_row = {"session_high": sessions.high, "session_low": sessions.low, **times.numbers(self._window)}
        numbers = {name: column[every] for name, column in by_row.items()} | {
            "uuid_high": ids.high,
            "uuid_low": ids.low,
            "rows": np.ones(len(rows), np.int32),
            **self._needed.numbers(names, properties, every),
        }
        known = {"event": names, "distinct_id": people, "session_id": session_texts}
        texts = {name: column.take(every) for name, column in known.items()} | {
            "uuid": id_texts,
            **self._needed.texts(names, properties, every),
        }
        return DecodedEvents(
            kept=Columns(numbers, texts),
            rejected=outcomes.rejected(batch),
            left_out=_pairs(sessions, session_texts, people, tell, theirs & times.plausible & ~tell),
            late=_late_rows(sessions, session_texts, times, late),
            matches=self._needed.matches(numbers),
            counts=_counts(read, read - batch.num_rows, outcomes, properties),
            latest=times.latest(self._window),
            seen=_seen(self._window, times, uuids, sessions),
        )

    def _concerned(self, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """Which rows are of the run at all; others were read with their partition or row group."""
        return self._window.concerns(
            micros_or_null(batch.column(EVENT_TIME)), micros_or_null(batch.column(ARRIVAL_TIME))
        )

    def _ids(self, texts: pa.StringArray) -> pa.StringArray:
        return self._pseudonyms.ids(clean_texts(texts))

    def _check_ids(self, outcomes: Outcomes, batch: pa.RecordBatch, names: TextColumn, people: TextColumn) -> None:
        """The columns that say what happened, and to whom."""
        uuids = batch.column("uuid")
        outcomes.mark("uuid_missing", _blank(uuids))
        outcomes.mark("uuid_too_long", _longer(uuids))
        outcomes.mark("event_missing", _of(names, _blank(names.values), null=True))
        outcomes.mark("distinct_id_missing", _of(people, _blank(people.values), null=True))
        outcomes.mark("distinct_id_too_long", _longer(batch.column("distinct_id")))
        outcomes.mark("distinct_id_meaningless", _of(people, np.asarray(meaningless_column(people.values))))

    def _check_times(self, outcomes: Outcomes, times: _Times) -> None:
        outcomes.mark("timestamp_missing", times.missing)
        outcomes.mark("timestamp_implausible", times.implausible)
        outcomes.mark("timestamp_too_old", times.too_old(self._window, self._metrics.max_event_age_days))

    def _check_properties(self, outcomes: Outcomes, texts: pa.Array) -> PropertyColumns:
        """The properties, with what they say of a row's outcome, but for what a session's id is."""
        outcomes.mark("properties_missing", _blank(texts))
        if len(texts):
            outcomes.mark("properties_too_long", np.diff(string_buffers(texts)[0]) > MAX_PROPERTIES)
        properties = self._properties.decode(texts)
        outcomes.mark("properties_invalid", ~properties.valid)
        if self._metrics.libraries is not None:
            library = properties.texts[LIBRARY_PROPERTY]
            known = [value in self._metrics.libraries for value in library.values.to_pylist()]
            outcomes.mark("library", ~values_of(library.codes, known, bool))
        outcomes.mark("session_id_invalid", properties.not_text)
        return properties


def _session_ids(texts: pa.StringArray, outcomes: Outcomes) -> tuple[Ids, TextColumn]:
    """The session ids of all rows, and the texts of those that are no UUID; marks the rows whose id is none."""
    ids = parse_uuids(texts, dashless=False)
    outcomes.mark("session_id_missing", ~ids.is_uuid & _blank(texts))
    outcomes.mark("session_id_meaningless", ids.is_uuid & (ids.high == 0) & (ids.low == 0))
    others = np.flatnonzero(~ids.is_uuid)
    if not len(others):
        return ids, TextColumn(np.full(len(texts), -1, np.int32), pa.array([], pa.string()))
    found = dictionary(texts.take(pa.array(others)))
    values = found.values.to_pylist()
    for name, wrong in (
        ("session_id_too_long", [len(value) > MAX_ID for value in values]),
        ("session_id_meaningless", meaningless_column(found.values).to_pylist()),
    ):
        where = np.zeros(len(texts), bool)
        where[others] = values_of(found.codes, wrong, bool)
        outcomes.mark(name, where)
    values = canonical_session_ids([clean_text(value) for value in values])
    high, low = hash_texts(values)
    ids.high[others], ids.low[others] = (
        np.append(high, np.uint64(0))[found.codes],
        np.append(low, np.uint64(0))[found.codes],
    )
    codes = np.full(len(texts), -1, np.int32)
    codes[others] = found.codes
    return ids, TextColumn(codes, pa.array(values, pa.string()))


def _event_ids(texts: pa.StringArray) -> tuple[Ids, TextColumn]:
    """The uuids of kept rows, and the texts of those that are no UUID."""
    ids = parse_uuids(texts, dashless=True)
    codes = np.full(len(texts), -1, np.int32)
    others = np.flatnonzero(~ids.is_uuid)
    if not len(others):
        return ids, TextColumn(codes, pa.array([], pa.string()))
    found = dictionary(texts.take(pa.array(others)))
    high, low = hash_texts(found.values.to_pylist())
    ids.high[others], ids.low[others] = high[found.codes], low[found.codes]
    codes[others] = found.codes
    return ids, TextColumn(codes, found.values)


def _texts_of(ids: Ids, texts: TextColumn, rows: npt.NDArray[np.bool_]) -> list[str]:
    """The session ids of some rows."""
    chosen = texts.take(rows)
    ids_of = uuid_texts(ids.high[rows], ids.low[rows])
    found = ids_of if (chosen.codes < 0).all() else pc.coalesce(chosen.texts(), ids_of)
    known: list[str] = found.to_pylist()
    return known


def _late_rows(ids: Ids, texts: TextColumn, times: _Times, rows: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    """`UNSETTLED` of some rows; late ones all have an arrival."""
    return unsettled_rows(_texts_of(ids, texts, rows), times.stamps[rows].tolist(), times.arrivals[rows].tolist())


def _seen(window: Window, times: _Times, uuids: pa.Array, sessions: Ids) -> pa.RecordBatch:
    """`DecodedEvents.seen`: whatever becomes of a row, so that the list of excluded users, say, changes nothing."""
    rows = np.flatnonzero(times.plausible & window.remembers(times.stamps, times.dated))
    if not len(rows):
        return seen.NOTHING
    events, _ = _event_ids(uuids.take(pa.array(rows)).fill_null(""))
    theirs = Ids(sessions.high[rows], sessions.low[rows], sessions.is_uuid[rows])
    return seen.found(times.arrivals[rows], seen.hashes(events, theirs, times.stamps[rows]))


def _pairs(
    ids: Ids, texts: TextColumn, people: TextColumn, rows: npt.NDArray[np.bool_], without: npt.NDArray[np.bool_]
) -> set[tuple[str, str]]:
    """(session id, distinct id) of some rows, and of others "" and the distinct id."""
    pairs = set(zip(_texts_of(ids, texts, rows), people.take(rows).texts().to_pylist(), strict=True))
    return pairs | {("", person) for person in people.take(without).texts().to_pylist()}


def _counts(read: int, outside: int, outcomes: Outcomes, properties: PropertyColumns) -> Counter[str]:
    counts = Counter({"read": read, **outcomes.counts()})
    if outside:
        counts[f"filtered.{OUTSIDE}"] = outside
    counts.update({f"{NULLED}{name}": number for name, number in properties.nulled.items()})
    return counts


def _of(column: TextColumn, values: npt.NDArray[np.bool_], *, null: bool = False) -> npt.NDArray[np.bool_]:
    """What holds of each row's text; `null` for rows without one."""
    return np.append(values, null)[column.codes]


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


def _longer(texts: pa.Array) -> npt.NDArray[np.bool_]:
    """More than `MAX_ID` characters; few have as many bytes, so only their characters are counted."""
    offsets, _ = string_buffers(texts)
    longer = np.diff(offsets) > MAX_ID
    for i in np.flatnonzero(longer):
        longer[i] = len(texts[i].as_py() or "") > MAX_ID
    return longer
