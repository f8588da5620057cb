"""The image and the template as they are released, proven on Dataflow: two nights equal those of a local warehouse.

`make test-dataflow PROJECT=… BUCKET=…` launches dev's body (`deploy/release.sh launch` writes it to the file LAUNCH)
on sample rows in datasets of its own, which are removed in the end. It costs about 30 cents and takes half an hour.
The account needs the roles of release-builder in docs/deploy.md. tests/deploy/test_proof.py drives all of it here.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.cloud import bigquery, dataflow_v1beta3

from tests import builders
from tests.bigquery.place import Place
from tests.cloud.dataflow import Dataflow
from tests.cloud.nights import key_options, run_two_nights

PROJECT, BUCKET, LAUNCH = (os.environ.get(name, "") for name in ("PROJECT", "BUCKET", "LAUNCH"))
REGION = os.environ.get("REGION", "europe-west1")
DAY = 24 * 3_600 * 1_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (os.environ.get("TEST_CLOUD") and PROJECT and BUCKET and Path(LAUNCH).is_file()),
        reason="no launch body: make test-dataflow PROJECT=… BUCKET=…",
    ),
]


def real_service() -> Dataflow:
    """The project's own Dataflow."""
    body = json.loads(Path(LAUNCH).read_text())
    return Dataflow(
        PROJECT, REGION, body, dataflow_v1beta3.FlexTemplatesServiceClient(), dataflow_v1beta3.JobsV1Beta3Client()
    )


@pytest.fixture
def service() -> Dataflow:
    """Where the runs take place; the test of this test has another."""
    return real_service()


@pytest.fixture
def cloud_place() -> Place:
    """Where the tables are; the test of this test has another."""
    return Place(PROJECT, BUCKET, json_properties=True)  # the type that PostHog's export recommends


@pytest.fixture
def datasets(tmp_path: Path, cloud_place: Place, service: Dataflow) -> Iterator[dict[str, str]]:
    """Datasets that the job may use, and that are gone afterwards; their tables expire in a day in any case."""
    mine: dict[str, str] = {}
    own = service.body["launchParameter"]["parameters"]["aggregated_dataset"]
    location = cloud_place.client().get_dataset(f"{cloud_place.project}.{own}").location  # BigQuery's default is the US
    try:
        for folder, name in cloud_place.datasets(tmp_path).items():
            made = bigquery.Dataset(f"{cloud_place.project}.{name}")
            made.default_table_expiration_ms, made.location = DAY, location
            made = cloud_place.client().create_dataset(made)
            mine[folder] = name
            role = "WRITER" if folder == "posthog_aggregated" else "READER"
            entry = bigquery.AccessEntry(role, "userByEmail", service.runner)
            made.access_entries = [*made.access_entries, entry]
            cloud_place.client().update_dataset(made, ["access_entries"])
        yield mine
    finally:
        for name in mine.values():
            cloud_place.client().delete_dataset(name, delete_contents=True, not_found_ok=True)


@pytest.mark.usefixtures("datasets")
def test_two_nights_on_dataflow_equal_those_on_a_local_warehouse(
    tmp_path: Path, cloud_place: Place, service: Dataflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a name of its own: it must not keep dev's own job from starting
    job = f"sessions-proof-{datetime.now(UTC):%H%M}-{secrets.token_hex(2)}"
    monkeypatch.setattr(
        builders, "PLACE", cloud_place
    )  # `run` makes the same run on the folder, and compares all tables
    monkeypatch.setattr(builders, "_main", on(service, job, builders._main))
    # a folder that the account of the build may write, and whose files go after some days
    key = key_options(f"gs://{cloud_place.bucket}/source")
    run_two_nights(tmp_path, *key, valid_json=cloud_place.json_properties)


def on(service: Dataflow, job: str, here: Callable[..., int]) -> Callable[..., int]:
    """A main program that launches what is meant for BigQuery, and does the rest here."""

    def main(*options: str) -> int:
        if "--warehouse=bigquery" not in options:
            return here(*options)
        given = dict(option.removeprefix("--").split("=", 1) for option in options)
        parameters = {name: value for name, value in given.items() if name not in ("project", "temp_location")}
        return 0 if service.launch(job, parameters) == "JOB_STATE_DONE" else 1

    return main
