"""Session rows → person rows: the second combine.

All sessions with one `person_id` are a person. Sums are of integers (µs and counts); floats are made once, at
the end, so that a person's numbers do not depend on the order of sessions.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import msgspec
import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics as BeamMetrics
from apache_beam.pvalue import PCollection

from transforms.combine import EncodedCombineFn
from transforms.counts import NAMESPACE
from transforms.elements import ToBatches, flat_map
from transforms.metrics import Metrics
from transforms.preaggregate import text_hash
from transforms.users import PROFILE

#: A person with more sessions keeps the ones with the smallest keys; its numbers saturate.
MAX_SESSIONS = 100_000
_DAY = 86_400_000_000
_MICROS = 1_000_000
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
_ENGAGED, _ACTIVE = 1, 2  # bits before those of `metrics.person_flags`

#: (start in µs, session id, value) of the latest session with a value.
Latest = tuple[int, str, str]


class PersonAccumulator(NamedTuple):
    """What is known of a person: immutable, merged by union, hence idempotent by session."""

    sessions: bytes
    """One record a session: 64-bit key, start and duration (µs), flags, then the counts."""
    packed: bool
    """Records are ascending as bytes, unique by key and at most `MAX_SESSIONS`."""
    latest: tuple[Latest | None, ...]
    """Per `metrics.person_latest`."""
    profile: bytes
    """MessagePack of user_id and `PROFILE` (timestamps in µs): the same in all sessions of a person."""


def record_type(metrics: Metrics) -> np.dtype[np.void]:
    """The numpy type of a session record in `PersonAccumulator.sessions`."""
    fields = [("key", "<u8"), ("start", "<i8"), ("duration", "<i8"), ("flags", "<i8")]
    return np.dtype(fields + [(f"count{i}", "<i4") for i in range(len(metrics.person_counts))])


def person_parts(batch: pa.RecordBatch, metrics: Metrics) -> Iterator[tuple[str, PersonAccumulator]]:
    """A batch of session rows → (person id, accumulator) for every person in it."""
    if not batch.num_rows:
        return
    people = batch.column("person_id").dictionary_encode()
    codes = people.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    batch = batch.take(pa.array(order))
    records = _records(batch, metrics).tobytes()
    size = record_type(metrics).itemsize
    stamps = batch.column("start_timestamp").cast(pa.int64()).to_pylist()
    session_ids = batch.column("session_id").to_pylist()
    latest = [batch.column(entry.name).to_pylist() for entry in metrics.person_latest]
    profiles = batch.select(["user_id", *PROFILE]).take(pa.array(starts))
    created = profiles.column("createdAt").cast(pa.int64())
    profiles = profiles.drop_columns(["createdAt"]).append_column("createdAt", created)
    names = people.dictionary.to_pylist()
    for begin, end, profile in zip(
        starts.tolist(),
        [*starts[1:].tolist(), batch.num_rows],
        zip(*[column.to_pylist() for column in profiles.columns], strict=True),
        strict=True,
    ):
        yield (
            names[codes[order[begin]]],
            PersonAccumulator(
                records[begin * size : end * size],
                end - begin == 1,
                tuple(
                    max(
                        (
                            (stamps[row], session_ids[row], column[row])
                            for row in range(begin, end)
                            if column[row] is not None
                        ),
                        default=None,
                    )
                    for column in latest
                ),
                _pack(profile),
            ),
        )


def _records(batch: pa.RecordBatch, metrics: Metrics) -> np.ndarray[Any, np.dtype[np.void]]:
    records = np.zeros(batch.num_rows, record_type(metrics))
    records["key"] = [text_hash(value) for value in batch.column("session_id").to_pylist()]
    start = batch.column("start_timestamp").cast(pa.int64()).to_numpy()
    records["start"] = start
    records["duration"] = batch.column("end_timestamp").cast(pa.int64()).to_numpy() - start
    flags = {name: _bools(batch, name) for name in metrics.person_flags}
    active = np.zeros(batch.num_rows, bool)
    for name in metrics.engagement_flags:
        active |= flags[name]
    records["flags"] = _bools(batch, "is_engaged") * _ENGAGED + active * _ACTIVE
    for bit, values in enumerate(flags.values(), start=2):
        records["flags"] += values.astype(np.int64) << bit
    for i, entry in enumerate(metrics.person_counts):
        records[f"count{i}"] = batch.column(entry.name).to_numpy()
    return records


def _bools(batch: pa.RecordBatch, name: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray(batch.column(name).to_numpy(zero_copy_only=False), bool)


def merge(parts: list[PersonAccumulator]) -> PersonAccumulator:
    """The union of one or more parts of a person; none is changed."""
    if len(parts) == 1:
        return parts[0]
    return PersonAccumulator(
        sessions=b"".join([part.sessions for part in parts]),
        packed=False,
        latest=tuple(
            max((value for value in values if value is not None), default=None)
            for values in zip(*[part.latest for part in parts], strict=True)
        ),
        profile=min(part.profile for part in parts),
    )


def compact(part: PersonAccumulator, size: int) -> PersonAccumulator:
    """The same knowledge with each session once; of several records of one the smallest bytes, whatever the order.

    `size` is that of a record, in bytes.
    """
    if part.packed:
        return part
    sessions = part.sessions
    records = sorted({sessions[i : i + size] for i in range(0, len(sessions), size)}, reverse=True)
    unique = {record[:8]: record for record in records}
    return part._replace(sessions=b"".join(sorted(unique.values())[:MAX_SESSIONS]), packed=True)


def encode(part: PersonAccumulator) -> bytes:
    """MessagePack of a part: about 45 bytes a session and the profile; equal parts have equal encodings."""
    return _pack((part.packed, part.sessions, part.latest, part.profile))


def decode(encoded: bytes) -> PersonAccumulator:
    """The part that `encode` was given."""
    packed, sessions, latest, profile = _unpack(encoded)
    edges = tuple([None if edge is None else tuple(edge) for edge in latest])
    return PersonAccumulator(sessions, packed, edges, profile)


class PersonCombineFn(EncodedCombineFn[PersonAccumulator]):
    """Encoded `PersonAccumulator` parts of one person → its row (person id aside), in the order of `names`.

    Commutative, associative, idempotent by session; bounded by `MAX_SESSIONS` records of 32 bytes plus 4 a
    count.
    """

    width = BeamMetrics.distribution(NAMESPACE, "person_merge_width")

    def __init__(self, metrics: Metrics, names: Sequence[str]) -> None:
        self._metrics, self._size = metrics, record_type(metrics).itemsize
        self._names = list(names)

    def encode(self, part: PersonAccumulator) -> bytes:
        """See `encode`."""
        return encode(part)

    def decode(self, encoded: bytes) -> PersonAccumulator:
        """See `decode`."""
        return decode(encoded)

    def union(self, parts: list[PersonAccumulator]) -> PersonAccumulator:
        """See `merge`."""
        return merge(parts)

    def pack(self, part: PersonAccumulator) -> PersonAccumulator:
        """See `compact`."""
        return compact(part, self._size)

    def values(self, part: PersonAccumulator) -> tuple[Any, ...]:
        """The person's columns, times in µs."""
        columns = person_columns(part, self._metrics)
        return tuple([columns[name] for name in self._names])


def person_columns(part: PersonAccumulator, metrics: Metrics) -> dict[str, Any]:
    """The columns of a packed part; durations in seconds, times in µs."""
    layout = struct.Struct(f"<Qqqq{len(metrics.person_counts)}i")
    _, starts, durations, flags, *counts = zip(*layout.iter_unpack(part.sessions), strict=True)
    number = len(starts)
    total = sum(durations)
    first, last = min(starts), max(starts)
    days = (last - first) / _DAY
    columns: dict[str, Any] = {
        "total_sessions": number,
        "engaged_sessions": sum(value & _ENGAGED for value in flags),
        "avg_session_duration": total / (number * _MICROS),
        "median_session_duration": _median(durations) / _MICROS,
        "total_session_duration": total / _MICROS,
        "min_session_duration": min(durations) / _MICROS,
        "max_session_duration": max(durations) / _MICROS,
        "std_session_duration": _deviation(durations, total),
        "first_session_date": first,
        "last_session_date": last,
        "days_since_first_session": days,
        "sessions_per_day": number / (days + 1),
        "engagement_score": sum(value >> 1 & 1 for value in flags) / number,
    }
    for bit, name in enumerate(metrics.person_flags, start=2):
        columns[f"{name}_sum"] = sum(value >> bit & 1 for value in flags)
    for entry, values in zip(metrics.person_counts, counts, strict=True):
        columns[f"total_{entry.person_noun}"] = sum(values)
        columns[f"avg_{entry.person_noun}_per_session"] = sum(values) / number
        columns[f"max_{entry.person_noun}_per_session"] = max(values)
    for entry, latest in zip(metrics.person_latest, part.latest, strict=True):
        columns[entry.name] = None if latest is None else latest[2]
    user_id, *profile = _unpack(part.profile)
    return columns | {"user_id": user_id} | dict(zip(PROFILE, profile, strict=True))


def _median(values: tuple[int, ...]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def _deviation(values: tuple[int, ...], total: int) -> float | None:
    """Sample deviation in seconds, exact until the root; null for one session."""
    number = len(values)
    if number < 2:
        return None
    spread = number * sum(value * value for value in values) - total * total
    return math.sqrt(spread / (number * (number - 1))) / _MICROS


class AggregatePersons(beam.PTransform):
    """Record batches of session rows → record batches of person rows with `schema`.

    The sessions of a person come from one partition of the join before, already combined, so that no
    person is a hot key here; `PersonCombineFn` is fit for `with_hot_key_fanout` all the same.
    """

    def __init__(self, metrics: Metrics, schema: pa.Schema) -> None:
        super().__init__()
        self._metrics, self._schema = metrics, schema

    def expand(self, sessions: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        """One shuffle by person id."""
        return (
            sessions
            | "Key by person" >> flat_map(encoded_parts, self._metrics, gives=tuple[bytes, bytes])
            | "Combine per person" >> beam.CombinePerKey(PersonCombineFn(self._metrics, self._schema.names[1:]))
            | "Batch persons" >> beam.ParDo(ToBatches(self._schema))
        )


def encoded_parts(batch: pa.RecordBatch, metrics: Metrics) -> Iterator[tuple[bytes, bytes]]:
    """`person_parts`, encoded."""
    for person_id, part in person_parts(batch, metrics):
        yield person_id.encode(), encode(part)
