"""What would fail in the middle of a job is told before it: streams, the bucket, who may do what."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import google.cloud.bigquery_storage
import pytest
from google.api_core import exceptions

from pipeline.errors import RunError
from pipeline.warehouse.bigquery import preflight
from pipeline.warehouse.bigquery.preflight import check_bucket, check_streams
from pipeline.warehouse.bigquery.read import Selection


class Bucket:
    """A storage client with one bucket."""

    def __init__(
        self,
        location: str = "EUROPE-WEST1",
        kind: str = "region",
        *,
        listing: Exception | None = None,
        getting: Exception | None = None,
    ) -> None:
        self.found = SimpleNamespace(location=location, location_type=kind)
        self.listing, self.getting, self.listed = listing, getting, list[tuple[str, str]]()

    def list_blobs(self, name: str, prefix: str, max_results: int) -> Any:
        self.listed.append((name, prefix))
        if self.listing:
            raise self.listing
        return iter([])

    def get_bucket(self, name: str) -> Any:
        if self.getting:
            raise self.getting
        return self.found


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Any:
    def give(bucket: Bucket) -> Bucket:
        monkeypatch.setattr(preflight, "GcsIO", lambda: SimpleNamespace(client=bucket))
        return bucket

    return give


@pytest.mark.parametrize(
    ("bucket", "kind", "dataset"),
    [
        ("EUROPE-WEST1", "region", "europe-west1"),
        ("EUROPE-WEST1", "region", "EU"),
        ("EU", "multi-region", "EU"),
        ("EUR4", "dual-region", "EU"),
        ("EU", "multi-region", "europe-west1"),
        ("ASIA-EAST1", "region", "US"),
    ],
)
def test_a_bucket_that_will_do(given: Any, bucket: str, kind: str, dataset: str) -> None:
    client = given(Bucket(bucket, kind))
    check_bucket("gs://files/temp/a", dataset)
    assert client.listed == [("files", "temp/a")]


@pytest.mark.parametrize(
    ("bucket", "dataset"), [("US-EAST1", "EU"), ("EUROPE-WEST1", "europe-west4"), ("US-EAST1", "us-central1")]
)
def test_a_bucket_too_far_away(given: Any, bucket: str, dataset: str) -> None:
    given(Bucket(bucket))
    with pytest.raises(
        RunError, match=f"bucket files of --temp_location is in {bucket}, the datasets are in {dataset}"
    ):
        check_bucket("gs://files/temp", dataset)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (exceptions.NotFound("x"), "bucket files of --temp_location does not exist"),
        (exceptions.Forbidden("x"), "grant roles/storage.objectUser on it"),
        (exceptions.ServiceUnavailable("x"), "does not answer for bucket files"),
    ],
)
def test_a_bucket_that_cannot_be_used(given: Any, error: Exception, line: str) -> None:
    given(Bucket(listing=error))
    with pytest.raises(RunError, match=line):
        check_bucket("gs://files/temp", "EU")


def test_a_bucket_that_one_may_only_write_to_is_used(given: Any) -> None:
    given(Bucket("US-EAST1", getting=exceptions.Forbidden("storage.buckets.get")))
    check_bucket("gs://files", "EU")


def test_streams_are_asked_for_once_with_the_real_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Storage:
        def create_read_session(self, **request: Any) -> Any:
            asked.append(request)
            if len(asked) > 1:
                raise exceptions.PermissionDenied("lacks 'bigquery.readsessions.create' on projects/p")

    monkeypatch.setattr(google.cloud.bigquery_storage, "BigQueryReadClient", Storage)
    source = Selection("p", "posthog_etl", "events", ("uuid",), "timestamp IS NULL")
    check_streams(source)
    [request] = asked
    assert (request["parent"], request["max_stream_count"]) == ("projects/p", 1)
    assert request["read_session"].read_options.row_restriction == "timestamp IS NULL"
    with pytest.raises(RunError, match=r"streams of table posthog_etl\.events: grant roles/bigquery\.readSessionUser"):
        check_streams(source)
