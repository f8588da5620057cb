"""One small run on the real BigQuery gives the tables of a local warehouse. Costs less than a cent.

Its datasets have names of their own and are removed in the end; the tables expire in a day in any case. The bucket is
a scratch bucket that exists; the account needs roles/bigquery.user and roles/storage.objectAdmin there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from google.cloud import bigquery

from pipeline.sample import write_sample
from tests import builders
from tests.bigquery.place import Place
from tests.builders import assert_adds_up, ledger, run

FUTURE = pa.scalar(datetime(2030, 1, 1, tzinfo=UTC), pa.timestamp("us", "UTC"))
DAY = 24 * 3_600 * 1_000
PROJECT, BUCKET = os.environ.get("PROJECT", ""), os.environ.get("BUCKET", "")

pytestmark = pytest.mark.skipif(
    not (PROJECT and BUCKET), reason="no Google Cloud project: make test-cloud PROJECT=… BUCKET=…"
)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    there = Place(PROJECT, BUCKET)
    mine = []
    try:
        for dataset in there.datasets(tmp_path).values():  # made here, so that what a killed test leaves does not stay
            made = bigquery.Dataset(f"{PROJECT}.{dataset}")
            made.default_table_expiration_ms = DAY
            there.client().create_dataset(made)
            mine.append(dataset)
        yield there
    finally:
        for dataset in mine:
            there.client().delete_dataset(dataset, delete_contents=True, not_found_ok=True)


@pytest.mark.parametrize("method", ["DIRECT_READ", "ARROW"])
def test_two_runs_equal_those_on_a_local_warehouse(
    tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(builders, "PLACE", place)  # `run` compares with the same run on the folder
    write_sample(tmp_path, events=1_000)
    folder = tmp_path / "posthog_etl" / "events"
    events = pq.read_table(folder)
    # a row of the far future is rejected anew by each run that reads it; a folder may skip its row group
    events = events.filter(pc.less(events["timestamp"], FUTURE).fill_null(True)).sort_by("bq_ingested_timestamp")
    shutil.rmtree(folder)
    folder.mkdir()
    for name, part in (("part-0", events.slice(0, 700)), ("part-1", events.slice(700))):
        pq.write_table(part, folder / f"{name}.parquet")
        assert run(tmp_path, f"--read_method={method}") == 0
    rows = ledger(tmp_path)
    assert [row["mode"] for row in rows] == ["full", "incremental"]
    assert rows[1]["sessions_inserted"]
    for row in rows:
        assert_adds_up(row)
