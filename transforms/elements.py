"""The elements of the graph: typed steps, Arrow record batches with a coder, and rows → batches.

Joins and tables move batches, not rows: the runner's cost is per element, Arrow's is per column.
"""

from __future__ import annotations

import contextlib
import functools
import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindow
from apache_beam.typehints.native_type_compatibility import convert_to_beam_type
from apache_beam.utils.windowed_value import WindowedValue

from transforms.guard import guarded

_CODEC = "zstd"
"""Sessions shrink to about a third; a runner copies every byte of a shuffle several times."""


def pack(batch: pa.RecordBatch) -> bytes:
    """A batch as an Arrow IPC stream, schema included, compressed as one: Arrow's own way, buffer by buffer, takes
    twice the time for batches as small as a partition's."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, _CODEC) as stream, pa.ipc.new_stream(stream, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def unpack(packed: bytes) -> pa.RecordBatch:
    """The batch that `pack` was given."""
    with pa.CompressedInputStream(pa.py_buffer(packed), _CODEC) as stream, pa.ipc.open_stream(stream) as reader:
        return reader.read_next_batch()


def collect_less() -> None:
    """Let Python's collector of cycles look less often, in this process.

    A batch, and a shuffle in the local runner, make tens of thousands of objects that live until its end and hold no
    cycles; the collector would walk them again and again (about a tenth of the time). Nothing is frozen: what a run
    leaves in cycles (its graph, 40 MB) would stay for ever in a process that runs again.
    """
    gc.set_threshold(200_000, 50, 1_000)


@contextlib.contextmanager
def collecting_less() -> Iterator[None]:
    """`collect_less` for the length of a run in a process that lives on; afterwards the collector is as it was."""
    before = gc.get_threshold()
    collect_less()
    try:
        yield
    finally:
        gc.set_threshold(*before)


class RecordBatchCoder(beam.coders.Coder):
    """`pa.RecordBatch` ⇄ `pack`."""

    def encode(self, value: pa.RecordBatch) -> bytes:
        """See `pack`."""
        return pack(value)

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        """See `unpack`."""
        return unpack(encoded)

    def estimate_size(self, value: pa.RecordBatch) -> int:
        """Bytes before compression: Beam samples sizes, by default by encoding once more."""
        return int(value.nbytes)

    def is_deterministic(self) -> bool:
        """Batches are never keys."""
        return False

    def to_type_hint(self) -> type:
        """The type that this coder is registered for."""
        return pa.RecordBatch


beam.coders.registry.register_coder(pa.RecordBatch, RecordBatchCoder)


def as_batch(table: pa.Table) -> pa.RecordBatch:
    """A table as one record batch (an empty one for no rows)."""
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def rows_to_batch(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Rows (values in schema order) as one record batch."""
    columns = zip(*rows, strict=True) if rows else [[] for _ in schema]
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )


def string_buffers(texts: pa.Array) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    """(offsets, bytes) of a string or large_string array: row i is `bytes[offsets[i]:offsets[i + 1]]`."""
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    _, offset_buffer, data = texts.buffers()
    if offset_buffer is None or not len(texts):
        return np.zeros(1, width), np.zeros(0, np.uint8)
    offsets = np.frombuffer(offset_buffer, width)[texts.offset : texts.offset + len(texts) + 1]
    return offsets, np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)


def flat_map(
    function: Callable[..., Iterable[Any]],
    *args: Any,
    takes: Any = pa.RecordBatch,
    gives: Any = pa.RecordBatch,
) -> beam.PTransform:
    """`beam.FlatMap(function)` with further arguments and enforced types of elements in and out.

    What goes wrong in it is told without the element (`transforms.guard`).
    """
    bound = guarded(function.__name__)(functools.partial(_call, function, args))
    return beam.FlatMap(bound).with_input_types(takes).with_output_types(gives)


def split(source: PCollection[Any], dofn: beam.DoFn, **types: Any) -> dict[str, PCollection[Any]]:
    """`ParDo(dofn)` as typed outputs by name; the first is the main one, the others are tags."""
    main, *tags = types
    outputs = source | "Split" >> beam.ParDo(dofn).with_outputs(*tags, main=main)
    for name, kind in types.items():
        outputs[name].element_type = convert_to_beam_type(kind)
    return {name: outputs[name] for name in types}


def _call(function: Callable[..., Iterable[Any]], args: tuple[Any, ...], element: Any) -> Iterable[Any]:
    return function(element, *args)


def at_bundle_end(value: Any) -> WindowedValue:
    """What `finish_bundle` must yield for a value in the one global window."""
    window = GlobalWindow()
    return WindowedValue(value, window.max_timestamp(), [window])
