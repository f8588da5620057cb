"""Joins of record batches by block of keys: no side input, so nothing but a block has to fit in memory.

Every input is dealt by its key column into the same blocks (`transforms.machinery.blocks`); one call per block sees the
rows of all inputs with those keys. Batches go through the shuffle, not rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection, TaggedOutput

from transforms.machinery.blocks import Gather, Ints, cut, pack_rows, text_blocks, unpack_rows
from transforms.machinery.counts import Count
from transforms.machinery.guard import guarded
from transforms.machinery.record_batches import as_batch
from transforms.machinery.steps import split


@dataclass(frozen=True)
class Results:
    """What a function on tables gives: for each output its tables, and numbers for the ledger."""

    rows: Sequence[pa.Table] = ()
    also: Mapping[str, Sequence[pa.Table]] = field(default_factory=dict)
    """Of other outputs by name."""
    counts: Mapping[str, int] = field(default_factory=dict)


#: Tables of one partition by input name → results.
JoinFunction: TypeAlias = Callable[[dict[str, pa.Table]], Results]


@dataclass(frozen=True)
class Side:
    """One input of a join."""

    key: str
    schema: pa.Schema
    blocks: Callable[[pa.Array, int], Ints] = text_blocks
    """The block of each key, −1 for a row that has none."""


#: (block, (input name, packed rows))
_Dealt: TypeAlias = tuple[str, tuple[str, bytes]]


@guarded("dealing of rows")
@beam.typehints.with_input_types(pa.RecordBatch)
@beam.typehints.with_output_types(_Dealt)
class _Deal(Gather[pa.RecordBatch]):
    """Record batches → what is shuffled of them."""

    def __init__(self, name: str, side: Side, blocks: int) -> None:
        super().__init__(blocks)
        self._name, self._side = name, side

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        """Hold a batch until there are rows enough."""
        batch = _named(batch, self._side.schema)
        yield from self.hold(batch, batch.num_rows, batch.nbytes)

    def cut(self, held: list[pa.RecordBatch]) -> Iterator[_Dealt]:
        """The rows of each block."""
        batch = held[0] if len(held) == 1 else pa.concat_batches(held)
        for block, rows in cut(batch, self._side.blocks(batch.column(self._side.key), self._blocks)):
            yield block, (self._name, rows)


@guarded("dealing of rows")
def _pack_dealt(dealt: tuple[str, pa.RecordBatch], name: str, schema: pa.Schema) -> _Dealt:
    return dealt[0], (name, pack_rows(_named(dealt[1], schema)))


def _named(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with its columns in the order of `schema`: what is packed travels without names.

    Raises:
      TypeError: its columns are others.
    """
    if batch.schema.names != schema.names:
        batch = batch.select(schema.names)
    if batch.schema.types != schema.types:
        raise TypeError("a column has another type than its side of the join says")
    return batch


class Outcome(NamedTuple):
    """What a step on record batches gives."""

    rows: PCollection[pa.RecordBatch]
    counts: PCollection[Count]
    """Numbers for the ledger."""
    also: dict[str, PCollection[pa.RecordBatch]]
    """Rows of other kinds, by the names that the step was given."""


class _Dispatching(beam.DoFn):
    """Sends `Results` to the outputs of an `Outcome`."""

    COUNTS = "counts"

    def send(self, results: Results) -> Iterator[pa.RecordBatch | TaggedOutput]:
        """The main output's batches, and all others with their tags."""
        yield from (as_batch(table) for table in results.rows if table.num_rows)
        for name, tables in results.also.items():
            yield from (TaggedOutput(name, as_batch(table)) for table in tables if table.num_rows)
        yield from (TaggedOutput(self.COUNTS, count) for count in results.counts.items())


def _outcome(source: PCollection[Any], dofn: _Dispatching, also: Sequence[str] = ()) -> Outcome:
    types = {"rows": pa.RecordBatch, _Dispatching.COUNTS: Count} | dict.fromkeys(also, pa.RecordBatch)
    outputs = split(source, dofn, **types)
    return Outcome(outputs["rows"], outputs[_Dispatching.COUNTS], {name: outputs[name] for name in also})


@guarded("joining of rows")
@beam.typehints.with_input_types(tuple[str, Iterable[tuple[str, bytes]]])
class _CallPerBlock(_Dispatching):
    def __init__(self, function: JoinFunction, sides: Mapping[str, Side]) -> None:
        self._function, self._sides = function, dict(sides)

    def process(self, element: tuple[str, Iterable[tuple[str, bytes]]]) -> Iterator[pa.RecordBatch | TaggedOutput]:
        _, packed = element
        batches: dict[str, list[pa.RecordBatch]] = {name: [] for name in self._sides}
        for name, rows in packed:
            batches[name].append(unpack_rows(rows, self._sides[name].schema))
        tables = {
            name: pa.Table.from_batches(found, self._sides[name].schema).combine_chunks()
            for name, found in batches.items()
        }
        yield from self.send(self._function(tables))


@guarded("cleaning of rows")
@beam.typehints.with_input_types(pa.RecordBatch)
class _CallPerBatch(_Dispatching):
    def __init__(self, function: Callable[[pa.Table], Results]) -> None:
        self._function = function

    def process(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch | TaggedOutput]:
        yield from self.send(self._function(pa.Table.from_batches([batch])))


class JoinByKey(beam.PTransform):
    """{name: PCollection[pa.RecordBatch]} → `Outcome` of `function`, called once a block of keys.

    `sides` gives each input's key column (a string) and schema. Rows with a null key are left out, and a
    block without rows on any side is never called. An input that is dealt already, by the same blocks, is a tuple of
    PCollection[(block, pa.RecordBatch)]. `also` names the other outputs that `function` has.
    """

    def __init__(
        self, function: JoinFunction, sides: Mapping[str, Side], blocks: int, also: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self._function, self._sides, self._blocks = function, dict(sides), blocks
        self._also = tuple(also)

    def expand(self, inputs: Mapping[str, Any]) -> Outcome:
        """One shuffle of batches; each says which input it is of, so it takes no step an input as CoGroupByKey does."""
        dealt = []
        for name, given in inputs.items():
            side = self._sides[name]
            for i, rows in enumerate(given if isinstance(given, tuple) else (given,)):
                part = f"{name} {i}" if i else name
                dealt.append(
                    rows | f"Pack {part}" >> beam.Map(_pack_dealt, name, side.schema).with_output_types(_Dealt)
                    if isinstance(given, tuple)
                    else rows | f"Deal {part}" >> beam.ParDo(_Deal(name, side, self._blocks))
                )
        grouped = dealt | "All inputs" >> beam.Flatten() | "Group blocks" >> beam.GroupByKey()
        return _outcome(grouped, _CallPerBlock(self._function, self._sides), self._also)


class EachBatch(beam.PTransform):
    """PCollection[pa.RecordBatch] → `Outcome` of `function`, called with every batch as a table."""

    def __init__(self, function: Callable[[pa.Table], Results]) -> None:
        super().__init__()
        self._function = function

    def expand(self, batches: PCollection[pa.RecordBatch]) -> Outcome:
        """One pass, no shuffle."""
        return _outcome(batches, _CallPerBatch(self._function))


def all_counts(*outcomes: Outcome) -> tuple[PCollection[Count], ...]:
    """The counts of several steps, to be flattened."""
    return tuple(outcome.counts for outcome in outcomes)
