"""The same data gives the same tables on BigQuery, however it is read, as on a local warehouse."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.cloud.bigquery import SchemaField, Table

from pipeline import tables
from pipeline.sample import write_sample
from pipeline.warehouse.bigquery.schema import fields_of
from tests import builders
from tests.bigquery.emulators import PROJECT, Emulators
from tests.builders import METRICS, assert_adds_up, event, ledger, published, run, tables_of, write_events

pytestmark = pytest.mark.emulator


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    warehouse = tmp_path_factory.mktemp("small")
    write_sample(warehouse, events=3_000)
    for file in (warehouse / "posthog_etl" / "events").glob("*.parquet"):
        events = pq.read_table(file)  # a column of type JSON holds nothing else
        pq.write_table(events.filter(pa.array([is_json(text) for text in events["properties"].to_pylist()])), file)
    assert run(warehouse, "--full_load") == 0
    return warehouse


def is_json(text: str | None) -> bool:
    try:
        msgspec.json.decode(text or "")
    except msgspec.MsgspecError:
        return False
    return True


@pytest.mark.parametrize(
    ("method", "json_properties"), [("DIRECT_READ", True), ("EXPORT", False), ("ARROW", False), ("ARROW", True)]
)
def test_every_read_method_and_type_of_properties(
    sample: Path, emulators: Emulators, monkeypatch: pytest.MonkeyPatch, method: str, json_properties: bool
) -> None:
    local, dead = tables_of(sample), published(sample, "rejected_events")
    [before] = ledger(sample)
    monkeypatch.setattr(builders, "PLACE", emulators)
    monkeypatch.setattr(emulators, "json_properties", json_properties)
    assert run(sample, "--full_load", f"--read_method={method}") == 0
    assert tables_of(sample) == local
    assert published(sample, "rejected_events") == dead
    row = ledger(sample)[-1]
    for name in ("rows_read", "rows_kept", "rows_duplicate", "filtered", "rejected", "watermark"):
        assert row[name] == before[name], name


def test_a_sample_moves_nothing_and_staging_tables_are_gone(
    tmp_path: Path, emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builders, "PLACE", emulators)
    write_events(tmp_path, [event(number, f"s{number}") for number in range(50)])
    assert run(tmp_path, "--limit", "20") == 0
    assert published(tmp_path, "sessions_sample").num_rows == 20
    assert run(tmp_path, "--limit", "5") == 0
    assert published(tmp_path, "sessions_sample").num_rows == 5
    assert emulators.tables(tmp_path) == ["persons_sample", "run_fence", "runs", "sessions_sample"]
    assert published(tmp_path, "runs").num_rows == 0


def test_plan_only_touches_nothing(
    tmp_path: Path, emulators: Emulators, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(builders, "PLACE", emulators)
    write_events(tmp_path, [event(1)])
    assert run(tmp_path, "--plan_only") == 0
    assert "1 of 1 rows" in capsys.readouterr().out
    datasets = [dataset.dataset_id for dataset in emulators.client().list_datasets()]
    assert emulators.datasets(tmp_path)["posthog_aggregated"] not in datasets


def test_an_empty_day_publishes_and_changes_no_row(
    tmp_path: Path, emulators: Emulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builders, "PLACE", emulators)
    write_events(tmp_path, [event(1)])
    assert run(tmp_path) == 0
    before = published(tmp_path, "sessions", run_columns=True)
    assert run(tmp_path) == 0
    assert published(tmp_path, "sessions", run_columns=True) == before
    rows = ledger(tmp_path)
    assert [row["mode"] for row in rows] == ["full", "incremental"]
    for row in rows:
        assert_adds_up(row)


def test_an_unknown_column_of_a_target_is_refused_by_name(
    tmp_path: Path, emulators: Emulators, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(builders, "PLACE", emulators)
    write_events(tmp_path, [event(1)])
    dataset = f"{PROJECT}.{emulators.datasets(tmp_path)['posthog_aggregated']}"
    emulators.client().create_dataset(dataset)
    fields = [SchemaField.from_api_repr(field) for field in fields_of(tables.sessions(METRICS))]
    emulators.client().create_table(Table(f"{dataset}.sessions", [*fields, SchemaField("mine", "STRING")]))
    assert run(tmp_path) == 1
    assert "column 'mine' is none of this pipeline's" in capsys.readouterr().err


def test_what_is_missing_is_named_before_anything_runs(
    tmp_path: Path, emulators: Emulators, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(builders, "PLACE", emulators)
    assert run(tmp_path) == 1
    assert "dataset posthog_etl" in capsys.readouterr().err
    emulators.client().create_dataset(emulators.datasets(tmp_path)["posthog_etl"])
    assert run(tmp_path) == 1
    assert "no events: table posthog_etl" in capsys.readouterr().err
