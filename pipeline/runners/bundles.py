"""What a local runner prepares for each step of a graph: no more than the step needs.

Beam's local runner describes to every one of some two hundred steps all collections of the graph, and each time that a
step has read a side input it goes through the variables of all modules to know how much memory that takes. Both
together are a fifth of the time of a small run. Beside each step a thread looks now and then what it is at, for metrics
that nobody reads here, and the step ends when that thread has woken: another fifth of the time of a small run, a
twentieth of that of a larger one.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import types
from collections.abc import Iterator
from typing import Any

from apache_beam.runners.portability.fn_api_runner.execution import BundleContextManager
from apache_beam.runners.worker import statecache, statesampler
from apache_beam.runners.worker.statesampler import StateSampler


@contextlib.contextmanager
def small_bundles() -> Iterator[None]:
    """While entered, in the process of the runner and in those that work, a step is told of its own collections, and
    nobody looks how long it is at what."""
    beams, sizes = BundleContextManager._build_process_bundle_descriptor, statecache.objsize
    start, stop = StateSampler.start, StateSampler.stop

    def described(manager: Any) -> Any:
        context = manager.execution_context
        every = context.pipeline_components
        names = {name for step in manager.stage.transforms for name in (*step.inputs.values(), *step.outputs.values())}
        context.pipeline_components = types.SimpleNamespace(
            pcollections={name: every.pcollections[name] for name in names},
            coders=every.coders,
            windowing_strategies=every.windowing_strategies,
            environments=every.environments,
        )
        try:
            return beams(manager)
        finally:
            context.pipeline_components = every

    BundleContextManager._build_process_bundle_descriptor = described
    # what a value shares with modules counts, then: no side input holds such a thing
    measured = functools.partial(sizes.get_deep_size, exclude_modules_globals=False)
    statecache.objsize = types.SimpleNamespace(get_deep_size=measured)
    StateSampler.start, StateSampler.stop = _start, _stop
    try:
        yield
    finally:
        BundleContextManager._build_process_bundle_descriptor, statecache.objsize = beams, sizes
        StateSampler.start, StateSampler.stop = start, stop


def _start(sampler: Any) -> None:
    """As Beam's, but for the thread: metrics that a step counts find it by its sampler."""
    sampler.tracked_thread = threading.current_thread()
    statesampler.set_current_tracker(sampler)
    sampler.started = True


def _stop(sampler: Any) -> None:
    statesampler.set_current_tracker(None)
    sampler.finished = True
