"""What is known of one session so far: an immutable value with a merge, and its compact encoding.

`merge` is commutative and associative, and idempotent by event id in everything but `rows`, which counts
input rows for the ledger (rows − distinct events = duplicates). All parts are bounded, whatever a session
sends:

* events: the `limit` smallest 64-bit keys (8 bytes, and a mask of what the event counts for). Keeping the
  smallest of a union does not depend on order, so counts saturate deterministically; `oversized` tells.
* distinct texts: the `MAX_DISTINCT` smallest 64-bit hashes a metric.
* distinct ids: the `MAX_DISTINCT_IDS` smallest.
* edges (firsts and lasts): one (timestamp, uuid, value) each, compared as a whole, so that ties are settled.

Merging only concatenates the packed events; sorting and deduplication wait for `compact`, which most sessions
never need, because `transforms.preaggregate` makes them sorted and unique already.
"""

from __future__ import annotations

import functools
import operator
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

MAX_DISTINCT = 10_000
MAX_DISTINCT_IDS = 1_000
_FEW = 100

#: (timestamp in µs, packed uuid as `event_ids.pack_id` gives it, value) of a first or last value.
Edge = tuple[int, bytes, str]


class SessionAccumulator(NamedTuple):
    """See the module docstring; times are µs since the epoch, UTC."""

    rows: int
    start: int
    end: int
    arrival: int
    """Greatest arrival of its events."""
    flags: int
    keys: bytes
    """Event keys, little-endian uint64."""
    masks: bytes
    """One little-endian uint16 an event: which counts it adds to."""
    packed: bool
    """Keys are ascending, unique and within the limit."""
    oversized: bool
    distinct_ids: tuple[str, ...]
    """Ascending."""
    distincts: tuple[bytes, ...]
    """A metric: ascending unique uint64 hashes of its texts."""
    maxima: tuple[float | None, ...]
    first_distinct_id: Edge
    edges: tuple[Edge | None, ...]


class Shape(NamedTuple):
    """What `merge` must know of the metrics."""

    limit: int
    lasts: tuple[bool, ...]
    """For each edge, whether it is a last (greatest) rather than a first (smallest)."""


def merge(parts: Sequence[SessionAccumulator], shape: Shape) -> SessionAccumulator:
    """The union of one or more parts of a session; no part is changed."""
    if len(parts) == 1:
        return parts[0]
    # by field, all parts at once
    rows, start, end, arrival, flags, keys, masks, _, oversized, ids, distincts, maxima, first_id, edges = zip(
        *parts, strict=True
    )
    merged = SessionAccumulator(
        rows=sum(rows),
        start=min(start),
        end=max(end),
        arrival=max(arrival),
        flags=functools.reduce(operator.or_, flags),
        keys=b"".join(keys),
        masks=b"".join(masks),
        packed=False,
        oversized=any(oversized),
        distinct_ids=_union_of_texts(ids),
        distincts=tuple([_union_of_hashes(sets) for sets in zip(*distincts, strict=True)]),
        maxima=tuple([_best(values, max) for values in zip(*maxima, strict=True)]),
        first_distinct_id=min(first_id),
        edges=tuple(
            [
                _best(values, max if last else min)
                for last, values in zip(shape.lasts, zip(*edges, strict=True), strict=True)
            ]
        ),
    )
    # a session far above the limit must not grow with its events between compactions
    return compact(merged, shape) if len(merged.keys) > 16 * shape.limit else merged


def compact(part: SessionAccumulator, shape: Shape) -> SessionAccumulator:
    """The same knowledge with its events sorted, unique and within the limit."""
    if part.packed:
        return part
    if len(part.keys) <= 8 * _FEW:
        return _compact_few(part, shape)
    keys, where = np.unique(np.frombuffer(part.keys, "<u8"), return_inverse=True)
    masks = np.zeros(len(keys), "<u2")
    np.bitwise_or.at(masks, where, np.frombuffer(part.masks, "<u2"))
    return part._replace(
        keys=keys[: shape.limit].tobytes(),
        masks=masks[: shape.limit].tobytes(),
        packed=True,
        oversized=part.oversized or len(keys) > shape.limit,
    )


def _compact_few(part: SessionAccumulator, shape: Shape) -> SessionAccumulator:
    """`compact` without numpy, whose calls cost more than the work on the events of a usual session."""
    number = len(part.keys) // 8
    masks: dict[int, int] = {}
    for key, mask in zip(
        struct.unpack(f"<{number}Q", part.keys), struct.unpack(f"<{number}H", part.masks), strict=True
    ):
        masks[key] = masks.get(key, 0) | mask
    keys = sorted(masks)
    kept = keys[: shape.limit]
    return part._replace(
        keys=struct.pack(f"<{len(kept)}Q", *kept),
        masks=struct.pack(f"<{len(kept)}H", *[masks[key] for key in kept]),
        packed=True,
        oversized=part.oversized or len(keys) > shape.limit,
    )


def event_count(part: SessionAccumulator) -> int:
    """Distinct events of a packed part."""
    return len(part.keys) // 8


def counts(part: SessionAccumulator, number: int) -> list[int]:
    """Per count metric, how many of a packed part's distinct events it counts."""
    low, high = part.masks[0::2], part.masks[1::2]
    return [
        low.translate(_HAS_BIT[bit]).count(1) if bit < 8 else high.translate(_HAS_BIT[bit - 8]).count(1)
        for bit in range(number)
    ]


_HAS_BIT = [bytes(value >> bit & 1 for value in range(256)) for bit in range(8)]


def _best(values: Sequence[Any], choose: Callable[..., Any]) -> Any:
    """The smallest or greatest that is not None."""
    return choose([value for value in values if value is not None], default=None)


def _union_of_texts(sets: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    first = sets[0]
    if all(other == first for other in sets):
        return first
    return tuple(sorted(set().union(*sets))[:MAX_DISTINCT_IDS])


def _union_of_hashes(sets: Sequence[bytes]) -> bytes:
    first = sets[0]
    if all(other == first for other in sets):
        return first
    joined = b"".join(sets)
    if len(joined) <= 8 * _FEW:
        hashes = sorted(set(struct.unpack(f"<{len(joined) // 8}Q", joined)))[:MAX_DISTINCT]
        return struct.pack(f"<{len(hashes)}Q", *hashes)
    return np.unique(np.frombuffer(joined, "<u8"))[:MAX_DISTINCT].tobytes()


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


def encode(part: SessionAccumulator) -> bytes:
    """MessagePack of a part: about 10 bytes an event and 200 a session; equal parts have equal encodings.

    Firsts and lasts of a session mostly come from the same one or two events, so (timestamp, uuid) is
    written once an event; the first distinct id is one of all, so its place is.
    """
    masks = part.masks
    if not any(masks[1::2]):
        masks = masks[0::2]  # with up to 8 counts the upper byte is always 0
    *first, first_id = part.first_distinct_id
    events: dict[tuple[Any, ...], int] = {tuple(first): 0}
    edges = [None if edge is None else (events.setdefault(edge[:2], len(events)), edge[2]) for edge in part.edges]
    ids = part.distinct_ids
    return _pack(
        (
            part.packed,
            part.rows,
            part.start,
            part.end - part.start,
            part.arrival - part.end,
            part.flags,
            part.keys,
            masks,
            part.oversized,
            ids,
            part.distincts,
            part.maxima,
            [(stamp - part.start, uid) for stamp, uid in events],
            ids.index(first_id) if first_id in ids else first_id,
            edges,
        )
    )


def decode(encoded: bytes) -> SessionAccumulator:
    """The part that `encode` was given."""
    packed, rows, start, length, delay, flags, keys, masks, oversized, *rest = _unpack(encoded)
    distinct_ids, distincts, maxima, events, first_id, edges = rest
    if len(masks) * 8 == len(keys):
        wide = bytearray(2 * len(masks))
        wide[0::2] = masks
        masks = bytes(wide)
    stamps = [(start + offset, uid) for offset, uid in events]
    return SessionAccumulator(
        rows,
        start,
        start + length,
        start + length + delay,
        flags,
        keys,
        masks,
        packed,
        oversized,
        tuple(distinct_ids),
        tuple(distincts),
        tuple(maxima),
        (*stamps[0], distinct_ids[first_id] if isinstance(first_id, int) else first_id),
        tuple([None if edge is None else (*stamps[edge[0]], edge[1]) for edge in edges]),
    )
