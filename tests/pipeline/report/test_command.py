"""`python -m pipeline.report`: what it says when it cannot make a page, and that it never leaves half of one."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import RunError
from pipeline.report import command, questions
from pipeline.report.questions import Question
from tests.builders import event, run, write_events
from transforms.metrics.file import PACKAGED


@pytest.fixture(autouse=True)
def with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts are not drawn here, so it need not be there."""
    monkeypatch.setattr(command, "is_missing", lambda _: False)


class Reader:
    """Answers every question about the tables that it has with one row."""

    def __init__(self, *tables: str) -> None:
        self._tables = tables

    def columns(self, name: str) -> set[str]:
        known = {column for one in questions.ALL.values() for column in one.columns}
        return {name, *known} if name in self._tables else set()

    def rows(self, question: Question) -> list[dict[str, Any]]:
        return [{"of": question.reads[0]}]


def test_only_what_can_be_asked_is_asked() -> None:
    found = command.ask(Reader("runs", "sessions", "daily_active"))
    assert set(found) == {"runs", "days", "entry", "exit", "versions", "hours"}
    assert found["days"] == [{"of": "daily_active"}]


def test_without_a_run_there_is_nothing_to_tell() -> None:
    with pytest.raises(RunError, match="no run is published here"):
        command.ask(Reader("sessions"))


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--warehouse", "none"], 1, "none/posthog_aggregated does not exist: run the pipeline first"),
        (["--warehouse", "none", "--aggregated_dataset", "out"], 1, "none/out does not exist"),
        (["--warehouse", "bigquery"], 2, "--warehouse bigquery needs --project"),
        (["--output", "none/page.html"], 2, "there is no folder none; make it, or name another file"),
        (["--output", "."], 2, "--output . is a folder: name a file, as --output report.html"),
        (["--outptu", "page.html"], 2, "unrecognized arguments: --outptu page.html; see --help"),
        (["--warehouse", ".", "--aggregated_dataset", ".", "--metrics_file", "none.toml"], 2, "none.toml"),
        (["--warehouse", ".", "--aggregated-dataset", ".", "--metrics-file", "none.toml"], 2, "none.toml"),
    ],
)
def test_what_is_wrong_is_one_line_and_no_file(
    arguments: list[str],
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT_ID", raising=False)
    assert command.main(arguments) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("pipeline.report: ")
    assert told in err
    assert list(tmp_path.iterdir()) == []


def test_tables_of_another_metrics_file_are_not_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_events(tmp_path, [event(1)])
    other = tmp_path / "metrics.toml"
    other.write_text(PACKAGED.read_text().replace('"UTC"', '"America/Sao_Paulo"', 1))
    assert run(tmp_path, f"--metrics_file={other}") == 0
    capsys.readouterr()
    made = list[Any]()
    monkeypatch.setattr(command, "html", made.append)
    monkeypatch.setattr(command, "_write", lambda path, text: None)
    monkeypatch.setattr(command, "LocalReader", lambda snapshot, views: views)
    assert command.main(["--warehouse", str(tmp_path)]) == 2  # whose days are others
    assert "made with another metrics file" in capsys.readouterr().err
    assert command.main(["--warehouse", str(tmp_path), f"--metrics_file={other}"]) == 0
    assert len(made) == 1


def test_without_the_extra_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "is_missing", lambda name: name == "report")
    assert command.main([]) == 1
    assert "the extra `report` is not installed: run `" in capsys.readouterr().err


def test_a_page_is_replaced_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    page.write_text("yesterday's")
    monkeypatch.setattr(command, "_open", lambda _: Reader("runs"))
    monkeypatch.setattr(command, "html", lambda _: f"{page.read_text()}, today's")
    assert command.main(["--output", str(page)]) == 0
    assert page.read_text() == "yesterday's, today's"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert capsys.readouterr().out == f"{page}: open it in a browser\n"


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (OSError(errno.ENOSPC, "full"), 1, "report.html is not written: the disk is full"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_page_that_cannot_be_written_leaves_nothing(
    error: BaseException,
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "_open", lambda _: Reader("runs"))
    monkeypatch.setattr(command, "html", lambda _: "today's")
    monkeypatch.setattr(command.os, "replace", fail)
    assert command.main([]) == code
    assert capsys.readouterr().err.startswith(f"pipeline.report: {told}")
    assert list(tmp_path.iterdir()) == []
