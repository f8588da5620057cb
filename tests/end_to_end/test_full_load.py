"""A full load against the oracle: the sample, and the real data of another product with other metrics."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import tables
from sample import EXCLUDED_IDS, write_sample
from tests.builders import METRICS, WAVES_METRICS, assert_adds_up, ledger, published, run
from tests.end_to_end.oracle import WAVES, Expected, differences, expected
from transforms.metrics.file import load_metrics
from transforms.schemas.fields import description

SHARED_WAVES = Path(__file__).parents[1] / "data" / "waves"


def assert_equals(warehouse: Path, wanted: Expected) -> None:
    """Tables row for row, and the ledger's counts by reason."""
    assert differences(published(warehouse, "sessions"), wanted.sessions)[:10] == []
    assert differences(published(warehouse, "persons"), wanted.persons)[:10] == []
    links = differences(published(warehouse, "session_links"), wanted.session_links, "link", "value")
    assert links[:10] == []
    assert differences(published(warehouse, "person_days"), wanted.person_days, "date")[:10] == []
    assert differences(published(warehouse, "social_events"), wanted.social_events)[:10] == []
    row = ledger(warehouse)[-1]
    assert_adds_up(row)
    found = {"read": row["rows_read"], "kept": row["rows_kept"], "duplicates": row["rows_duplicate"]}
    for kind in ("filtered", "rejected"):
        found |= {f"{kind}.{name}": number for name, number in json.loads(row[kind]).items()}
    assert found == wanted.counts


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample with rows of every outcome."""
    warehouse = tmp_path_factory.mktemp("sample")
    write_sample(warehouse, events=10_000)
    return warehouse


@pytest.fixture
def sample(generated: Path, tmp_path: Path) -> Path:
    """A copy, so that no test sees what another one has published."""
    return shutil.copytree(generated, tmp_path / "sample")


@pytest.mark.on_bigquery
@pytest.mark.usefixtures("place")
def test_sample(sample: Path) -> None:
    assert run(sample, "--full_load") == 0
    assert_equals(sample, expected(sample))
    assert published(sample, "rejected_events").num_rows == ledger(sample)[-1]["rows_rejected"]


def test_sample_with_excluded_users(sample: Path) -> None:
    excluded = sample / "excluded_users.txt"
    assert excluded.read_text().split() == list(EXCLUDED_IDS)
    assert run(sample, "--full_load", "--excluded_users", str(excluded)) == 0
    wanted = expected(sample, excluded=EXCLUDED_IDS)
    assert wanted.counts["filtered.excluded_user"] > 100
    assert_equals(sample, wanted)


def test_sample_without_the_optional_tables(sample: Path, tmp_path: Path) -> None:
    warehouse = tmp_path / "events-only"
    shutil.copytree(sample / "posthog_etl" / "events", warehouse / "posthog_etl" / "events")
    assert run(warehouse, "--full_load") == 0
    assert_equals(warehouse, expected(warehouse))
    assert set(published(warehouse, "persons").column("user_id").to_pylist()) == {None}


@pytest.mark.usefixtures("place")
def test_waves_with_its_own_metrics(tmp_path: Path) -> None:
    shutil.copytree(SHARED_WAVES, tmp_path, dirs_exist_ok=True)
    assert run(tmp_path, "--full_load", "--metrics_file", str(WAVES_METRICS)) == 0
    assert_equals(tmp_path, expected(tmp_path, WAVES))
    assert published(tmp_path, "sessions").num_rows == 49


@pytest.mark.parametrize("metrics_file", [None, WAVES_METRICS])
def test_published_columns_are_those_of_tables(metrics_file: Path | None) -> None:
    metrics = load_metrics(metrics_file)
    assert metrics_file is not None or metrics == METRICS
    for table in tables.outputs(metrics):
        names = table.schema.names
        assert len(names) == len(set(names))
        assert all(description(field) for field in table.schema)
        assert isinstance(table.schema, pa.Schema)
