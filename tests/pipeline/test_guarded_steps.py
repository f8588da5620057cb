"""Every step that touches rows is guarded: whatever goes wrong in it, nothing of a row is told, in workers neither."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

import pipeline
import transforms
from tests.builders import event, has_published, run, write_events
from transforms.machinery import guard

SECRET = "Jane <jane@example.com>"
#: They see numbers about a run and names of jobs, never a row.
WITHOUT_ROWS = {"transforms.machinery.counts._Publish"}


def steps() -> dict[str, type]:
    """All DoFns and CombineFns of the project by name."""
    for package in (pipeline, transforms):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            # the report is no part of a run, and what it needs is an extra
            if not module.name.endswith("__main__") and not module.name.startswith("pipeline.report."):
                importlib.import_module(module.name)
    found: dict[str, type] = {}
    waiting: list[type] = [beam.DoFn, beam.CombineFn]
    while waiting:
        for one in waiting.pop().__subclasses__():
            waiting.append(one)
            if one.__module__.split(".")[0] in ("pipeline", "transforms"):
                found[f"{one.__module__}.{one.__qualname__}"] = one
    return found


def test_every_step_is_guarded() -> None:
    found = steps()
    assert {"transforms.events.decode.DecodeBatch", "transforms.persons.rows.PersonCombineFn"} <= set(found)
    assert set(found) >= WITHOUT_ROWS
    bare = {
        f"{name}.{method}"
        for name, step in found.items()
        for method in guard._METHODS
        if name not in WITHOUT_ROWS and method in vars(step) and not hasattr(vars(step)[method], "__wrapped__")
    }
    assert bare == set()


@pytest.mark.parametrize(
    ("where", "step"),
    [
        ("transforms.events.decoder.EventDecoder.decode", "Decode events"),
        ("transforms.sessions.facts.resolve", "combining of rows"),
        ("transforms.persons.rows.person_rows", "combining of rows"),
        ("transforms.machinery.join.unpack_rows", "joining of rows"),
        ("transforms.machinery.join.cut", "gathering of rows"),
        ("transforms.events.distinct_ids.phone_forms", "fresh_ids"),
        ("pipeline.warehouse.local.pq.ParquetWriter", "staging of rows"),
    ],
)
def test_what_a_step_raises_names_the_step_alone(
    where: str,
    step: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError(f"Could not convert {SECRET!r}")

    write_events(tmp_path, [event(n) for n in range(5)])
    monkeypatch.setattr(where, broken)
    with caplog.at_level(logging.INFO):
        assert run(tmp_path) == 1
    out, err = capfd.readouterr()
    assert SECRET not in out + err + caplog.text
    [line] = err.splitlines()
    assert f"unexpected ValueError in {step}" in line
    assert not has_published(tmp_path)
