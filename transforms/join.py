"""Joins of record batches by hash partition: no side input, so nothing but a partition has to fit in memory.

Every input is split by a hash of its key column into the same partitions; one call per partition sees the
rows of all inputs with those keys. Batches go through the shuffle, not rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection, TaggedOutput

from transforms.counts import Count
from transforms.elements import as_batch, flat_map, pack, split, string_buffers, unpack
from transforms.event_ids import mix

#: What a function on tables may yield: rows, rows for another output, numbers for the ledger, ids for the ledger.
Result: TypeAlias = pa.Table | tuple[str, pa.Table] | Count | str
#: Tables of one partition by input name → results.
JoinFunction: TypeAlias = Callable[[dict[str, pa.Table]], Iterable[Result]]


@dataclass(frozen=True)
class Side:
    """One input of a join."""

    key: str
    schema: pa.Schema


def partition_batch(batch: pa.RecordBatch, key: str, partitions: int) -> Iterator[tuple[str, bytes]]:
    """(partition name, the packed rows whose key falls into it); rows with a null key have no partition."""
    if not batch.num_rows:
        return
    numbers = _partition_of(batch.column(key), partitions)
    order = np.argsort(numbers, kind="stable")
    numbers = numbers[order]
    batch = batch.take(pa.array(order))
    starts = np.flatnonzero(np.diff(numbers, prepend=-2))
    for begin, end in zip(starts, [*starts[1:], len(numbers)], strict=True):
        if numbers[begin] >= 0:
            yield f"partition-{numbers[begin]:05d}", pack(batch.slice(begin, end - begin))


def _partition_of(keys: pa.Array, partitions: int) -> npt.NDArray[Any]:
    """The partition of each key, −1 for null: from its length and its first, middle and last eight bytes.

    All keys at once, which takes a fifth of the time of a hash of each whole text. Keys that differ nowhere else
    share a partition, which costs balance, never a row.
    """
    offsets, data = string_buffers(keys)
    begin = offsets[:-1].astype(np.int64)
    length = np.diff(offsets).astype(np.int64)
    inside = np.arange(8) < length[:, None]  # of a shorter key, not the bytes of the next
    padded = np.append(data, np.zeros(8, np.uint8))
    spare = np.maximum(length - 8, 0)
    mixed = length.astype(np.uint64)
    for at in (begin, begin + spare // 2, begin + spare):
        word = padded[at[:, None] + np.arange(8)] * inside
        mixed = mix(mixed, word.view("<u8")[:, 0])
    numbers = (mixed % np.uint64(partitions)).astype(np.min_scalar_type(-partitions))
    if keys.null_count:
        numbers[keys.is_null().to_numpy(zero_copy_only=False)] = -1
    return numbers


def lookup(table: pa.Table, key: str, wanted: pa.ChunkedArray, columns: list[str]) -> pa.Table:
    """`columns` of the row of `table` whose unique `key` equals each wanted value; nulls where none does."""
    index = pc.index_in(wanted, value_set=table.column(key).combine_chunks())
    return table.select(columns).take(index)


class Outcome(NamedTuple):
    """What a step on record batches gives."""

    rows: PCollection[pa.RecordBatch]
    counts: PCollection[Count]
    """Numbers for the ledger."""
    texts: PCollection[str]
    """Ids for the ledger (only `transforms.settle` gives any)."""
    also: dict[str, PCollection[pa.RecordBatch]]
    """Rows of other kinds, by the names that the step was given."""


class _Dispatching(beam.DoFn):
    """Sends what a join function yields to the outputs of an `Outcome`."""

    COUNTS, TEXTS = "counts", "texts"

    def send(self, results: Iterable[Result]) -> Iterator[pa.RecordBatch | TaggedOutput]:
        for result in results:
            if isinstance(result, pa.Table):
                if result.num_rows:
                    yield as_batch(result)
            elif isinstance(result, str):
                yield TaggedOutput(self.TEXTS, result)
            elif not isinstance(result[1], pa.Table):
                yield TaggedOutput(self.COUNTS, result)
            elif result[1].num_rows:
                yield TaggedOutput(result[0], as_batch(result[1]))


def _outcome(source: PCollection[Any], dofn: _Dispatching, also: Sequence[str] = ()) -> Outcome:
    types = {"rows": pa.RecordBatch, "counts": Count, "texts": str} | dict.fromkeys(also, pa.RecordBatch)
    outputs = split(source, dofn, **types)
    return Outcome(outputs["rows"], outputs["counts"], outputs["texts"], {name: outputs[name] for name in also})


@beam.typehints.with_input_types(tuple[str, dict[str, Iterable[bytes]]])
class _CallPerPartition(_Dispatching):
    def __init__(self, function: JoinFunction, sides: Mapping[str, Side]) -> None:
        self._function, self._sides = function, dict(sides)

    def process(self, element: tuple[str, dict[str, Iterable[bytes]]]) -> Iterator[pa.RecordBatch | TaggedOutput]:
        _, packed = element
        tables = {
            name: pa.Table.from_batches(map(unpack, packed[name]), side.schema).combine_chunks()
            for name, side in self._sides.items()
        }
        yield from self.send(self._function(tables))


@beam.typehints.with_input_types(pa.RecordBatch)
class _CallPerBatch(_Dispatching):
    def __init__(self, function: Callable[[pa.Table], Iterable[Result]]) -> None:
        self._function = function

    def process(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch | TaggedOutput]:
        yield from self.send(self._function(pa.Table.from_batches([batch])))


class JoinByKey(beam.PTransform):
    """{name: PCollection[pa.RecordBatch]} → `Outcome` of `function`, called once a partition of the keys.

    `sides` gives each input's key column (a string) and schema. Rows with a null key are left out, and a
    partition without rows on any side is never called. `also` names the other outputs that `function` has.
    """

    def __init__(
        self, function: JoinFunction, sides: Mapping[str, Side], partitions: int, also: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self._function, self._sides, self._partitions = function, dict(sides), partitions
        self._also = tuple(also)

    def expand(self, inputs: dict[str, PCollection[pa.RecordBatch]]) -> Outcome:
        """One shuffle of batches."""
        keyed = {
            name: batches
            | f"Partition {name}"
            >> flat_map(
                partition_batch,
                self._sides[name].key,
                self._partitions,
                gives=tuple[str, bytes],
            )
            for name, batches in inputs.items()
        }
        grouped = keyed | "Group partitions" >> beam.CoGroupByKey()
        return _outcome(grouped, _CallPerPartition(self._function, self._sides), self._also)


class EachBatch(beam.PTransform):
    """PCollection[pa.RecordBatch] → `Outcome` of `function`, called with every batch as a table."""

    def __init__(self, function: Callable[[pa.Table], Iterable[Result]]) -> None:
        super().__init__()
        self._function = function

    def expand(self, batches: PCollection[pa.RecordBatch]) -> Outcome:
        """One pass, no shuffle."""
        return _outcome(batches, _CallPerBatch(self._function))


def all_counts(*outcomes: Outcome) -> tuple[PCollection[Count], ...]:
    """The counts of several steps, to be flattened."""
    return tuple(outcome.counts for outcome in outcomes)
