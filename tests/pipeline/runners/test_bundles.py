"""What a local runner tells its steps: all that they need, and nothing of others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.runners.portability.fn_api_runner import FnApiRunner, worker_handlers
from apache_beam.runners.worker import statecache, statesampler

from pipeline.runners.bundles import small_bundles

GIVEN: list[Any] = []


def sums(group: tuple[int, list[int]], total: int, every: dict[int, int]) -> tuple[int, int]:
    """Of a group, by two side inputs."""
    key, numbers = group
    return key, total + sum(every[number] for number in numbers)


def give(value: Any) -> None:
    """Keep what a graph gives; steps find this function by its name."""
    GIVEN.append(value)


def told(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], list[Any]]:
    """What is told to the steps of a graph with shuffles, side inputs and several outputs, and what it gives."""
    descriptors = list[Any]()
    GIVEN.clear()
    with monkeypatch.context() as patch:
        register = worker_handlers.WorkerHandlerManager.register_process_bundle_descriptor
        patch.setattr(
            worker_handlers.WorkerHandlerManager,
            "register_process_bundle_descriptor",
            lambda manager, descriptor: descriptors.append(descriptor) or register(manager, descriptor),
        )
        with beam.Pipeline(FnApiRunner()) as p:
            numbers = p | beam.Create(range(20))
            total = beam.pvalue.AsSingleton(numbers | beam.CombineGlobally(sum))
            every = beam.pvalue.AsDict(numbers | "Squares" >> beam.Map(lambda n: (n, n * n)))
            parts = numbers | beam.Partition(lambda n, _: n % 2, 2)
            groups = parts | beam.Flatten() | "Keys" >> beam.Map(lambda n: (n % 3, n)) | beam.GroupByKey()
            made = groups | "Sums" >> beam.Map(sums, total, every)
            _ = made | beam.CombinePerKey(max) | "Give" >> beam.Map(give)
    return descriptors, sorted(GIVEN)


def test_steps_are_told_of_their_own_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    beams, wanted = told(monkeypatch)
    with small_bundles():
        small, found = told(monkeypatch)
    again, _ = told(monkeypatch)
    assert found == wanted == [(key, 190 + sum(n * n for n in range(key, 20, 3))) for key in range(3)]
    assert len(small) == len(beams) == len(again) > 5
    for ours, theirs in zip(small, beams, strict=True):
        read = {name for step in ours.transforms.values() for name in (*step.inputs.values(), *step.outputs.values())}
        assert set(ours.pcollections) == read < set(theirs.pcollections)
        assert set(ours.coders) == set(theirs.coders)
        assert set(ours.windowing_strategies) == set(theirs.windowing_strategies)
        assert set(ours.transforms) == set(theirs.transforms)
    assert [set(one.pcollections) for one in again] == [set(one.pcollections) for one in beams]


@pytest.mark.parametrize(
    "value",
    [[("a", 1), ("b", 2.5)], {"a": [b"bytes" * 100, None]}, [pa.record_batch({"a": [1, 2]})], ["text " * 10_000]],
    ids=["pairs", "dict", "batch", "text"],
)
def test_what_a_side_input_takes_is_as_by_beam(value: Any) -> None:
    beams = statecache.get_deep_size(value)
    with small_bundles():
        assert statecache.get_deep_size(value) == beams
    assert statecache.get_deep_size(value) == beams


class Seen(beam.DoFn):
    """Counts what it sees, and gives how many threads look at it meanwhile."""

    def process(self, element: int) -> Iterator[int]:
        """The threads of Beam's sampler, which are named by its method."""
        Metrics.counter("here", "seen").inc()
        yield sum(thread.name.endswith("(run)") for thread in threading.enumerate())


def test_no_thread_looks_at_a_step_which_counts_all_the_same() -> None:
    def threads() -> int:
        GIVEN.clear()
        p = beam.Pipeline(FnApiRunner())
        _ = p | beam.Create(range(5)) | beam.ParDo(Seen()) | beam.Map(give)
        result = p.run()
        (counted,) = result.metrics().query(MetricsFilter().with_name("seen"))["counters"]
        assert counted.committed == 5
        return max(GIVEN)

    assert threads() == 1
    with small_bundles():
        assert threads() == 0
    assert threads() == 1


def test_a_step_that_fails_leaves_nobody_who_counts_for_it() -> None:
    def fail(_: int) -> None:
        raise ValueError("on purpose")

    with small_bundles():
        with pytest.raises(Exception, match="on purpose"), beam.Pipeline(FnApiRunner()) as p:
            _ = p | beam.Create([1]) | beam.Map(fail)
        assert statesampler.get_current_tracker() is None
