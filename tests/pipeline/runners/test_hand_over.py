"""Shuffles in memory: the same values as Beam hands over, and what has been taken is gone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.coders import BytesCoder, IterableCoder, StrUtf8Coder, TupleCoder, WindowedValueCoder
from apache_beam.coders.coders import GlobalWindowCoder
from apache_beam.runners.portability.fn_api_runner import FnApiRunner, execution
from apache_beam.runners.worker import data_plane
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.core import Windowing
from apache_beam.transforms.window import GlobalWindows

from pipeline.runners.hand_over import Channel, GroupedInPieces, handing_over

ROWS = [(f"key {i % 7}", bytes([i])) for i in range(20)]
GROUPED = {key: [value for name, value in ROWS if name == key] for key, _ in ROWS}


def windowed(values: Any) -> WindowedValueCoder:
    return WindowedValueCoder(TupleCoder((StrUtf8Coder(), values)), GlobalWindowCoder())


def filled(rows: Iterable[tuple[str, bytes]] = ROWS) -> GroupedInPieces:
    before, after = windowed(BytesCoder()), windowed(IterableCoder(BytesCoder()))
    buffer = GroupedInPieces(before, after, Windowing(GlobalWindows()))
    for row in rows:
        buffer.append(before.get_impl().encode_nested(GlobalWindows.windowed_value(row)))
    return buffer


def decoded(pieces: Iterable[bytes]) -> list[tuple[str, list[bytes]]]:
    coder = windowed(IterableCoder(BytesCoder())).get_impl()
    found = [value.value for piece in pieces for value in coder.decode_all(piece)]
    return [(key, list(values)) for key, values in found]


@pytest.mark.parametrize("workers", [1, 2, 3, 10])
def test_each_key_goes_to_one_worker(workers: int) -> None:
    parts = [decoded(part) for part in filled().partition(workers)]
    assert [len(part) for part in parts] == [len(range(i, len(GROUPED), workers)) for i in range(workers)]
    assert sorted(row for part in parts for row in part) == sorted(GROUPED.items())


def test_nothing_is_handed_over_of_nothing() -> None:
    assert filled([]).partition(2) == [[], []]
    assert list(filled([])) == []


def test_the_last_reader_takes_the_pieces_away() -> None:
    buffer = filled()
    assert buffer.copy() is buffer
    assert sorted(decoded(buffer)) == sorted(GROUPED.items())
    pieces, left = iter(buffer), buffer.partition(1)[0]
    assert len(left) == len(GROUPED), "a piece a key"
    assert sorted(decoded(pieces)) == sorted(GROUPED.items())
    assert left == []


def test_what_has_been_read_is_gone_and_what_is_of_others_stays() -> None:
    with handing_over():
        runners = Channel()
    steps = runners.inverse()
    for instruction in ("one", "two", "one"):
        stream = runners.output_stream(instruction, "read")
        for piece in (b"a", b"", b"b"):
            stream.write(piece)
        stream.close()
    found = []
    for element in steps.input_elements("one", ["read"]):
        found.append((element.transform_id, element.data))
        assert all(left.instruction_id == "two" for left in steps._inputs)
    assert found == [("read", b"a"), ("read", b"b")] * 2
    assert [element.data for element in steps.input_elements("two", ["read"])] == [b"a", b"b"]
    assert list(steps.input_elements("two", ["read"])) == []
    back = steps.output_stream("one", "write")
    back.write(b"c")
    back.close()
    assert [element.data for element in runners.input_elements("one", ["write"])] == [b"c"]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_graph_gives_the_same(workers: int) -> None:
    beams = execution.GroupingBuffer, data_plane.InMemoryDataChannel
    with handing_over():
        runner = FnApiRunner(default_environment=beam.transforms.environments.EmbeddedPythonEnvironment.default())
        options = beam.options.pipeline_options.PipelineOptions(
            direct_num_workers=workers, direct_running_mode="multi_threading" if workers > 1 else "in_memory"
        )
        with beam.Pipeline(runner, options) as p:
            rows = p | beam.Create(ROWS)
            joined = {"left": rows, "right": rows} | beam.CoGroupByKey()
            sizes = joined | beam.MapTuple(lambda key, sides: (key, *(len(list(side)) for side in sides.values())))
            number = beam.pvalue.AsSingleton(joined | beam.combiners.Count.Globally())
            assert_that(sizes, equal_to([(key, len(values), len(values)) for key, values in GROUPED.items()]))
            counted = joined | "Number" >> beam.Map(lambda _, number: number, number)
            assert_that(counted, equal_to([len(GROUPED)] * len(GROUPED)), label="number")
    assert (execution.GroupingBuffer, data_plane.InMemoryDataChannel) == beams
