"""Steps of the graph with types that are enforced, and how often Python's collector looks while they run."""

from __future__ import annotations

import contextlib
import functools
import gc
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsSideInput, PCollection, TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.typehints.native_type_compatibility import convert_to_beam_type
from apache_beam.utils.windowed_value import WindowedValue

from transforms.machinery.guard import guarded


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


def flat_map(
    function: Callable[..., Iterable[Any]],
    *args: Any,
    takes: Any = pa.RecordBatch,
    gives: Any = pa.RecordBatch,
    **sides: AsSideInput,
) -> beam.PTransform:
    """`beam.FlatMap(function)` with further arguments, side inputs, and enforced types of elements in and out.

    What goes wrong in it is told without the element (`transforms.machinery.guard`).
    """
    bound = guarded(function.__name__)(functools.partial(_call, function, args))
    return beam.FlatMap(bound, **sides).with_input_types(takes, **dict.fromkeys(sides, Any)).with_output_types(gives)


def split(source: PCollection[Any], dofn: beam.DoFn, **types: Any) -> dict[str, PCollection[Any]]:
    """`ParDo(dofn)` as typed outputs by name; the first is the main one, the others are tags."""
    main, *tags = types
    outputs = source | "Split" >> beam.ParDo(dofn).with_outputs(*tags, main=main)
    for name, kind in types.items():
        outputs[name].element_type = convert_to_beam_type(kind)
    return {name: outputs[name] for name in types}


def _call(function: Callable[..., Iterable[Any]], args: tuple[Any, ...], element: Any, **sides: Any) -> Iterable[Any]:
    return function(element, *args, **sides)


def at_bundle_end(value: Any) -> WindowedValue | TaggedOutput:
    """What `finish_bundle` must yield for a value, with its tag if it has one, in the one global window."""
    if isinstance(value, TaggedOutput):
        return TaggedOutput(value.tag, at_bundle_end(value.value))
    window = GlobalWindow()
    return WindowedValue(value, window.max_timestamp(), [window])
