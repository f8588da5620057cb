"""Pickles of steps within this machine: as Beam's own to who reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.internal import pickler
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, StandardOptions

from pipeline.runners.pickles import quick_pickles

VALUES: list[Any] = [None, "text", {"a": [1, 2.5, b"\0"]}, "long " * 100_000]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: str(value)[:8])
def test_what_is_written_is_read(value: Any) -> None:
    beams = pickler.dumps(value)
    with quick_pickles():
        quick = pickler.dumps(value)
        assert pickler.loads(quick) == value
        assert pickler.loads(beams) == value, "what was pickled before"
        assert pickler.roundtrip(value) == value
    assert quick != beams
    assert pickler.dumps(value) == beams, "Beam's own way again"


@pytest.mark.parametrize("is_viewed", [True, False])
@pytest.mark.parametrize("account", [[], ["--impersonate_service_account=a@example.com"]])
def test_options_are_written_as_by_beam(account: list[str], is_viewed: bool) -> None:
    def told() -> dict[str, Any]:
        options = PipelineOptions(["--project=p", "--runner=DirectRunner", *account])
        if is_viewed:
            assert bool(options.view_as(GoogleCloudOptions).impersonate_service_account) == bool(account)
        read = pickler.loads(pickler.dumps(options))
        assert read.view_as(GoogleCloudOptions).project == "p"
        assert read.view_as(StandardOptions).runner == "DirectRunner"
        return read.get_all_options(drop_default=True)

    beams = told()
    with quick_pickles():
        assert told() == beams
    assert "impersonate_service_account" not in beams or beams["impersonate_service_account"] is None


def test_no_command_line_is_parsed_for_a_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    options = PipelineOptions(["--project=p"])
    options.view_as(GoogleCloudOptions)
    monkeypatch.setattr(PipelineOptions, "view_as", None)
    with quick_pickles():
        pickler.dumps(options)


def test_a_step_that_cannot_be_pickled_is_told_of_before_anything_runs(tmp_path: Path) -> None:
    trace = tmp_path / "ran"

    def numbered(element: int) -> tuple[int, int]:
        return next(once), element

    once = (number for number in range(9))
    with quick_pickles(), pytest.raises(RuntimeError, match=r"Map\(numbered\)"), beam.Pipeline("FnApiRunner") as p:
        _ = p | beam.Create([1]) | "Before" >> beam.Map(lambda _: trace.touch()) | beam.Map(numbered)
    assert not trace.exists()


def test_a_step_is_not_pickled_where_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    pickled: list[Any] = []
    monkeypatch.setattr(pickler, "dumps", lambda value, *_, **__: pickled.append(value))
    with quick_pickles():
        beam.Map(str, "more", key="value")
    assert not pickled
