"""What is done to Beam while its steps are made, and that it is undone."""

from __future__ import annotations

import pytest
from apache_beam.internal import cloudpickle_pickler
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.execution import BundleContextManager
from apache_beam.runners.worker import statecache
from apache_beam.runners.worker.statesampler import StateSampler
from apache_beam.transforms import core, ptransform, userstate
from apache_beam.typehints import trivial_inference
from apache_beam.typehints.decorators import IOTypeHints

from pipeline.runners.quick import quick_steps

#: What is in Beam's place meanwhile: of signatures, of pickles, of bundles.
SEAMS = (
    *((core, "get_function_args_defaults"), (userstate, "get_dofn_specs")),
    *((trivial_inference, "infer_return_type_func"), (trivial_inference, "dis")),
    *((core, "_check_fn_use_yield_and_return"), (IOTypeHints, "from_callable"), (ptransform, "pickler")),
    *((cloudpickle_pickler, "bz2"), (PipelineOptions, "__getstate__")),
    *((BundleContextManager, "_build_process_bundle_descriptor"), (statecache, "objsize")),
    *((StateSampler, "start"), (StateSampler, "stop")),
)


def found() -> list[object]:
    return [vars(place)[name] for place, name in SEAMS]


def test_every_seam_is_taken_and_given_back_however_it_ends() -> None:
    before = found()
    with quick_steps():
        inside = found()
    assert all(now is not then for now, then in zip(inside, before, strict=True))
    with pytest.raises(KeyboardInterrupt), quick_steps():
        raise KeyboardInterrupt
    assert all(now is then for now, then in zip(found(), before, strict=True))
