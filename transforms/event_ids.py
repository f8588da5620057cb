"""Event uuids as numbers: an order for "first" and "last", and a 64-bit key for "the same event".

The order is that of the uuid's text (of packed bytes where ids of several forms meet), so that SQL's
`ORDER BY timestamp, uuid` agrees. The key replaces 36
characters by 8 bytes in the session accumulator; two of the at most 1,000,000 ids of one session share a key
with a probability below 3e-8. The key lives within one run only and is never written to a table.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_HEX = np.full(256, 255, np.uint8)
_HEX[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_DASHES = np.array([8, 13, 18, 23])
_DIGITS = np.setdiff1d(np.arange(36), _DASHES)


@dataclass(frozen=True)
class EventIds:
    """The uuids of n rows."""

    keys: npt.NDArray[np.uint64]
    order: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]
    """(high, low): ordered like the packed ids."""
    packed: bytes | list[bytes]
    """What `pack_id` gives for each row: 16 bytes each, or a list where a row's id has another form."""

    def packed_of(self, row: int) -> bytes:
        """The packed id of a row."""
        if isinstance(self.packed, bytes):
            return self.packed[16 * row : 16 * row + 16]
        return self.packed[row]


def event_ids(texts: pa.Array) -> EventIds:
    """Keys, order and packed ids of a string array without nulls."""
    raw = _canonical_bytes(texts)
    if raw is not None:
        high, low = _halves(raw)
        return EventIds(mix(high, low), (high, low), raw.tobytes())
    # ids of other forms (or a mixture) are rare: one by one
    values = texts.to_pylist()
    packed = [pack_id(value) for value in values]
    rank = {value: i for i, value in enumerate(sorted(set(packed)))}
    high = np.array([rank[value] for value in packed], np.uint64)
    keys = np.array([_key(value) for value in values], np.uint64)
    return EventIds(keys, (high, np.zeros_like(high)), packed)


def pack_id(text: str) -> bytes:
    """A canonical UUID as its 16 bytes, anything else as UTF-8: bytes order like texts of one form."""
    raw = _canonical_bytes(pa.array([text], pa.string()))
    return text.encode() if raw is None else raw.tobytes()


def mix(high: npt.NDArray[np.uint64], low: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A 64-bit mixture of 128 bits (multiply and xor-shift, as in SplitMix64), wrapping."""
    x = high * np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(32)
    x = (x + low) * np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(29)
    x = x * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(32))


def _canonical_bytes(texts: pa.Array) -> npt.NDArray[np.uint8] | None:
    """The 16 bytes of each text, or None unless all are canonical lower-case UUIDs."""
    count = len(texts)
    texts = texts.cast(pa.string())
    if not count:
        return np.zeros((0, 16), np.uint8)
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + count + 1]
    if not (np.diff(offsets) == 36).all():
        return None
    raw = np.frombuffer(texts.buffers()[2], np.uint8)[offsets[0] : offsets[-1]].reshape(count, 36)
    digits = _HEX[raw[:, _DIGITS]]
    if (raw[:, _DASHES] != ord("-")).any() or (digits == 255).any():
        return None
    return np.ascontiguousarray(digits[:, 0::2] << 4 | digits[:, 1::2])


def _key(text: str) -> int:
    """The key of one id of any form, equal to what a whole batch of canonical ids gives."""
    raw = _canonical_bytes(pa.array([text], pa.string()))
    if raw is None:
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little")
    return int(mix(*_halves(raw))[0])


def _halves(
    raw: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """16 bytes a row → the upper and lower 64 bits."""
    halves = raw.view(">u8").astype(np.uint64)
    return np.ascontiguousarray(halves[:, 0]), np.ascontiguousarray(halves[:, 1])
