"""How the steps of a graph are written down for a runner on this machine: quickly.

Beam's own way is for graphs that are sent to a service: each step is compressed by bz2, though no byte leaves the
machine, each that holds the options parses a command line to see whether one of them is to be left out, and each is
pickled and read back when it is made, to see whether that can be done. Together that is a third of the time in which a
small run starts.
"""

from __future__ import annotations

import bz2
import contextlib
import types
from collections.abc import Iterator
from typing import Any

from apache_beam.internal import cloudpickle_pickler, pickler
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import ptransform

_LEFT_OUT = "impersonate_service_account"


@contextlib.contextmanager
def quick_pickles() -> Iterator[None]:
    """While entered, in the process that submits and in those that work, steps are pickled quickly."""
    beams = PipelineOptions.__getstate__

    def state(options: PipelineOptions) -> Any:
        # Beam looks at a view; every option of it is there once one was made, and the values of all views are one
        told = options.__dict__["_all_options"]
        return options.__dict__ if _LEFT_OUT in told and not told[_LEFT_OUT] else beams(options)

    cloudpickle_pickler.bz2 = types.SimpleNamespace(compress=_compress, decompress=_decompress)
    PipelineOptions.__getstate__ = state
    # only where steps are made: elsewhere Beam copies by it
    ptransform.pickler = types.SimpleNamespace(**{**vars(pickler), "roundtrip": _as_it_is})
    try:
        yield
    finally:
        cloudpickle_pickler.bz2, PipelineOptions.__getstate__ = bz2, beams
        ptransform.pickler = pickler


def _compress(content: bytes, compresslevel: int) -> bytes:
    """As it is: the steps of a graph are a megabyte."""
    return content


def _as_it_is(step: Any) -> Any:
    """Of a step that cannot be pickled the runner tells as well, before anything runs."""
    return step


def _decompress(content: bytes) -> bytes:
    """Also what Beam has compressed before; no pickle begins so."""
    return bz2.decompress(content) if content.startswith(b"BZh") else content
