"""`python -m pipeline.views` on a warehouse that a run has published."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import duckdb
import pytest

from pipeline.views import command
from pipeline.views.declarations import NAMES
from tests.builders import OUTPUTS, WAVES_METRICS, at, event, run, write_events

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("it's")
    days = [event(number, f"s{number}", seconds=number * 86_400, arrives=number * 86_400 + 60) for number in range(20)]
    write_events(folder, days)
    assert run(folder) == 0
    return folder


def rows(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_a_view_as_csv(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--warehouse", str(warehouse), "daily_active"]) == 0
    found = rows(capsys)
    assert found[0] == {
        "date": at(0).date().isoformat(),
        "dau": "1",
        "wau": "1",
        "mau": "1",
        "stickiness": "1.0",
        "new_persons": "1",
        "returning_persons": "0",
    }


def test_the_script_makes_tables_and_views_of_one_run(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--warehouse", str(warehouse)]) == 0
    script = capsys.readouterr().out
    with duckdb.connect() as connection:
        connection.execute(script)
        connection.execute(script)  # again, into the same database
        comments = dict(connection.sql("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal").fetchall())
        [[number]] = connection.sql("SELECT COUNT(*) FROM sessions").fetchall()
    assert set(comments) == {*NAMES, *OUTPUTS}
    assert comments["daily_active"].startswith("How many persons are active")
    assert number == 20
    assert str((warehouse / "posthog_aggregated").resolve()).replace("'", "''") in script, "links are resolved"


def test_what_is_wrong_is_one_line(warehouse: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*arguments: str) -> tuple[int, str]:
        code = command.main(arguments)
        return code, capsys.readouterr().err

    here = f"--warehouse={warehouse}"
    assert told(f"--warehouse={tmp_path}") == (
        1,
        f"pipeline.views: {tmp_path / 'posthog_aggregated'} does not exist: run the pipeline first\n",
    )
    code, line = told("--warehouse=bigquery", "daily_active")
    assert (code, "bq query" in line) == (2, True)
    code, line = told(here, f"--metrics_file={WAVES_METRICS}")
    assert (code, "another metrics file" in line) == (2, True)
    code, line = told(here, "--metrics_file=none.toml")
    assert (code, line.startswith("pipeline.views: metrics file none.toml: ")) == (2, True)
    code, line = told(here, "daly_active")
    assert (code, line.count("\n")) == (2, 1)
    assert line.startswith("pipeline.views: argument name: invalid choice: 'daly_active' (choose from ")


def test_rows_come_in_pieces_of_one_table(
    warehouse: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.main(["--warehouse", str(warehouse), "daily_active"]) == 0
    whole = capsys.readouterr().out
    for at_once in (1, 3, whole.count("\n") - 1):
        monkeypatch.setattr(command, "_AT_ONCE", at_once)
        assert command.main(["--warehouse", str(warehouse), "daily_active"]) == 0
        assert capsys.readouterr().out == whole


def test_without_the_extra_it_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "is_missing", lambda name: name == "views")
    assert command.main([]) == 1
    assert "the extra `views` is not installed: run `" in capsys.readouterr().err
