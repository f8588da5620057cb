"""One run from its command line: what it asks for in which order, and what a failure looks like."""

from __future__ import annotations

import logging
import os
import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import apache_beam as beam
import pytest
from google.api_core import exceptions

from pipeline import launcher, privacy_key, staged_ids
from pipeline.command_line import parse
from pipeline.errors import RunError, UsageError
from pipeline.options import settings_of
from transforms.ids.excluded import LeftOut
from transforms.ids.pseudonyms import PLAIN, Pseudonyms
from transforms.metrics.definitions import MetricsError
from transforms.metrics.privacy import Privacy

DATAFLOW = ["--runner=DataflowRunner", "--project=p", "--region=europe-west1", "--job_name=nightly"]


RUN: Any = SimpleNamespace(
    run_id="r", scan=SimpleNamespace(rows=0), plan=SimpleNamespace(previous=None), session_blocks=1
)


def given(argv: list[str], warehouse: Mock) -> launcher._Given:
    """What the options stand for, on a warehouse that takes everything."""
    return launcher._Given(
        settings_of(parse([])), parse(argv), Mock(), frozenset(), PLAIN, source=warehouse, sink=warehouse
    )


def execute(argv: list[str], run: Any, monkeypatch: pytest.MonkeyPatch) -> Mock:
    warehouse = Mock()
    monkeypatch.setattr(launcher, "build", lambda *_: None)
    monkeypatch.setattr(beam, "Pipeline", lambda _, options: SimpleNamespace(run=run, local_tempdir=""))
    try:
        launcher._execute(given(argv, warehouse), RUN, LeftOut())
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


def test_details_are_told_of_a_verbose_run_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither of the next run of a program, nor of one that logs everything."""
    monkeypatch.setattr(launcher, "_run", Mock(side_effect=ValueError("+12015550100")))
    for level in (logging.WARNING, logging.DEBUG):
        caplog.set_level(level)
        caplog.handler.setLevel(logging.NOTSET)
        for argv, told in (([], False), (["--verbose"], True), ([], False)):
            caplog.clear()
            assert launcher.main(argv) == 1
            assert ("+12015550100" in caplog.text) is told
    assert logging.getLogger("pipeline").level == logging.NOTSET


def test_what_fails_after_the_switch_takes_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Mock(side_effect=RunError("too late"))
    for published in (True, False):
        warehouse = Mock(is_published=Mock(return_value=published))
        wanted = launcher._PublishedAnywayError if published else RunError
        monkeypatch.setattr(launcher, "_work", failing)
        with pytest.raises(wanted):
            launcher._execute(given([], warehouse), RUN, LeftOut())
        called = [call[0] for call in warehouse.method_calls]
        assert called == ["prepare", "begin", "is_published", *([] if published else ["release", "abandon"])]


def test_workers_elsewhere_get_ids_and_key_as_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (privacy_key, staged_ids):
        monkeypatch.setattr(module, "_KNOWN", {})
    warehouse = Mock(scratch=Mock(return_value=str(tmp_path / "scratch")))
    (tmp_path / "key").write_bytes(b"0123456789abcdef")
    of_options = replace(
        given(DATAFLOW, warehouse),
        settings=settings_of(parse(["--privacy_key", str(tmp_path / "key")])),
        pseudonyms=Pseudonyms(Privacy(identity="hash"), b"0123456789abcdef"),
    )
    left_out, pseudonyms = launcher._staged(of_options, RUN, LeftOut.of(frozenset({"u-1"}), frozenset()))
    assert left_out.listed == {"u-1"}
    assert pseudonyms.key == b"0123456789abcdef"
    for one in (left_out, pseudonyms):
        content = pickle.dumps(one)
        assert f"{tmp_path}/scratch/".encode() in content
        assert b"u-1" not in content
        assert b"0123456789abcdef" not in content


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UsageError("--limit 'x' is no number"), 2, "--limit 'x' is no number"),
        (MetricsError("metric 'a': no kind"), 2, "metric 'a': no kind"),
        (RunError("no events; nothing is published"), 1, "no events; nothing is published"),
        (ValueError("+12015550100"), 1, "unexpected ValueError (--verbose shows details); nothing is published"),
        (KeyboardInterrupt(), 130, "interrupted; nothing is published"),
    ],
)
def test_every_end_has_its_code_and_one_line(
    error: BaseException, code: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launcher, "_run", Mock(side_effect=error))
    assert launcher.main([]) == code
    assert capsys.readouterr() == ("", f"pipeline: {told}\n")


def test_ctrl_c_is_behind_whatever_the_runner_made_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise RuntimeError("a row")  # noqa: B904 (as Beam does)

    monkeypatch.setattr(launcher, "_run", interrupted)
    assert launcher.main([]) == 130
    assert capsys.readouterr().err == "pipeline: interrupted; nothing is published\n"


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (RunError("views are missing; nothing is published"), "views are missing"),
        (KeyError("+12015550100"), "unexpected KeyError (--verbose shows details)"),
    ],
)
def test_what_is_published_is_told_in_the_same_line(
    cause: Exception, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def late(*_: object) -> None:
        raise launcher._PublishedAnywayError from cause

    monkeypatch.setattr(launcher, "_run", late)
    assert launcher.main([]) == 1
    assert capsys.readouterr().err == f"pipeline: {told}; the run's tables are published all the same\n"


def test_what_a_run_writes_is_its_owners_only_and_the_umask_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def look(*_: object) -> None:
        seen.append(os.umask(0o077))
        raise RunError("the end")

    monkeypatch.setattr(launcher, "_run", look)
    before = os.umask(0o022)
    try:
        assert launcher.main([]) == 1
        assert seen == [0o077]
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
