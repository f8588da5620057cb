"""Combines whose accumulators are encoded parts.

A part says what one batch knows of a key: an immutable value with a union that is commutative, associative and
idempotent by event or session. Most keys have one part. It is encoded where it is made and goes as it is through
the runner's tables and the shuffle to `extract_output`; only parts that meet others are ever decoded on the way.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import apache_beam as beam
import msgspec
from apache_beam.metrics.metric import Distribution

Part = TypeVar("Part")
#: The first field of an encoded part tells whether it is packed; one byte before it says how many fields follow.
_TRUE = msgspec.msgpack.encode(True)[0]


def is_packed(encoded: bytes) -> bool:
    """Whether an encoded part is as small as its knowledge can be."""
    return encoded[1] == _TRUE


@beam.typehints.with_input_types(bytes)
@beam.typehints.with_output_types(tuple[Any, ...])
class EncodedCombineFn(beam.CombineFn, abc.ABC, Generic[Part]):
    """Encoded parts of one key → a row of values.

    The accumulator is an encoded part like its inputs, or nothing yet (`b""`). Encoded parts are MessagePack of at
    most 15 fields, the first of which is whether the part is packed.
    """

    #: How many accumulators met in a merge.
    width: Distribution

    @abc.abstractmethod
    def encode(self, part: Part) -> bytes:
        """A part as bytes."""

    @abc.abstractmethod
    def decode(self, encoded: bytes) -> Part:
        """The part that `encode` was given."""

    @abc.abstractmethod
    def union(self, parts: list[Part]) -> Part:
        """What two or more parts know together; it need not be packed."""

    @abc.abstractmethod
    def pack(self, part: Part) -> Part:
        """The same knowledge, packed."""

    @abc.abstractmethod
    def values(self, part: Part) -> tuple[Any, ...]:
        """The row of a packed part."""

    def create_accumulator(self) -> bytes:
        """Nothing known yet."""
        return b""

    def add_input(self, accumulator: bytes, part: bytes) -> bytes:
        """The union of what is known and a part."""
        return self._union([accumulator, part]) if accumulator else part

    def merge_accumulators(self, accumulators: Iterable[bytes]) -> bytes:
        """The union of all."""
        parts = [part for part in accumulators if part]
        if len(parts) > 1:
            self.width.update(len(parts))
        return self._union(parts) if parts else b""

    def compact(self, accumulator: bytes) -> bytes:
        """Packed, before it is shuffled."""
        if not accumulator or is_packed(accumulator):
            return accumulator
        return self.encode(self.pack(self.decode(accumulator)))

    def extract_output(self, accumulator: bytes) -> tuple[Any, ...]:
        """The row; an accumulator that was never fed has none, as no key comes without an input."""
        return self.values(self.pack(self.decode(accumulator))) if accumulator else ()

    def get_accumulator_coder(self) -> beam.coders.Coder:
        """Bytes as they are."""
        return beam.coders.BytesCoder()

    def _union(self, parts: list[bytes]) -> bytes:
        return parts[0] if len(parts) == 1 else self.encode(self.union([self.decode(part) for part in parts]))
