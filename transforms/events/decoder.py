"""Raw event rows → events that count, and a reason for every row that does not.

`EventDecoder.decode` takes a record batch as it comes from the source (columns of `posthog.events`) and
returns `DecodedEvents`: slim rows of the kept events, the rejected rows with their reason, and counts. Every row is in
exactly one of kept, filtered.<reason>, rejected.<reason>.

A slim row is what the declared metrics need of an event, each once, and nothing else: see `layout`.

The first reason that applies wins: an excluded id, then in the order of `REJECTED`, then `FILTERED`, so that
the outcome of a row does not depend on the batch it comes in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.events.properties import PropertyColumns, PropertyDecoder, clean_text, clean_texts, values_of
from transforms.ids.excluded import Excluded
from transforms.ids.posthog_rules import canonical_session_ids, meaningless_column
from transforms.incremental.unsettled import unsettled_rows
from transforms.incremental.watermark import Latest, latest
from transforms.incremental.window import ARRIVAL_TIME, EVENT_TIME, EVERYTHING, MAX_AHEAD, Window
from transforms.machinery.columns import Columns, Layout, TextColumn, dictionary
from transforms.machinery.texts import string_buffers
from transforms.machinery.times import micros_or_null
from transforms.machinery.uuids import Ids, hash_texts, parse_uuids, uuid_texts
from transforms.metrics.definitions import LIBRARY_PROPERTY, SESSION_PROPERTY, Metrics
from transforms.metrics.kinds.conditions import EVENT_NAME, Condition
from transforms.metrics.kinds.kind import Kind, Ratio
from transforms.metrics.kinds.links import Link

#: PostHog cuts distinct ids and session ids far below this; anything longer is no id.
MAX_ID = 400
MIN_TIMESTAMP = 1_420_070_400_000_000  # 2015-01-01 UTC in µs: before there was PostHog or React Native
MAX_TIMESTAMP = 2_524_608_000_000_000  # 2050-01-01
#: PostHog takes events of 1 MB; texts beyond 16 MiB are damage, and are not parsed.
MAX_PROPERTIES = 16 * 2**20
#: `lag` of a row whose arrival is null.
NO_ARRIVAL = np.iinfo(np.int64).min
#: Conditions that one column of bits holds.
WORD = 64

REJECTED = (
    "uuid_missing",
    "uuid_too_long",
    "event_missing",
    "distinct_id_missing",
    "distinct_id_too_long",
    "distinct_id_meaningless",
    "timestamp_missing",
    "timestamp_implausible",
    "timestamp_too_old",
    "properties_missing",
    "properties_too_long",
    "properties_invalid",
    "session_id_missing",
    "session_id_invalid",
    "session_id_too_long",
    "session_id_meaningless",
)
#: `late`: new, but before the window of an incremental run; its session is listed in the ledger.
FILTERED = ("library", "excluded_user", "late")
_BLANK = " \t\r\n\f\v"
_IS_BLANK = np.isin(np.arange(256), list(_BLANK.encode()))


def layout(metrics: Metrics) -> Layout:
    """The columns of slim event rows.

    * `session_high`, `session_low`, `uuid_high`, `uuid_low`: the ids as 128 bits (`transforms.machinery.uuids`);
    * `time`: µs since the epoch, UTC; `lag`: µs from there to the arrival, or `NO_ARRIVAL`;
    * `rows`: how many input rows the row stands for; `later`: how many µs after its own arrival (its time where that is
      null) the latest of them counts as arrived, by `Window.as_arrivals`;
    * `bits<i>`: bit j is whether the event matches condition 64 i + j of `metrics.needs`;
    * `number <i>`: number i of `metrics.needs`, NaN for none, and where `metrics.needed_of` needs none;
    * texts: the event's name, its distinct id, session id and uuid where they are no UUIDs, and the properties that
      `metrics.needs` names, as `text <property>`, null where `metrics.needed_of` needs none.
    """
    conditions, texts, numbers = metrics.needs
    fixed = {
        "session_high": "u8",
        "session_low": "u8",
        "uuid_high": "u8",
        "uuid_low": "u8",
        "time": "i8",
        "lag": "i8",
        "rows": "i4",
        "later": "i8",
    }
    bits = {f"bits{i}": "u8" for i in range(-(-len(conditions) // WORD))}
    return Layout(
        fixed | bits | {f"number {i}": "f8" for i in range(len(numbers))},
        ("event", "distinct_id", "session_id", "uuid", *(f"text {name}" for name in texts)),
    )


@dataclass(frozen=True)
class DecodedEvents:
    """The kept rows of a batch, and what became of the others."""

    kept: Columns
    """Slim rows; see `layout`."""
    rejected: pa.RecordBatch
    """The source's columns of the rejected rows plus `reason`."""
    left_out: set[tuple[str, str]]
    """(session id, empty for none, distinct id) of rows with an excluded distinct id: whose the session is, they tell
    as well."""
    late: pa.RecordBatch
    """`UNSETTLED` of rows that are new but happened before the window: only a backfill settles their sessions."""
    matches: dict[str, int]
    """Metric of some events only, or link → kept rows that match its conditions."""
    counts: Counter[str]
    """read, filtered.<reason>, rejected.<reason>, nulled.<property>."""
    latest: Latest
    """The greatest arrivals of all rows read with a plausible time, µs."""


class EventDecoder:
    """Decodes batches under one set of metrics, one list of excluded distinct ids, and a run's window."""

    def __init__(self, metrics: Metrics, excluded: frozenset[str] = frozenset(), window: Window = EVERYTHING) -> None:
        self._metrics = metrics
        self._window = window
        self._excluded = Excluded(excluded)
        self._properties = PropertyDecoder(metrics.properties, required=SESSION_PROPERTY)
        conditions = metrics.needs.conditions
        self._words = [conditions[begin : begin + WORD] for begin in range(0, len(conditions), WORD)]
        self._admitted = [_admitted(word) for word in self._words]

    def decode(self, batch: pa.RecordBatch) -> DecodedEvents:
        """Decode a batch with the columns of `tables.EVENTS`, times in µs."""
        concerned = self._window.concerns(
            micros_or_null(batch.column(EVENT_TIME)), micros_or_null(batch.column(ARRIVAL_TIME))
        )
        outside = int((~concerned).sum())
        if outside:
            batch = batch.filter(pa.array(concerned))
        stamps, stamp_null = micros_or_null(batch.column(EVENT_TIME))
        dated = micros_or_null(batch.column(ARRIVAL_TIME))
        # without an arrival the event's own time stands for it
        arrivals = np.where(dated[1], stamps, dated[0])
        size = batch.num_rows
        reason = np.zeros(size, np.int8)  # 0: none, i + 1: _REASONS[i]
        names = dictionary(batch.column("event"), clean_texts)
        people = dictionary(batch.column("distinct_id"), clean_texts)

        if self._excluded:  # first of all reasons: a row of an excluded person is no dead letter
            _mark(reason, "excluded_user", _of(people, self._excluded.mask(people.values)))
        uuids = batch.column("uuid")
        _mark(reason, "uuid_missing", _blank(uuids))
        _mark(reason, "uuid_too_long", _longer(uuids))
        _mark(reason, "event_missing", _of(names, _blank(names.values), null=True))
        _mark(reason, "distinct_id_missing", _of(people, _blank(people.values), null=True))
        _mark(reason, "distinct_id_too_long", _longer(batch.column("distinct_id")))
        _mark(reason, "distinct_id_meaningless", _of(people, np.asarray(meaningless_column(people.values))))
        _mark(reason, "timestamp_missing", stamp_null)
        implausible = (stamps < MIN_TIMESTAMP) | (stamps >= MAX_TIMESTAMP)
        implausible |= stamps > arrivals + MAX_AHEAD
        _mark(reason, "timestamp_implausible", implausible)
        # an arrival after the run's own clock says nothing
        plausibly_late = arrivals <= (MAX_TIMESTAMP if self._window.clock is None else self._window.clock)
        too_old = plausibly_late & (stamps < arrivals - self._metrics.max_event_age_days * _DAY)
        _mark(reason, "timestamp_too_old", too_old)
        texts = batch.column("properties")
        _mark(reason, "properties_missing", _blank(texts))
        _mark(reason, "properties_too_long", np.diff(string_buffers(texts)[0]) > MAX_PROPERTIES if size else _NONE)

        columns = self._properties.decode(texts)
        _mark(reason, "properties_invalid", ~columns.valid)
        if self._metrics.libraries is not None:
            library = columns.texts[LIBRARY_PROPERTY]
            known = [value in self._metrics.libraries for value in library.values.to_pylist()]
            _mark(reason, "library", ~values_of(library.codes, known, bool))
        _mark(reason, "session_id_invalid", columns.not_text)
        sessions, session_texts = _session_ids(columns.required, reason)

        late = (reason == 0) & ~self._window.in_window(stamps)
        _mark(reason, "late", late)

        kept = np.flatnonzero(reason == 0)
        plausible = arrivals[~(stamp_null | implausible) & (arrivals < MAX_TIMESTAMP) & self._window.counts(arrivals)]
        every = slice(None) if len(kept) == size else kept
        ids, id_texts = _event_ids(uuids if len(kept) == size else uuids.take(pa.array(kept)))
        numbers = {
            "session_high": sessions.high[every],
            "session_low": sessions.low[every],
            "uuid_high": ids.high,
            "uuid_low": ids.low,
            "time": stamps[every],
            "lag": np.where(dated[1], NO_ARRIVAL, arrivals - stamps)[every],
            "rows": np.ones(len(kept), np.int32),
            "later": (self._window.as_arrivals(stamps, dated) - arrivals)[every],
        }
        numbers |= {f"bits{i}": word[every] for i, word in enumerate(self._bits(names, columns))}
        for i, (ratio, values) in enumerate(zip(self._metrics.needs.numbers, self._numbers(columns), strict=True)):
            numbers[f"number {i}"] = self._needed(ratio, values, names, np.nan)[every]
        properties = {}
        for name in self._metrics.needs.texts:
            codes, texts_of = columns.texts[name].codes, columns.texts[name].values
            properties[f"text {name}"] = TextColumn(self._needed(name, codes, names, -1), texts_of)
        known_texts = {"event": names, "distinct_id": people, "session_id": session_texts} | properties
        return DecodedEvents(
            kept=Columns(
                numbers, {name: column.take(every) for name, column in known_texts.items()} | {"uuid": id_texts}
            ),
            rejected=_rejected(batch, reason),
            left_out=_pairs(sessions, session_texts, people, reason == _CODE["excluded_user"]),
            late=unsettled_rows(_texts_of(sessions, session_texts, late), stamps[late].tolist()),
            matches={
                entry.name: self._matching(entry, numbers)
                for entry in self._metrics.declared
                if entry.needs().conditions
            },
            counts=_counts(reason, columns.nulled, outside),
            latest=latest(plausible),
        )

    def _needed(
        self, what: str | Ratio, values: npt.NDArray[Any], names: TextColumn, nothing: float
    ) -> npt.NDArray[Any]:
        """Values of a text or number, `nothing` for events of which it is not needed."""
        wanted = self._metrics.needed_of.get(what)
        if wanted is None:
            return values
        there = values_of(names.codes, [name in wanted for name in names.values.to_pylist()], bool)
        return np.where(there, values, values.dtype.type(nothing))

    def _matching(self, entry: Kind | Link, numbers: dict[str, npt.NDArray[Any]]) -> int:
        """How many rows match the conditions of a metric or link."""
        found = 0
        for condition in entry.needs().conditions:
            word, bit = divmod(self._metrics.needs.conditions.index(condition), WORD)
            found += int(np.count_nonzero(numbers[f"bits{word}"] & np.uint64(1 << bit)))
        return found

    def _bits(self, names: TextColumn, columns: PropertyColumns) -> Iterator[npt.NDArray[np.uint64]]:
        """A column for every 64 conditions; each different text is looked at once, not each row."""
        events = names.values.to_pylist()
        for word, admitted in zip(self._words, self._admitted, strict=True):
            found = values_of(
                names.codes, [_bits(one.admits(EVENT_NAME, name) for one in word) for name in events], "u8"
            )
            for name, (known, other) in admitted.items():
                column = columns.texts[name]
                found &= np.array([*(known.get(text, other) for text in column.values.to_pylist()), other], "u8")[
                    column.codes
                ]
            for bit, condition in enumerate(word):
                if condition.property:
                    found &= np.where(columns.present[condition.property], _EVERY, _EVERY ^ np.uint64(1 << bit))
            yield found

    def _numbers(self, columns: PropertyColumns) -> Iterator[npt.NDArray[np.float64]]:
        for ratio in self._metrics.needs.numbers:
            values = columns.numbers[ratio.property]
            if ratio.divided_by:
                divisor = columns.numbers[ratio.divided_by]
                with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                    values = np.where(divisor > 0, values / divisor, np.nan)
                    values = np.where(np.isfinite(values), values, np.nan)
            if ratio.clip:
                values = np.clip(values, *ratio.clip)
            yield values + 0.0  # −0.0 becomes 0.0: equal numbers must be equal bytes


def _session_ids(texts: pa.StringArray, reason: npt.NDArray[np.int8]) -> tuple[Ids, TextColumn]:
    """The session ids of all rows, and the texts of those that are no UUID; marks the rows whose id is none."""
    ids = parse_uuids(texts, dashless=False)
    _mark(reason, "session_id_missing", ~ids.is_uuid & _blank(texts))
    _mark(reason, "session_id_meaningless", ids.is_uuid & (ids.high == 0) & (ids.low == 0))
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
        _mark(reason, name, where)
    values = canonical_session_ids([clean_text(value) for value in values])
    high, low = hash_texts(values)
    ids.high[others], ids.low[others] = np.append(high, _ZERO)[found.codes], np.append(low, _ZERO)[found.codes]
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


def _pairs(ids: Ids, texts: TextColumn, people: TextColumn, rows: npt.NDArray[np.bool_]) -> set[tuple[str, str]]:
    """(session id, distinct id) of some rows, "" for those without a session id."""
    there = ids.is_uuid | (texts.codes >= 0)
    pairs = set(zip(_texts_of(ids, texts, rows & there), people.take(rows & there).texts().to_pylist(), strict=True))
    return pairs | {("", person) for person in people.take(rows & ~there).texts().to_pylist()}


def _admitted(word: Sequence[Condition]) -> dict[str, tuple[dict[str, int], int]]:
    """Property → which conditions admit an event by its text: bits by text, and those of any other text and of none."""
    listed: dict[str, set[str]] = {}
    for condition in word:
        for name, texts in condition.where:
            if name != EVENT_NAME:
                listed.setdefault(name, set()).update(texts)
    return {
        name: (
            {text: _bits(one.admits(name, text) for one in word) for text in texts},
            _bits(one.admits(name, None) for one in word),
        )
        for name, texts in listed.items()
    }


def _bits(holds: Iterable[bool]) -> int:
    """Bit i is the i-th value."""
    return sum(value << bit for bit, value in enumerate(holds))


_DAY = 86_400_000_000
_NONE = np.zeros(0, bool)
_ZERO, _EVERY = np.uint64(0), ~np.uint64(0)
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
