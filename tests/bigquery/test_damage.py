"""Published tables of BigQuery are compared with the ledger before they are memory, and made anew by a full load."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.launcher import main
from tests.bigquery.emulators import Emulators
from tests.builders import event, published, run, write_events


@pytest.mark.emulator
def test_a_full_load_makes_them_anew(bigquery: Emulators, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    warehouse = write_events(tmp_path, [event(n, f"s{n % 7}") for n in range(60)])
    assert run(warehouse) == 0
    before = published(warehouse, "sessions")
    options = ["--runner", "DirectRunner", "--quiet", *bigquery.options(warehouse)]
    table = f"{bigquery.project}.{bigquery.datasets(warehouse)['posthog_aggregated']}.sessions"
    bigquery.client().delete_table(table)
    capfd.readouterr()
    assert main(options) == 1
    assert "sessions does not exist, 7 were published; restore them from a backup" in capfd.readouterr().err
    assert main([*options, "--full_load"]) == 0
    assert published(warehouse, "sessions") == before
    assert main(options) == 0
