"""Steps of the graph: types are enforced, outputs are told apart, the collector is put back."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.pvalue import TaggedOutput
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import GlobalWindow
from apache_beam.typehints.decorators import TypeCheckError

from transforms.machinery.steps import at_bundle_end, collect_less, collecting_less, flat_map, split


def times(number: int, factor: int) -> Iterator[int]:
    """A number so many times."""
    yield from [number] * factor


class Sort(beam.DoFn):
    """Even numbers, the others with a tag, and one more at the bundle's end."""

    def process(self, number: int) -> Iterator[Any]:
        """One number."""
        yield TaggedOutput("odd", str(number)) if number % 2 else number

    def finish_bundle(self) -> Iterator[Any]:
        """A value of the global window."""
        yield at_bundle_end(100)


def test_a_function_with_further_arguments() -> None:
    with beam.Pipeline() as p:
        found = p | beam.Create([1, 2]) | flat_map(times, 2, takes=int, gives=int)
        assert found.element_type is int
        assert_that(found, equal_to([1, 1, 2, 2]))


def test_what_a_function_takes_is_enforced() -> None:
    with pytest.raises(TypeCheckError, match=r"requires PCollections of type .*RecordBatch"):
        _ = beam.Pipeline() | beam.Create([1]) | flat_map(times, 2)


def test_outputs_have_their_names_and_types() -> None:
    with beam.Pipeline() as p:
        outputs = split(p | beam.Create([1, 2, 3, 4]), Sort(), even=int, odd=str)
        assert list(outputs) == ["even", "odd"]
        assert [outputs[name].element_type for name in outputs] == [int, str]
        even = outputs["even"] | "Below" >> beam.Filter(lambda number: number < 100)
        assert_that(even, equal_to([2, 4]), "even")
        ends = outputs["even"] | "Ends" >> beam.Filter(lambda number: number == 100) | beam.Distinct()
        assert_that(ends, equal_to([100]), "ends")
        assert_that(outputs["odd"], equal_to(["1", "3"]), "odd")


def test_a_value_at_the_bundles_end_is_in_the_global_window() -> None:
    value = at_bundle_end(pa.RecordBatch)
    assert (value.value, value.windows) == (pa.RecordBatch, [GlobalWindow()])
    tagged = at_bundle_end(TaggedOutput("odd", 7))
    assert (tagged.tag, tagged.value) == ("odd", at_bundle_end(7))


def test_the_collector_is_as_it_was_also_after_an_error() -> None:
    before, thresholds = (701, 11, 12), gc.get_threshold()  # a step of another test may have set them
    gc.set_threshold(*before)
    with pytest.raises(ValueError, match="stop"), collecting_less():
        assert gc.get_threshold() != before
        raise ValueError("stop")
    assert gc.get_threshold() == before
    with collecting_less():
        collect_less()
    assert gc.get_threshold() == before
    gc.set_threshold(*thresholds)
