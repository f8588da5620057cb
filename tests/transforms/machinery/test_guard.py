"""`guard`: whatever goes wrong with a row, its log and its error hold the kind and the step, and nothing of the row."""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from pipeline.errors import RunError, cause_of
from transforms.machinery.guard import UnexpectedError, guarded

NAME = "Jane <jane@example.com>"


def broken(value: Any) -> Any:
    """Arrow quotes what it cannot convert."""
    return pa.array([value], pa.int64())


@guarded("Break at once")
def at_once(value: str) -> list[str]:
    return [broken(value)]


@guarded("Break on the way")
def on_the_way(value: str) -> Iterator[str]:
    yield "first"
    yield broken(value)


@guarded("Process")
class Processes(beam.DoFn):
    def process(self, element: str, window: Any = beam.DoFn.WindowParam) -> Iterator[str]:
        assert window == GlobalWindow()
        yield element
        try:
            broken(element)
        except pa.ArrowInvalid as error:
            raise ValueError(f"bad row {element}") from error  # what was known before must not come along either


@guarded("Finish")
class Finishes(beam.DoFn):
    def start_bundle(self) -> None:
        self._kept: list[str] = []

    def process(self, element: str) -> None:
        self._kept.append(element)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        yield WindowedValue(broken(self._kept[0]), 0, [GlobalWindow()])


class Combines(beam.CombineFn):
    """Breaks in one of its methods."""

    def create_accumulator(self) -> list[str]:
        return []

    def add_input(self, accumulator: list[str], element: str) -> list[str]:
        return [*accumulator, element]

    def merge_accumulators(self, accumulators: Iterable[list[str]]) -> list[str]:
        return [value for accumulator in accumulators for value in accumulator]

    def extract_output(self, accumulator: list[str]) -> str:
        return ",".join(accumulator)


@guarded("Add")
class Adds(Combines):
    def add_input(self, accumulator: list[str], element: str) -> list[str]:
        return [broken(element)]


@guarded("Merge")
class Merges(Combines):
    def merge_accumulators(self, accumulators: Iterable[list[str]]) -> list[str]:
        return [broken(value) for accumulator in accumulators for value in accumulator]


@guarded("Extract")
class Extracts(Combines):
    def extract_output(self, accumulator: list[str]) -> str:
        return str(broken(accumulator[0]))


STEPS: dict[str, Callable[[], beam.PTransform]] = {
    "Break at once": lambda: beam.FlatMap(at_once),
    "Break on the way": lambda: beam.FlatMap(on_the_way),
    "Process": lambda: beam.ParDo(Processes()),
    "Finish": lambda: beam.ParDo(Finishes()),
    "Add": lambda: beam.CombineGlobally(Adds()),
    "Merge": lambda: beam.CombineGlobally(Merges()),
    "Extract": lambda: beam.CombineGlobally(Extracts()),
}


@pytest.mark.parametrize("step", STEPS)
def test_nothing_of_a_row_is_told(step: str, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    caplog.set_level(logging.INFO)  # what workers log; Beam itself shows elements below that
    with pytest.raises(Exception) as caught, beam.Pipeline("FnApiRunner") as p:  # noqa: PT011 (the runner's own kind)
        _ = p | beam.Create([NAME]) | "Step" >> STEPS[step]()
    told = "".join(traceback.format_exception(caught.value)) + caplog.text + "".join(capfd.readouterr())
    assert "jane" not in told.lower()
    kind = "ValueError" if step == "Process" else "ArrowInvalid"
    cause = cause_of(caught.value)
    assert cause
    assert cause.startswith(f"unexpected {kind} in {step} (")
    assert "\n" not in cause


def test_without_the_guard_the_row_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Exception) as caught, beam.Pipeline("FnApiRunner") as p:  # noqa: PT011
        _ = p | beam.Create([NAME]) | beam.Map(broken)
    assert NAME in str(caught.value)


def test_the_first_error_does_not_come_along() -> None:
    for step in (at_once, lambda value: list(on_the_way(value))):
        with pytest.raises(UnexpectedError) as caught:
            step(NAME)
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_what_is_meant_for_the_user_passes_as_it_is() -> None:
    @guarded("Read")
    def read(text: str) -> Iterator[str]:
        yield text
        raise RunError("events is a view: read a table")

    with pytest.raises(RunError, match=r"^events is a view: read a table$"):
        list(read("row"))


def test_a_full_disk_keeps_its_number_and_nothing_of_the_path() -> None:
    @guarded("Write")
    def write(_: str) -> None:
        raise OSError(28, "No space left on device", f"/tmp/{NAME}")

    with pytest.raises(
        UnexpectedError, match=r"^unexpected OSError \[Errno 28\] in Write \(test_guard.py:\d+\)$"
    ) as caught:
        write("row")
    assert cause_of(caught.value) == "the disk is full: No space left on device; nothing is published"


def test_too_little_memory_passes_as_it_is() -> None:
    @guarded("Sort")
    def sort(_: str) -> None:
        raise pa.ArrowMemoryError("malloc of size 64 failed")

    with pytest.raises(MemoryError, match="malloc of size 64 failed"):
        sort("row")


def test_the_details_are_shown_to_who_asks_for_them(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)  # of the root, as a worker may have it
    with pytest.raises(UnexpectedError):
        at_once(NAME)
    assert NAME not in caplog.text
    caplog.set_level(logging.DEBUG, "pipeline")  # what --verbose does
    with pytest.raises(UnexpectedError):
        at_once(NAME)
    assert NAME in caplog.text


def test_results_and_types_are_those_of_the_step() -> None:
    @guarded("Double")
    class Double(beam.DoFn):
        def process(self, element: int) -> Iterator[int]:
            yield element * 2

    assert list(Double().process(3)) == [6]
    assert Double.process.__doc__ is None
    assert guarded("Nothing")(lambda: None)() is None
    same = [1]
    assert guarded("A list")(lambda: same)() is same
    signature = inspect.signature(Processes.process)
    assert list(signature.parameters) == ["self", "element", "window"]
    assert signature.parameters["window"].default is beam.DoFn.WindowParam
