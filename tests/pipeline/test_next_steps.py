"""What a run ends with: commands that can be pasted, with what the run was given."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions

from pipeline import next_steps
from pipeline.command_line import parse
from pipeline.next_steps import next_text, this_python
from pipeline.options import settings_of


@pytest.fixture(autouse=True)
def with_the_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_steps, "is_missing", lambda _: False)


def told(*argv: str) -> list[str]:
    options = parse(argv)
    return next_text(settings_of(options), options.view_as(GoogleCloudOptions).temp_location, "python").splitlines()


def commands(*argv: str) -> list[list[str]]:
    return [shlex.split(line[13:]) for line in told(*argv)]


def test_three_things_on_the_sample() -> None:
    assert told() == [
        "  look       python -m pipeline.report --output report.html",
        "  ask        python -m pipeline.views daily_active",
        "  next night python -m pipeline --runner DirectRunner",
    ]


def test_what_says_which_tables_is_given_again_and_what_was_of_one_run_is_not() -> None:
    look, ask, again = commands("--warehouse", "my data", "--full_load", "--excluded_users", "list.txt", "--quiet")
    assert look == ["python", "-m", "pipeline.report", "--warehouse", "my data", "--output", "report.html"]
    assert ask[-2:] == ["--warehouse", "my data"]
    assert again[5:] == ["--warehouse", "my data", "--excluded_users", "list.txt", "--quiet"]
    for once in (["--limit", "10"], ["--start_date", "2026-01-05", "--end_date", "2026-01-07"]):
        assert commands(*once) == commands()


def test_the_next_night_is_a_command_line_that_is_taken() -> None:
    argv = ["--warehouse=bigquery", "--project=my-project", "--temp_location=gs://bucket/temp", "--overlap_hours=48"]
    look, ask, again = commands(*argv, "--full_load")
    options = parse(again[3:])
    settings = settings_of(options)
    assert settings.project == "my-project"
    assert options.view_as(GoogleCloudOptions).temp_location == "gs://bucket/temp"
    assert settings.given["overlap_hours"] == "48"
    assert not settings.request.full_load
    assert look[3:7] == ["--warehouse", "bigquery", "--project", "my-project"]
    assert ask[:2] == ["bq", "query"]
    assert "posthog_aggregated.daily_active" in ask[-1]


def test_python_is_called_as_from_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.executable", str(tmp_path / ".venv" / "bin" / "python"))
    assert this_python() == ".venv/bin/python"
    monkeypatch.setattr("sys.executable", "/opt/a venv/bin/python")
    assert this_python() == "'/opt/a venv/bin/python'"


def test_what_make_run_does_not_install_make_does_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_steps, "is_missing", lambda _: True)
    monkeypatch.setattr(next_steps, "has_makefile", lambda: True)
    assert [line[13:] for line in told()[:2]] == ["make report", "make view VIEW=daily_active"]
    assert [line[13:] for line in told("--warehouse", "my data")[:2]] == [
        "make .venv/report && .venv/bin/python -m pipeline.report --warehouse 'my data' --output report.html",
        "make .venv/report && .venv/bin/python -m pipeline.views daily_active --warehouse 'my data'",
    ]
    monkeypatch.setattr(next_steps, "has_makefile", lambda: False)
    assert told()[0].endswith("python -m pipeline.report --output report.html")
