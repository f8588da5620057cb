"""Beam's own answers about methods, each asked for once."""

from __future__ import annotations

import inspect
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.transforms import core
from apache_beam.transforms.userstate import get_dofn_specs

from pipeline.signatures import signatures_once
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
