"""The proof on Dataflow (`make test-dataflow`), driven here: BigQuery is emulated, Dataflow pretended over HTTP.

What is launched is taken by Google's own client and types, run in this process when the waiting asks for it, and its
state told as Dataflow tells it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from google.api_core.exceptions import BadRequest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud import dataflow_v1beta3 as dataflow
from google.cloud.dataflow_v1beta3.services.flex_templates_service.transports.rest import (
    FlexTemplatesServiceRestTransport,
)
from google.cloud.dataflow_v1beta3.services.jobs_v1_beta3.transports.rest import JobsV1Beta3RestTransport

from deploy import template
from pipeline.command_line import parse
from pipeline.options import settings_of
from tests import builders
from tests.bigquery.emulators import BUCKET, PROJECT, Emulators
from tests.builders import published
from tests.cloud.dataflow import Dataflow
from tests.cloud.test_dataflow import datasets, test_two_nights_on_dataflow_equal_those_on_a_local_warehouse
from tests.deploy.cloud import SETTINGS, Cloud
from tests.deploy.google_fake import FakeGoogle, serving
from transforms.metrics import file

__all__ = ["datasets", "test_two_nights_on_dataflow_equal_those_on_a_local_warehouse"]

pytestmark = [pytest.mark.slow, pytest.mark.emulator]
_HERE = builders._main
PLACE = f"/v1b3/projects/{PROJECT}/locations/europe-west1"


class FakeDataflow(FakeGoogle):
    """The launches that came, and a job for each."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: list[dict[str, Any]] = []
        self.states: list[str] = []
        self.waiting: list[dict[str, Any]] = []

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Launch, tell a state, or cancel."""
        path = path.partition("?")[0]
        self.requests.append(f"{method} {path}")
        if (method, path) == ("POST", f"{PLACE}/flexTemplates:launch"):
            launch = json.loads(body)["launchParameter"]
            self.launches.append(launch)
            self.waiting.append(launch)
            self.states.append("JOB_STATE_QUEUED")
            number = len(self.states) - 1
            return 200, {"job": {"id": str(number), "name": launch["jobName"], "projectId": PROJECT}}, {}
        number = int(path.removeprefix(f"{PLACE}/jobs/"))
        if method == "PUT":
            self.states[number] = dataflow.JobState(json.loads(body)["requestedState"]).name
        return 200, {"id": str(number), "currentState": self.states[number]}, {}

    def work(self, _: float) -> None:
        """Run what waits, as its parameters say; a launch whose parameters the template refuses fails."""
        while self.waiting:
            launch = self.waiting.pop(0)
            options = [f"--{name}={value}" for name, value in launch["parameters"].items()]
            environment = launch["environment"]
            code = _HERE(*options, f"--project={PROJECT}", f"--temp_location={environment['tempLocation']}")
            self.states[-1] = "JOB_STATE_DONE" if code == 0 else "JOB_STATE_FAILED"


@pytest.fixture
def google() -> Iterator[FakeDataflow]:
    with serving(FakeDataflow()) as fake:
        assert isinstance(fake, FakeDataflow)
        yield fake


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What release.sh writes for the proof."""
    folder = tmp_path_factory.mktemp("cloud")
    cloud = Cloud.make(folder)
    settings = SETTINGS | {"PROJECT": PROJECT, "BUCKET": BUCKET}
    cloud.calls("setup.sh", **settings)
    release = {"PROJECT": PROJECT, "BUCKET": BUCKET, "TAG": "abc1234", "LAUNCH": str(folder / "launch.json")}
    for step in ("push", "template", "launch"):
        cloud.calls("release.sh", step, **release)
    found: dict[str, Any] = json.loads((folder / "launch.json").read_text())
    return found


@pytest.fixture
def service(google: FakeDataflow, body: dict[str, Any]) -> Dataflow:
    where: dict[str, Any] = {
        "credentials": AnonymousCredentials(),
        "host": google.url.removeprefix("http://"),
        "url_scheme": "http",
    }
    return Dataflow(
        PROJECT,
        "europe-west1",
        body,
        dataflow.FlexTemplatesServiceClient(transport=FlexTemplatesServiceRestTransport(**where)),
        dataflow.JobsV1Beta3Client(transport=JobsV1Beta3RestTransport(**where)),
        sleep=google.work,
    )


@pytest.fixture
def cloud_place(emulators: Emulators, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Emulators:
    """`json_properties` as in the cloud, and what BigQuery does with a column of that type; dev's own dataset."""
    load, load_file = Emulators._load, bigquery.Client.load_table_from_file

    def load_values(place: Emulators, client: bigquery.Client, target: str, parts: list[pa.Table]) -> None:
        load(place, client, target, [_of_values(part) for part in parts])

    def load_known_types(client: bigquery.Client, *args: Any, job_config: bigquery.LoadJobConfig, **kwargs: Any) -> Any:
        if any(column.field_type == "JSON" for column in job_config.schema):
            raise BadRequest("Unsupported field type: JSON")
        return load_file(client, *args, job_config=job_config, **kwargs)

    monkeypatch.setattr(emulators, "json_properties", True)
    monkeypatch.setattr(Emulators, "_load", load_values)
    monkeypatch.setattr(bigquery.Client, "load_table_from_file", load_known_types)
    own = bigquery.Dataset(f"{PROJECT}.{body['launchParameter']['parameters']['aggregated_dataset']}")
    own.location = "us-central1"  # as the emulated bucket
    emulators.client().create_dataset(own, exists_ok=True)
    return emulators


def _of_values(table: pa.Table) -> pa.Table:
    """The same with the values of `properties`: no blanks, and members in another order."""
    if "properties" not in table.schema.names:
        return table
    documents = [None if one is None else json.loads(one) for one in table["properties"].to_pylist()]
    texts = [one if one is None else json.dumps(_reversed(one), separators=(",", ":")) for one in documents]
    return table.set_column(table.schema.get_field_index("properties"), "properties", pa.array(texts, pa.string()))


def _reversed(value: Any) -> Any:
    return dict(reversed(value.items())) if isinstance(value, dict) else value


@pytest.mark.usefixtures("datasets")
def test_metrics_that_hash_are_proven_with_a_key_that_nobody_has(
    google: FakeDataflow, cloud_place: Emulators, service: Dataflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = tmp_path / "metrics.toml"
    metrics.write_text(f"{file.PACKAGED.read_text()}\n[privacy]\nidentity = 'hash'\n")
    monkeypatch.setattr(file, "PACKAGED", metrics)
    test_two_nights_on_dataflow_equal_those_on_a_local_warehouse(tmp_path, cloud_place, service, monkeypatch)
    (key,) = {launch["parameters"]["privacy_key"] for launch in google.launches}
    assert key.startswith(f"gs://{BUCKET}/source/proof-key-")
    assert published(tmp_path, "runs").column("privacy_key_id").null_count == 0


def test_the_datasets_of_the_proof_are_where_those_of_dev_are(datasets: dict[str, str], cloud_place: Emulators) -> None:
    places = {name: cloud_place.client().get_dataset(name).location for name in datasets.values()}
    assert len(places) == 4
    assert set(places.values()) == {"us-central1"}


def test_it_launches_the_body_of_the_release_and_nothing_of_its_parameters(
    google: FakeDataflow, service: Dataflow, body: dict[str, Any]
) -> None:
    parameters = {"warehouse": "bigquery", "posthog_dataset": "a", "aggregated_dataset": "b"}
    service.sleep = lambda _: google.states.__setitem__(0, "JOB_STATE_DONE")
    assert service.launch("sessions-proof-1", parameters) == "JOB_STATE_DONE"
    (sent,) = google.launches
    assert sent["parameters"] == parameters
    assert sent["jobName"] == "sessions-proof-1"
    environment = sent["environment"]
    assert environment["serviceAccountEmail"].startswith("etl-runner-dev@")
    assert environment["sdkContainerImage"].endswith("/sessions/pipeline@sha256:0123")
    assert sent["containerSpecGcsPath"] == f"gs://{BUCKET}/templates/dev/abc1234.json"
    assert environment["additionalExperiments"] == ["disable_always_on_exception_sampling"]
    assert body["launchParameter"]["jobName"] == "sessions-dev"  # the body itself is as it was
    allowed = {parameter["name"]: parameter for parameter in template.metadata()["parameters"]}
    assert set(sent["parameters"]) <= set(allowed)
    options = [f"--{name}={value}" for name, value in parameters.items()]
    assert settings_of(parse([*options, "--project=my-project", "--temp_location=gs://bucket/temp"]))


@pytest.mark.parametrize("state", ["JOB_STATE_FAILED", "JOB_STATE_CANCELLED"])
def test_a_job_that_fails_is_told(google: FakeDataflow, service: Dataflow, state: str) -> None:
    service.sleep = lambda _: google.states.__setitem__(0, state)
    assert service.launch("sessions-proof-1", {"warehouse": "bigquery"}) == state


def test_a_job_that_does_not_end_is_cancelled(google: FakeDataflow, service: Dataflow) -> None:
    service.sleep = lambda _: None
    with pytest.raises(TimeoutError, match=r"sessions-proof-1 .* has not ended after 60 seconds; it is cancelled"):
        service.launch("sessions-proof-1", {"warehouse": "bigquery"}, timeout=60)
    assert google.states == ["JOB_STATE_CANCELLED"]
    assert google.requests[-1] == f"PUT {PLACE}/jobs/0"
