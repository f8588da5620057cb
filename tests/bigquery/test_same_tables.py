"""What is BigQuery's own, through the emulators: every way to read, how tables are made, what is refused.

That the tables equal those of a local warehouse is checked by `builders.run` after every run; whole histories of runs
are in `tests/end_to_end`, most of which run on both.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.cloud.bigquery import SchemaField, Table

from pipeline import tables
from pipeline.launcher import main
from pipeline.warehouse.bigquery.schema import about, fields_of
from sample import write_sample
from tests.bigquery.emulators import PROJECT, Emulators
from tests.builders import METRICS, event, ledger, run, write_events
from transforms.schemas.fields import description

pytestmark = pytest.mark.emulator


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    warehouse = tmp_path_factory.mktemp("small")
    write_sample(warehouse, events=3_000)
    for file in (warehouse / "posthog_etl" / "events").glob("*.parquet"):
        events = pq.read_table(file)  # a column of type JSON holds nothing else
        pq.write_table(events.filter(pa.array([is_json(text) for text in events["properties"].to_pylist()])), file)
    return warehouse


def is_json(text: str | None) -> bool:
    try:
        msgspec.json.decode(text or "")
    except msgspec.MsgspecError:
        return False
    return True


@pytest.mark.parametrize(("method", "json_properties"), [("DIRECT_READ", True), ("EXPORT", False), ("ARROW", True)])
def test_every_read_method_and_type_of_properties(
    sample: Path,
    tmp_path: Path,
    bigquery: Emulators,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    json_properties: bool,
) -> None:
    monkeypatch.setattr(bigquery, "json_properties", json_properties)
    shutil.copytree(sample, tmp_path, dirs_exist_ok=True)
    assert run(tmp_path, f"--read_method={method}") == 0
    [row] = ledger(tmp_path)
    assert row["rows_kept"] > 2_900


def test_tables_are_made_as_declared_and_staging_is_removed(tmp_path: Path, bigquery: Emulators) -> None:
    assert run(write_events(tmp_path, [event(1)])) == 0
    written = {output.name for output in tables.outputs(METRICS)}
    assert written >= {"sessions", "persons", "rejected_events", "session_links", "person_days"}
    assert set(bigquery.tables(tmp_path)) == written | {"run_fence", "runs"}
    found = {name: bigquery.metadata(tmp_path, name) for name in bigquery.tables(tmp_path)}
    for table in (*tables.outputs(METRICS), tables.RUNS):
        made = {field.name: field for field in found[table.name].schema}
        assert list(made) == table.schema.names
        for field in table.schema:
            assert made[field.name].description == description(field)
            if not pa.types.is_list(field.type):
                assert made[field.name].mode == ("NULLABLE" if field.nullable else "REQUIRED")
        wanted = about(table)
        assert found[table.name].description == wanted.description
        assert found[table.name].labels == wanted.labels
    assert found["sessions"].time_partitioning.field == "start_timestamp"
    assert found["sessions"].time_partitioning.type_ == "DAY"
    assert found["sessions"].clustering_fields == found["persons"].clustering_fields == ["person_id"]


def test_an_unknown_column_of_a_target_is_refused_by_name(
    tmp_path: Path, bigquery: Emulators, capsys: pytest.CaptureFixture[str]
) -> None:
    write_events(tmp_path, [event(1)])
    bigquery.copy(tmp_path)
    dataset = f"{PROJECT}.{bigquery.datasets(tmp_path)['posthog_aggregated']}"
    bigquery.client().create_dataset(dataset)
    fields = [SchemaField.from_api_repr(field) for field in fields_of(tables.SESSIONS.under(METRICS))]
    bigquery.client().create_table(Table(f"{dataset}.sessions", [*fields, SchemaField("mine", "STRING")]))
    assert main([*bigquery.options(tmp_path), "--quiet"]) == 1
    assert "column 'mine' is none of this pipeline's" in capsys.readouterr().err


def test_what_is_missing_is_named_before_anything_runs(
    tmp_path: Path, bigquery: Emulators, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path) == 1
    assert f"dataset {bigquery.datasets(tmp_path)['posthog_etl']} does not exist" in capsys.readouterr().err
    bigquery.client().create_dataset(bigquery.datasets(tmp_path)["posthog_etl"])
    assert run(tmp_path) == 1
    assert f"no events: table {bigquery.datasets(tmp_path)['posthog_etl']}.events" in capsys.readouterr().err
