"""A combine of sets: any order, tree and repetition gives the same, and no accumulator outgrows its bound."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pyarrow as pa
import pytest
from apache_beam.metrics import Metrics
from hypothesis import given
from hypothesis import strategies as st

from transforms.machinery.combine import Accumulator, SetCombineFn, Slice

NUMBERS = st.lists(st.integers(0, 20), max_size=30)


class Distinct(SetCombineFn):
    """Slices of numbers, one a byte → the different ones, ascending."""

    width = Metrics.distribution("test", "width")

    def prune(self, slices: Sequence[bytes]) -> Slice:
        """Each number once."""
        left = bytes(sorted(set(b"".join(slices))))
        return len(left), left

    def output(self, slices: Sequence[bytes]) -> pa.RecordBatch:
        """The numbers."""
        return pa.RecordBatch.from_pydict({"number": list(self.prune(slices)[1])})


def combined(numbers: list[int], rng: random.Random, bound: int) -> list[int]:
    """The numbers as slices in a random order, in a random tree of accumulators."""
    function = Distinct(bound)
    rng.shuffle(numbers)
    accumulators: list[Accumulator] = [function.create_accumulator() for _ in range(3)]
    while numbers:
        size = rng.randint(1, 4)
        some, numbers = numbers[:size], numbers[size:]
        place = rng.randrange(3)
        accumulators[place] = function.add_input(accumulators[place], (len(some), bytes(some)))
    while len(accumulators) > 1:
        rng.shuffle(accumulators)
        accumulators = [function.merge_accumulators(accumulators[:2]), *map(function.compact, accumulators[2:])]
    rows, allowed, _ = accumulators[0]
    assert rows <= max(bound, 2 * 21)
    assert rows <= allowed
    return function.extract_output(accumulators[0]).column("number").to_pylist()


@given(NUMBERS, st.randoms(use_true_random=False), st.integers(1, 8))
def test_any_order_tree_and_repetition_gives_the_same(numbers: list[int], rng: random.Random, bound: int) -> None:
    assert combined(numbers * 2, rng, bound) == sorted(set(numbers))


def test_no_other_accumulator_is_changed_by_a_merge() -> None:
    function = Distinct(100)
    one, two = (function.add_input(function.create_accumulator(), (1, bytes([n]))) for n in (1, 2))
    merged = function.merge_accumulators([one, two])
    assert (one, two) == ((1, 100, [b"\1"]), (1, 100, [b"\2"]))
    assert merged == (2, 100, [b"\1", b"\2"])


def test_an_accumulator_that_pruning_does_not_shrink_may_be_twice_what_is_left() -> None:
    function = Distinct(2)
    accumulator = function.create_accumulator()
    for number in range(10):
        accumulator = function.add_input(accumulator, (1, bytes([number])))
    assert accumulator[:2] == (10, 10) or accumulator[1] >= accumulator[0]
    assert sum(len(packed) for packed in accumulator[2]) == accumulator[0]


def test_it_travels_as_bytes() -> None:
    function = Distinct(5)
    coder = function.get_accumulator_coder()
    rows, allowed, slices = coder.decode(coder.encode((2, 5, [b"a", b"b"])))
    assert (rows, allowed, list(slices)) == (2, 5, [b"a", b"b"])


def test_what_it_must_say_is_asked_of_a_subclass() -> None:
    with pytest.raises(TypeError, match="abstract"):
        SetCombineFn(1)  # type: ignore[abstract]
