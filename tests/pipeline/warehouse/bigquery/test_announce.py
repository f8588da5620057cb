"""`published.json`: there after each publish, and never in the way of one."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.metrics import MetricsFilter
from google.api_core import exceptions

from pipeline.publish import publish_run
from pipeline.warehouse.bigquery import announce
from tests import builders
from tests.bigquery.emulators import BUCKET, Emulators
from tests.builders import event, run, write_events
from tests.pipeline.warehouse.bigquery.test_publish import Service, no_waiting
from transforms.incremental.seen import NOTHING
from transforms.incremental.unsettled import Unsettled
from transforms.sessions.days import SumDays, schema

__all__ = ["no_waiting"]


class Bucket(dict[str, bytes]):
    """What is written through Beam's file systems, by name."""

    def create(self, name: str, **_: Any) -> io.BytesIO:
        bucket = self

        class Writer(io.BytesIO):
            def close(self) -> None:
                bucket[name] = self.getvalue()
                super().close()

        return Writer()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    made = Bucket()
    monkeypatch.setattr(announce.FileSystems, "create", made.create)
    return made


def test_a_publish_is_announced_after_it_is_committed(bucket: Bucket) -> None:
    service = Service()
    service.publish("gs://my-bucket/temp")
    service.assert_new()
    assert list(bucket) == ["gs://my-bucket/published/out/published.json"]
    told = json.loads(bucket["gs://my-bucket/published/out/published.json"])
    assert told["run_id"] == "run-2"
    assert told["published_at"] == "2026-01-02T00:00:00.000000+00:00"
    assert (told["sessions_updated"], told["sessions_deleted"], told["persons_inserted"]) == (1, 1, 1)
    assert set(told) >= {"mode", "watermark", "rows_read"}


def test_a_run_that_does_not_publish_announces_nothing(bucket: Bucket) -> None:
    service = Service()
    service.staged = service.staged[:1]
    with pytest.raises(Exception, match="staged"):
        service.publish("gs://my-bucket/temp")
    assert bucket == {}


@pytest.mark.parametrize("error", [exceptions.Forbidden("no"), OSError(5, "no"), ValueError("Jane <jane@example.com>")])
def test_a_lost_announcement_is_no_failed_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def create(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(announce.FileSystems, "create", create)
    caplog.set_level(logging.WARNING)
    service = Service()
    service.publish("gs://my-bucket/temp")
    service.assert_new()
    [record] = caplog.records
    assert record.getMessage() == (
        f"gs://my-bucket/published/out/published.json was not written ({type(error).__name__}); "
        "the tables are published"
    )


class Publishes:
    """A source and a sink that takes everything."""

    def publish(self, *_: Any) -> None:
        """Nothing to do."""

    def release(self, *_: Any) -> None:
        """Nothing to do."""


def test_the_age_of_the_watermark_is_a_counter_of_the_job() -> None:
    run = Service().run
    arrival = int((datetime.now(UTC) - timedelta(hours=3)).timestamp() * 1e6)
    run = dataclasses.replace(run, started_at=datetime.now(UTC))
    p = beam.Pipeline("FnApiRunner")
    no_days = SumDays(schema(())).create_accumulator()
    arguments = (Publishes(), Publishes(), [], [], (arrival,), Unsettled(), NOTHING, no_days)
    _ = p | beam.Create([run]) | beam.Map(publish_run, *arguments)
    found = p.run().metrics().query(MetricsFilter().with_name("watermark_age_seconds"))["counters"]
    assert [counter.result // 60 for counter in found] == [180]


@pytest.mark.emulator
def test_it_lies_in_the_bucket_of_the_load_files(bigquery: Emulators, tmp_path: Path) -> None:
    write_events(tmp_path, [event(1)])
    assert run(tmp_path) == 0
    dataset = bigquery.datasets(tmp_path)["posthog_aggregated"]
    told = json.loads((bigquery.folder / f"published/{dataset}/published.json").read_text())
    [row] = builders.ledger(tmp_path)
    assert (told["run_id"], told["rows_read"], told["sessions_inserted"]) == (row["run_id"], 1, 1)
    assert announce.place_of(f"gs://{BUCKET}/temp", dataset).endswith(f"/{dataset}/published.json")
