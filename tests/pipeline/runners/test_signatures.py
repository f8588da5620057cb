"""Beam's own answers about methods, each asked for once."""

from __future__ import annotations

import dis
import functools
import inspect
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.transforms import core, userstate
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import CombiningValueStateSpec, TimerSpec, get_dofn_specs, on_timer
from apache_beam.typehints import decorators, trivial_inference, typehints
from apache_beam.typehints.decorators import IOTypeHints
from apache_beam.typehints.trivial_inference import Const, infer_return_type

from pipeline.runners.signatures import signatures_once
from tests.builders import METRICS
from transforms.events.decode import DecodeBatch
from transforms.events.session_blocks import Blocks
from transforms.incremental.window import EVERYTHING


class Timed(beam.DoFn):
    """With what Beam looks for: a default that is a parameter of its own."""

    def process(self, element: Any, time: Any = beam.DoFn.TimestampParam, *, key: int = 1) -> None:
        """Nothing."""


STEPS = [
    Timed(),
    DecodeBatch(METRICS, frozenset(), EVERYTHING, Blocks(), []),
    core.CallableWrapperDoFn(lambda element, more=1: [element, more]),
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_answers_are_beams(step: beam.DoFn) -> None:
    methods = [method for name in dir(step) if inspect.isroutine(method := getattr(step, name))]
    own = [core.get_function_args_defaults(method) for method in methods]
    with signatures_once():
        for _ in range(2):
            found = [core.get_function_args_defaults(method) for method in methods]
            assert found == own
            for names, _ in found:
                names.clear()  # what one caller does to its answer is not seen by the next


def test_beam_inspects_a_method_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    signature = core.get_signature
    monkeypatch.setattr(core, "get_signature", lambda function: asked.append(function) or signature(function))
    before = core.get_function_args_defaults
    with signatures_once():
        get_dofn_specs(Timed())
        once = len(asked)
        assert once > 10
        get_dofn_specs(Timed())
        assert len(asked) == once
        get_dofn_specs(STEPS[1])
        assert len(asked) < 2 * once, "the methods of Beam's base class are known"
    assert core.get_function_args_defaults is before


def annotated(element: int, *more: str, key: float = 1.0) -> list[int]:
    """A function that tells its types."""
    return [element]


def test_types_that_annotations_tell_are_beams() -> None:
    functions = [annotated, _other, len, lambda element: element, functools.partial(annotated, key=2.0)]
    functions += [method for step in (*STEPS, Timed()) for method in (step.process, step.finish_bundle)]
    own = [IOTypeHints.from_callable(function) for function in functions]
    assert sum(hints is not None for hints in own) > 5
    with signatures_once():
        for _ in range(2):
            found = [IOTypeHints.from_callable(function) for function in functions]
            for ours, beams in zip(found, own, strict=True):
                assert (ours is None) == (beams is None)
                assert ours is None or (ours.input_types, ours.output_types) == (beams.input_types, beams.output_types)
    assert IOTypeHints.from_callable(Timed().process) is not IOTypeHints.from_callable(Timed().process)


def test_beam_reads_the_annotations_of_a_method_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    signature = decorators.get_signature
    monkeypatch.setattr(decorators, "get_signature", lambda function: asked.append(function) or signature(function))
    with signatures_once():
        for step in (Timed(), Timed()):
            IOTypeHints.from_callable(step.process)
    assert len(asked) == 1


SEEN, ALARM = CombiningValueStateSpec("seen", sum), TimerSpec("alarm", TimeDomain.REAL_TIME)
STATE, TIMER = beam.DoFn.StateParam(SEEN), beam.DoFn.TimerParam(ALARM)


class Counting(beam.DoFn):
    """With state and a timer."""

    def process(self, element: Any, seen: Any = STATE, alarm: Any = TIMER) -> None:
        """Nothing."""

    @on_timer(ALARM)
    def ring(self, seen: Any = STATE) -> None:
        """Nothing."""


def test_state_and_timers_are_beams() -> None:
    bound = core.CallableWrapperDoFn(Counting().process)  # whose state is that of the method which it is given
    steps = [Counting(), *STEPS, bound, core.CallableWrapperDoFn(len), Counting()]
    own = [userstate.get_dofn_specs(step) for step in steps]
    assert [len(states) + len(timers) for states, timers in own] == [2, 0, 0, 0, 2, 0, 2]
    with signatures_once():
        for _ in range(2):
            found = [userstate.get_dofn_specs(step) for step in steps]
            assert found == own
            for states, timers in found:
                states.clear()
                timers.clear()


def _one(element: Any, other: Any) -> Any:
    return _other(other)


def _other(element: Any) -> Any:
    return element


class Holding:
    """An object whose method returns what it holds."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def get(self, element: Any) -> Any:
        """What it holds."""
        return self.held


FUNCTIONS: list[tuple[Any, list[Any]]] = [
    (_one, [int, str]),
    (_one, [int, bytes]),
    (_one, [int, Const(1)]),
    (_one, [int, Const(True)]),
    (_one, [int, Const(1.0)]),
    (_one, [int, Const("text")]),
    (_one, [int, Const(())]),
    (_one, [int, Const([])]),
    (_one, [typehints.List[int], typehints.Tuple[int, str]]),
    (Holding(1).get, [Any]),
    (Holding("text").get, [Any]),
    (lambda element: (element, _one(element, 1), _one(element, True), _one(element, "text")), [str]),
]


def test_inferred_types_are_beams() -> None:
    own = [infer_return_type(function, [*kinds]) for function, kinds in FUNCTIONS]
    assert len({repr(kind) for kind in own}) > 6
    with signatures_once():
        for order in (1, -1, 1):
            found = [infer_return_type(function, [*kinds]) for function, kinds in FUNCTIONS[::order]]
            assert [repr(kind) for kind in found[::order]] == [repr(kind) for kind in own]


def test_a_code_is_disassembled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    instructions = dis.get_instructions
    monkeypatch.setattr(dis, "get_instructions", lambda code, **how: asked.append(code) or instructions(code, **how))
    with signatures_once():
        for kind in (int, str, bytes):  # inferred anew for each
            infer_return_type(_other, [kind])
    assert asked == [_other.__code__]
    assert trivial_inference.dis is dis


def test_what_a_function_calls_is_inferred_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    infer = trivial_inference.infer_return_type_func
    monkeypatch.setattr(
        trivial_inference, "infer_return_type_func", lambda f, *args: asked.append(f) or infer(f, *args)
    )
    with signatures_once():
        for step in (Timed(), Timed()):  # a step is an object of its own, what it calls is not
            infer_return_type(lambda element, step=step: _one(step, element), [str])
    assert asked.count(_one) == 1
    assert trivial_inference.infer_return_type_func is not infer


class Mixed(beam.DoFn):
    """With what Beam warns of."""

    def process(self, element: Any) -> Any:
        """Both ways."""
        if element:
            return [element]
        yield element


def test_the_source_of_a_step_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [Mixed(), Mixed(), Timed()]
    wanted = [core._check_fn_use_yield_and_return(step.process) for step in steps]
    assert wanted == [True, True, False]
    read: list[Any] = []
    body = core._get_function_body_without_inners
    monkeypatch.setattr(
        core, "_get_function_body_without_inners", lambda function: read.append(function) or body(function)
    )
    with signatures_once():
        assert [core._check_fn_use_yield_and_return(step.process) for step in steps] == wanted
        assert core._check_fn_use_yield_and_return(len) is False
    assert len(read) == 2
