"""Random numbers that are a function of (seed, stream, id), and UUIDs made of them.

A generator with a state would have to remember everything it drew: here the second copy of an
event, days later, has the same uuid and values again because they follow from the event's number.
Streams are independent: what one draws never shifts another.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

_MASK = (1 << 64) - 1
_HEX = np.array([list(f"{byte:02x}".encode()) for byte in range(256)], np.uint8)
#: Where the 32 hexadecimal digits of a canonical UUID stand among its 36 characters.
_DIGITS = np.array([place for place in range(36) if place not in (8, 13, 18, 23)])


def _mix(words: Words) -> Words:
    """Scramble 64-bit words (the finalizer of splitmix64)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


@dataclass(frozen=True)
class Dice:
    """Draws for ids; `seed` picks the family of streams."""

    seed: int

    def words(self, stream: str, ids: Ints) -> Words:
        """A 64-bit word for each id."""
        key = (self.seed * 0x9E3779B97F4A7C15 + zlib.crc32(stream.encode()) + 1) & _MASK
        start = _mix(np.array([key], np.uint64))
        step = np.uint64(0x9E3779B97F4A7C15)
        return _mix(ids.astype(np.uint64) * step + start)

    def below(self, stream: str, ids: Ints, limit: int) -> Ints:
        """An integer in [0, limit) for each id; raises ValueError for a limit above 2**31."""
        if limit > 1 << 31:
            raise ValueError(f"limit must be at most 2**31, not {limit}")
        return (self.words(stream, ids) >> np.uint64(33)).astype(np.int64) * limit >> 31

    def share(self, stream: str, ids: Ints) -> npt.NDArray[np.float64]:
        """A number in [0, 1) for each id."""
        return (self.words(stream, ids) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uuids(dice: Dice, stream: str, ids: Ints, milliseconds: Ints, time_based: Flags | None = None) -> pa.StringArray:
    """Canonical lower-case UUID text for each id.

    Version 7, made of the time; version 4 where not `time_based`.
    """
    random = dice.words(f"{stream}/high", ids)
    high = (milliseconds.astype(np.uint64) << np.uint64(16)) | np.uint64(0x7000) | (random >> np.uint64(52))
    if time_based is not None:
        version_4 = (random & np.uint64(_MASK ^ 0xF000)) | np.uint64(0x4000)
        high = np.where(time_based, high, version_4)
    low = np.uint64(1 << 63) | (dice.words(f"{stream}/low", ids) >> np.uint64(2))
    octets = np.stack([high, low], axis=1).astype(">u8").view(np.uint8)
    text = np.full((len(ids), 36), ord("-"), np.uint8)
    text[:, _DIGITS] = _HEX[octets].reshape(len(ids), 32)
    return fixed_width_strings(text)


def fixed_width_strings(characters: npt.NDArray[np.uint8]) -> pa.StringArray:
    """A string array from a (rows, width) matrix of ASCII codes."""
    rows, width = characters.shape
    offsets = np.arange(0, (rows + 1) * width, width, dtype=np.int32)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets.data), pa.py_buffer(characters.data))
