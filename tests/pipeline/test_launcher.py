"""One run from its command line: what it asks for in which order, and what a failure looks like."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import apache_beam as beam
import pytest
from google.api_core import exceptions

from pipeline import launcher
from pipeline.command_line import parse
from pipeline.errors import RunError
from pipeline.options import settings_of
from transforms.ids.excluded import LeftOut
from transforms.ids.pseudonyms import PLAIN

DATAFLOW = ["--runner=DataflowRunner", "--project=p", "--region=europe-west1", "--job_name=nightly"]


def execute(argv: list[str], run: Any, monkeypatch: pytest.MonkeyPatch) -> Mock:
    warehouse = Mock()
    monkeypatch.setattr(launcher, "build", lambda *_: None)
    monkeypatch.setattr(beam, "Pipeline", lambda _, options: SimpleNamespace(run=run, local_tempdir=""))
    plan = SimpleNamespace(previous=None)
    of_run: Any = SimpleNamespace(run_id="r", scan=SimpleNamespace(rows=0), plan=plan, session_blocks=1)
    try:
        given = launcher._Given(settings_of(parse([])), parse(argv), Mock(), frozenset(), PLAIN, warehouse, warehouse)
        launcher._execute(given, of_run, LeftOut())
    except RunError:
        warehouse.refused()
    return warehouse


def test_a_second_job_of_the_name_leaves_no_staging_area(monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = execute(DATAFLOW, Mock(side_effect=exceptions.AlreadyExists("x")), monkeypatch)
    assert [call[0] for call in warehouse.method_calls] == [
        "prepare",
        "begin",
        "scratch",
        "release",
        "abandon",
        "refused",
    ]


def test_nothing_is_asked_of_a_job_that_was_submitted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = Mock()
    warehouse = execute(DATAFLOW, Mock(return_value=result), monkeypatch)
    assert "Submitted" in capsys.readouterr().out
    assert [call[0] for call in warehouse.method_calls] == ["prepare", "begin", "scratch"]
    assert [call[0] for call in result.method_calls] == ["job_id"]  # which asks nobody
