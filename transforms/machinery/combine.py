"""Combines whose accumulator is a set of rows: packed slices of a block, whatever the rows are.

Adding and merging only lay slices side by side, so the combine is commutative and associative by construction; it is
idempotent because the set is (`prune` and `output` know each row's identity). A set that grows beyond its bound is
pruned, so that no key, however hot, makes an accumulator grow without end.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Sequence

import apache_beam as beam
import pyarrow as pa
from apache_beam.coders import BytesCoder, Coder, IterableCoder, TupleCoder, VarIntCoder
from apache_beam.metrics.metric import Distribution

from transforms.machinery.guard import guarded

#: Number of rows, and the rows packed.
Slice = tuple[int, bytes]
#: Rows in all, how many there may be before it is pruned, and the slices.
Accumulator = tuple[int, int, list[bytes]]


@guarded("combining of rows")
@beam.typehints.with_input_types(Slice)
@beam.typehints.with_output_types(pa.RecordBatch)
class SetCombineFn(beam.CombineFn, abc.ABC):
    """Slices of a block → a record batch about all its rows.

    An accumulator holds at most about `bound` rows, or twice the rows that `prune` leaves of them.
    """

    #: How many accumulators met in a merge.
    width: Distribution

    def __init__(self, bound: int) -> None:
        self._bound = bound

    @abc.abstractmethod
    def prune(self, slices: Sequence[bytes]) -> Slice:
        """A smaller set that says the same."""

    @abc.abstractmethod
    def output(self, slices: Sequence[bytes]) -> pa.RecordBatch:
        """What the set says."""

    def create_accumulator(self) -> Accumulator:
        """The empty set."""
        return 0, self._bound, []

    def add_input(self, accumulator: Accumulator, element: Slice) -> Accumulator:
        """The set with some more rows."""
        rows, allowed, slices = accumulator
        slices.append(element[1])
        return self._within((rows + element[0], allowed, slices))

    def merge_accumulators(self, accumulators: Iterable[Accumulator]) -> Accumulator:
        """The union of all; the first is reused, no other is changed or kept."""
        rows, allowed, slices = self.create_accumulator()
        number = 0
        for more, bound, others in accumulators:
            rows, allowed = rows + more, max(allowed, bound)
            slices.extend(others)
            number += bool(others)
        if number > 1:
            self.width.update(number)
        return self._within((rows, allowed, slices))

    def compact(self, accumulator: Accumulator) -> Accumulator:
        """As it is: within its bound already, and sorting it once, at the end, is enough."""
        return accumulator

    def extract_output(self, accumulator: Accumulator) -> pa.RecordBatch:
        """See `output`."""
        return self.output(accumulator[2])

    def get_accumulator_coder(self) -> Coder:
        """Bytes as they are."""
        return TupleCoder((VarIntCoder(), VarIntCoder(), IterableCoder(BytesCoder())))

    def _within(self, accumulator: Accumulator) -> Accumulator:
        rows, allowed, slices = accumulator
        if rows <= allowed:
            return accumulator
        left, packed = self.prune(slices)
        return left, max(self._bound, 2 * left), [packed]
