"""dbt's own parser takes the sources, and its tests pass on the sample and see what is wrong.

Not collected by `make test`, since dbt has an environment of its own: `make test-dbt` makes it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy.dbt_sources import FILE, SOURCE
from pipeline import tables
from pipeline.launcher import main
from pipeline.views.declarations import views
from sample import write_sample
from tests.builders import METRICS

ROOT = Path(__file__).parents[2]
DBT = Path(os.environ.get("DBT", ROOT / ".venv-dbt")).absolute() / "bin"  # dbt runs in the folder of its project
OUTPUTS = [*tables.outputs(METRICS), tables.RUNS]
PROFILE = """
sessions_and_persons:
  target: sample
  outputs: {{sample: {{type: duckdb, path: {path}, schema: main, threads: 1}}}}
"""


class Project:
    """A dbt project with our sources, on a DuckDB file with the tables of a run."""

    def __init__(self, folder: Path, published: Path) -> None:
        self.folder, self.published = folder, published
        shutil.copytree(FILE.parents[1], folder, dirs_exist_ok=True)
        (folder / "profiles.yml").write_text(PROFILE.format(path=folder / "tables.duckdb"))
        for table in OUTPUTS:
            self.replace(table.name, "SELECT * FROM published")

    def replace(self, name: str, query: str) -> None:
        """Make a table what a query gives of `published`, the rows of the run."""
        files = self.published / name / "*.parquet"
        script = f"""
            import duckdb
            with duckdb.connect({str(self.folder / "tables.duckdb")!r}) as database:
                database.execute("SET TimeZone = 'UTC'; CREATE SCHEMA IF NOT EXISTS posthog_aggregated")
                database.execute(\"\"\"CREATE OR REPLACE TABLE posthog_aggregated.{name} AS
                    WITH published AS (FROM read_parquet({str(files)!r})) {query}\"\"\")
        """
        lines = [line[12:] for line in script.splitlines()]
        subprocess.run([DBT / "python", "-c", "\n".join(lines)], check=True)

    def dbt(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a dbt command in the project."""
        command = [DBT / "dbt", "--no-use-colors", "--no-version-check", *words]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, env=self.env)

    @property
    def env(self) -> dict[str, str]:
        """No telemetry, and the profile of the project."""
        return {**os.environ, "DBT_PROFILES_DIR": str(self.folder), "DO_NOT_TRACK": "1"}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of a run on a small sample."""
    warehouse = tmp_path_factory.mktemp("warehouse")
    write_sample(warehouse, events=2_000)
    assert main(["--warehouse", str(warehouse), "--quiet"]) == 0
    return warehouse / "posthog_aggregated"


@pytest.fixture
def project(tmp_path: Path, published: Path) -> Project:
    return Project(tmp_path / "dbt", published)


def test_the_parser_takes_the_sources_and_knows_every_column(project: Project) -> None:
    told = project.dbt("--warn-error", "parse")
    assert told.returncode == 0, told.stdout
    manifest = json.loads((project.folder / "target" / "manifest.json").read_text())
    sources: dict[str, Any] = {one["name"]: one for one in manifest["sources"].values()}
    made = {view.name: view for view in views(METRICS)}
    assert set(sources) == {table.name for table in OUTPUTS} | set(made)
    for name, view in made.items():
        assert list(sources[name]["columns"]) == [column.name for column in view.columns]
    for table in OUTPUTS:
        columns = sources[table.name]["columns"]
        assert list(columns) == table.schema.names
        for field in table.schema:
            assert columns[field.name]["description"] == field.metadata[b"description"].decode()
    assert sources["runs"]["freshness"]["error_after"] == {"count": 50, "period": "hour"}
    [exposure] = manifest["exposures"].values()
    assert len(exposure["depends_on"]["nodes"]) == len(sources)
    assert all(f".{SOURCE}." in node for node in exposure["depends_on"]["nodes"])


def test_what_is_declared_holds_on_the_sample_and_the_last_run_is_fresh(project: Project) -> None:
    told = project.dbt("test")
    assert told.returncode == 0, told.stdout
    required = sum(not field.nullable for table in OUTPUTS for field in table.schema)
    assert f"PASS={required + len(OUTPUTS)} WARN=0 ERROR=0" in told.stdout  # and a key each
    assert project.dbt("source", "freshness").returncode == 0


def test_a_doubled_row_a_missing_value_and_an_old_run_are_seen(project: Project) -> None:
    project.replace("sessions", "FROM published UNION ALL (FROM published LIMIT 1)")
    project.replace("persons", "SELECT * REPLACE (NULL AS total_sessions) FROM published")
    project.replace("runs", "SELECT * REPLACE (published_at - INTERVAL 3 DAY AS published_at) FROM published")
    told = project.dbt("test")
    assert told.returncode == 1
    for test in ("unique_sessions_and_persons_sessions_session_id", "persons_total_sessions"):
        assert any("FAIL" in line and test in line for line in told.stdout.splitlines()), test
    assert "ERROR=2 " in told.stdout
    assert project.dbt("source", "freshness").returncode == 1
