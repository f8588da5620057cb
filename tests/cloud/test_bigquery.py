"""One small run on the real BigQuery gives the tables of a local warehouse. Costs less than a cent.

Its datasets have names of their own and are removed in the end; the tables expire in a day in any case. The bucket is
a scratch bucket that exists; the account needs roles/bigquery.user and roles/storage.objectUser there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud import bigquery

from tests import builders
from tests.bigquery.place import Place
from tests.cloud.nights import key_options, run_two_nights

DAY = 24 * 3_600 * 1_000
PROJECT, BUCKET = os.environ.get("PROJECT", ""), os.environ.get("BUCKET", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        # a build has PROJECT and BUCKET in its environment too, and tests without touching them
        not (os.environ.get("TEST_CLOUD") and PROJECT and BUCKET),
        reason="no Google Cloud project: make test-cloud PROJECT=… BUCKET=…",
    ),
]


@pytest.fixture
def cloud_place(tmp_path: Path) -> Iterator[Place]:
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
    tmp_path: Path, cloud_place: Place, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(builders, "PLACE", cloud_place)  # `run` compares with the same run on the folder
    run_two_nights(tmp_path, f"--read_method={method}", *key_options(str(tmp_path)))
