"""Views after a publish: made, made anew, and never a reason to fail."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from google.cloud.bigquery import SchemaField, Table

from pipeline.errors import RunError
from pipeline.views.declarations import views
from pipeline.warehouse.bigquery.views import make_views
from tests.bigquery.emulators import PROJECT, Emulators
from tests.builders import METRICS, OUTPUTS, event, run, write_events

OF_METRICS = [view.name for view in views(METRICS)]


class Client:
    """What making views asks of BigQuery; statements that name one of `refused` fail."""

    def __init__(self, *refused: str) -> None:
        self.refused, self.made = refused, list[str]()

    def name(self, dataset: str, table: str) -> str:
        return f"`p.{dataset}.{table}`"

    def run(self, statement: str, what: str) -> None:
        if what in self.refused:
            raise RunError(f"no permission for {what}: grant a role")
        self.made.append(what)
        assert statement.startswith(f"CREATE OR REPLACE VIEW `p.{what.removeprefix('view ')}` (\n")


def test_one_that_fails_is_told_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    client = Client("view out.sessions_aggregated")
    with caplog.at_level(logging.WARNING):
        make_views(client, "out", views(METRICS), OUTPUTS)  # type: ignore[arg-type]
    left_out = {"sessions_aggregated", "people_aggregated"}
    assert client.made == [f"view out.{name}" for name in OF_METRICS if name not in left_out]
    assert [record.getMessage() for record in caplog.records] == [
        "view out.sessions_aggregated was not made (no permission for view out.sessions_aggregated: grant a role); "
        "the tables are published",
        "view out.people_aggregated was not made (it needs sessions_aggregated); the tables are published",
    ]


@pytest.mark.emulator
@pytest.mark.views
def test_a_run_makes_them_and_a_sample_does_not(
    tmp_path: Path, bigquery: Emulators, caplog: pytest.LogCaptureFixture
) -> None:
    """A table of somebody that has a view's name stays, and is told of."""
    write_events(tmp_path, [event(number, f"s{number}", seconds=number * 86_400) for number in range(3)])
    assert run(tmp_path, "--limit=2") == 0
    assert bigquery.views(tmp_path) == []
    dataset = f"{PROJECT}.{bigquery.datasets(tmp_path)['posthog_aggregated']}"
    bigquery.client().create_table(Table(f"{dataset}.retention_days", [SchemaField("mine", "STRING")]))
    for _ in range(2):
        caplog.clear()
        assert run(tmp_path) == 0
        assert bigquery.views(tmp_path) == sorted({*OF_METRICS} - {"retention_days"})
        assert [field.name for field in bigquery.client().get_table(f"{dataset}.retention_days").schema] == ["mine"]
        told = [record.getMessage() for record in caplog.records if "was not made" in record.getMessage()]
        assert len(told) == 1
        assert f"{bigquery.datasets(tmp_path)['posthog_aggregated']}.retention_days was not made" in told[0]
    found = bigquery.client().query(f"SELECT dau FROM `{dataset}.daily_active` ORDER BY date").result()
    assert [row["dau"] for row in found] == [1]  # the watermark is on the second day, which most rows have reached
