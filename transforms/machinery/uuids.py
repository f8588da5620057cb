"""Ids as 128 bits: what the session shuffle carries instead of 36 characters, and the texts they came from.

A UUID is its own 16 bytes, whatever the case of its letters, with its dashes or (where that is allowed) without. Any
other text is a 128-bit BLAKE2b hash, beside which the text itself is kept. So ids are equal if and only if their bits
are; two texts of one hash would take 2⁶⁴ ids to find.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.machinery.texts import string_buffers

Words = npt.NDArray[np.uint64]
_HEX = np.full(256, 255, np.uint8)
_HEX[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_HEX[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16)
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
_DASHES = [8, 13, 18, 23]
_PLACES = np.setdiff1d(np.arange(36), _DASHES)


@dataclass(frozen=True)
class Ids:
    """The ids of n rows."""

    high: Words
    low: Words
    """Their upper and lower 64 bits; (high, low) of UUIDs order like their texts in lower case."""
    is_uuid: npt.NDArray[np.bool_]


def parse_uuids(texts: pa.Array, *, dashless: bool) -> Ids:
    """The bits of the UUIDs in a string array; of all other texts (and nulls) they are 0."""
    offsets, data = string_buffers(texts)
    count = len(texts)
    lengths = np.diff(offsets) if count else np.zeros(0, np.int64)
    high, low, is_uuid = np.zeros(count, np.uint64), np.zeros(count, np.uint64), np.zeros(count, bool)
    for size in (36, 32) if dashless else (36,):
        rows = np.flatnonzero(lengths == size)
        if not len(rows):
            continue
        if len(rows) == count:  # nearly always: one block of bytes
            raw = data[offsets[0] : offsets[-1]].reshape(count, size)
        else:
            raw = data[offsets[rows].astype(np.int64)[:, None] + np.arange(size)]
        good = np.ones(len(rows), bool)
        if size == 36:
            for place in _DASHES:
                good &= raw[:, place] == ord("-")
            raw = raw.take(_PLACES, axis=1)
        digits = _HEX.take(raw)
        good &= (digits < 16).all(axis=1)
        halves = np.ascontiguousarray(digits[:, 0::2] << 4 | digits[:, 1::2]).view(">u8").astype(np.uint64)
        rows, halves = (rows, halves) if good.all() else (rows[good], halves[good])
        high[rows], low[rows], is_uuid[rows] = halves[:, 0], halves[:, 1], True
    return Ids(high, low, is_uuid)


def hash_texts(texts: Iterable[str]) -> tuple[Words, Words]:
    """(high, low) of texts that are no UUIDs."""
    joined = b"".join([hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts])
    halves = np.frombuffer(joined, ">u8").astype(np.uint64).reshape(-1, 2)
    return halves[:, 0], halves[:, 1]


def uuid_texts(high: Words, low: Words) -> pa.Array:
    """UUIDs as texts: lower case, with dashes."""
    raw = np.stack([high, low], axis=1).astype(">u8").view(np.uint8).reshape(-1, 16)
    texts = np.full((len(raw), 36), ord("-"), np.uint8)
    texts[:, _PLACES[0::2]] = _DIGITS[raw >> 4]
    texts[:, _PLACES[1::2]] = _DIGITS[raw & 15]
    offsets = np.arange(0, 36 * len(raw) + 1, 36, dtype=np.int32)
    return pa.StringArray.from_buffers(len(raw), pa.py_buffer(offsets), pa.py_buffer(texts.tobytes()))


def mix(high: Words, low: Words) -> Words:
    """A 64-bit mixture of 128 bits (multiply and xor-shift, as in SplitMix64), wrapping."""
    x = high * np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(32)
    x = (x + low) * np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(29)
    x = x * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(32))
