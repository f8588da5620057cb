"""`python -m pipeline --runner DataflowRunner`: what reaches Dataflow, and what is said when it does not take it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google.auth
import pytest
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2 as protos
from google.auth.credentials import AnonymousCredentials

from pipeline import launcher, tables
from pipeline.warehouse.bigquery.client import TableInfo
from pipeline.warehouse.bigquery.schema import Field, fields_of
from pipeline.warehouse.bigquery.sql import name_of
from pipeline.warehouse.bigquery.warehouse import BigQueryWarehouse
from tests.builders import METRICS
from tests.deploy.google_fake import FakeGoogle, serving

IMAGE = "europe-west1-docker.pkg.dev/my-project/sessions/production:abc1234"
RUNNER = "etl-runner@my-project.iam.gserviceaccount.com"
DATASETS = {"posthog": "posthog_etl", "firebase": "firebase_etl_prod"}
JOBS = "POST /v1b3/projects/my-project/locations/europe-west1/jobs"
OPERATE = (Path(__file__).parents[2] / "docs/operate.md").read_text()


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGoogle]:
    """Dataflow and Cloud Storage, without credentials."""
    monkeypatch.setattr(google.auth, "default", lambda *_, **__: (AnonymousCredentials(), "my-project"))
    with serving() as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        yield fake


class FakeClient:
    """What `BigQueryClient` would find in a project with exports and without results; it notes what is changed."""

    def __init__(self, timeline: list[str]) -> None:
        self._timeline = timeline
        inputs = (tables.EVENTS, *tables.OPTIONAL_INPUTS)
        self._tables = {f"{DATASETS[table.source]}.{table.name}": tuple(fields_of(table)) for table in inputs}

    def dataset_location(self, dataset: str) -> str:
        return "EU"

    def table(self, dataset: str, name: str) -> TableInfo | None:
        fields = self._tables.get(f"{dataset}.{name}")
        return None if fields is None else TableInfo(fields, 1_000_000, 10**9)

    def create_table(self, dataset: str, name: str, fields: list[Field], **_: Any) -> None:
        self._timeline.append(f"create {dataset}.{name}")
        self._tables[f"{dataset}.{name}"] = tuple(fields)

    def delete_table(self, dataset: str, name: str) -> None:
        self._timeline.append(f"delete {dataset}.{name}")
        del self._tables[f"{dataset}.{name}"]

    def run(self, query: str) -> None:
        self._timeline.append("make fence")

    def rows(self, query: str) -> list[dict[str, Any]]:
        return []

    def bytes_of(self, query: str) -> int:
        return 10**9

    def name(self, dataset: str, table: str) -> str:
        return name_of("my-project", dataset, table)


@pytest.fixture
def steps(cloud: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is changed in BigQuery, in one list with what is asked of Dataflow and Cloud Storage."""
    client = FakeClient(cloud.requests)
    monkeypatch.setattr(BigQueryWarehouse, "_client", property(lambda _: client, None, lambda _: None))
    return cloud.requests


def submit(cloud: FakeGoogle, *options: str) -> int:
    """Run the command of the README with these options more."""
    given = [
        "--runner=DataflowRunner",
        "--warehouse=bigquery",
        "--project=my-project",
        "--region=europe-west1",
        "--job_name=sessions",
        "--temp_location=gs://my-project-sessions/temp",
        "--staging_location=gs://my-project-sessions/staging",
        f"--sdk_container_image={IMAGE}",
        f"--service_account_email={RUNNER}",
        "--machine_type=e2-standard-2",
        "--max_num_workers=10",
        "--subnetwork=regions/europe-west1/subnetworks/default",
        "--no_use_public_ips",
        f"--dataflow_endpoint={cloud.url}",
    ]
    return launcher.main([*given, *options])


def graph(cloud: FakeGoogle) -> protos.Pipeline:
    """The graph that was staged for the job."""
    (name,) = [name for name in cloud.objects if name.endswith("/pipeline.pb")]
    return protos.Pipeline.FromString(cloud.objects[name])


@pytest.mark.usefixtures("steps")
def test_a_job_carries_its_options_and_its_environment(cloud: FakeGoogle) -> None:
    assert submit(cloud, "--full_load", "--max_rejected_ratio=0.2") == 0
    (job,) = cloud.jobs
    assert job["name"] == "sessions"
    environment = job["environment"]
    assert environment["serviceAccountEmail"] == RUNNER
    assert environment["tempStoragePrefix"].startswith("storage.googleapis.com/my-project-sessions/temp/sessions.")
    (pool,) = environment["workerPools"]
    assert pool["workerHarnessContainerImage"] == IMAGE
    assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == [IMAGE]
    assert (pool["machineType"], pool["autoscalingSettings"]["maxNumWorkers"]) == ("e2-standard-2", 10)
    assert pool["subnetwork"] == "regions/europe-west1/subnetworks/default"
    assert pool["ipConfiguration"] in (2, "WORKER_IP_PRIVATE")
    options = environment["sdkPipelineOptions"]["options"]
    assert (options["full_load"], options["max_rejected_ratio"]) == ("true", "0.2")
    assert options["save_main_session"] is False
    assert options["pipelineUrl"].startswith("gs://my-project-sessions/staging/sessions.")


@pytest.mark.usefixtures("steps")
def test_the_workers_install_nothing(cloud: FakeGoogle) -> None:
    assert submit(cloud) == 0
    staged = {name.rsplit("/", 1)[-1] for name in cloud.objects}
    assert staged == {"pipeline.pb", "submission_environment_dependencies.txt"}
    for environment in graph(cloud).components.environments.values():
        if environment.urn == common_urns.environments.DOCKER.urn:
            assert protos.DockerPayload.FromString(environment.payload).container_image == IMAGE


@pytest.mark.usefixtures("steps")
def test_the_console_shows_the_steps_that_the_docs_name(cloud: FakeGoogle) -> None:
    assert submit(cloud) == 0
    names = {transform.unique_name for transform in graph(cloud).components.transforms.values()}
    shown = {name.split("/")[0] for name in names if name}
    table = OPERATE.split("## The graph in the console")[1].split("\n## ")[0]
    documented = {
        name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(.+?)`", row)
    }
    assert documented == shown


def test_nothing_follows_the_submission(cloud: FakeGoogle, steps: list[str], capfd: Any) -> None:
    assert submit(cloud) == 0
    assert [step for step in steps[: steps.index(JOBS)] if "_staging_sessions_" in step]
    assert steps[-1] == JOBS  # no look at a job that has not run, no publishing, no clean-up
    out, err = capfd.readouterr()
    console = "https://console.cloud.google.com/dataflow/jobs/europe-west1/2026-01-01_00_00_00-1?project=my-project"
    assert out.splitlines()[-1] == f"Submitted sessions: {console}"
    assert "Done in" not in out
    assert err == ""


@pytest.mark.usefixtures("steps")
def test_beam_says_nothing_of_its_own(cloud: FakeGoogle, caplog: pytest.LogCaptureFixture) -> None:
    cloud.refuse = (409, "There is already an active job named sessions.")
    assert submit(cloud) == 1
    assert caplog.records == []


def test_a_template_launcher_leaves_a_job_for_dataflow(cloud: FakeGoogle, steps: list[str], capfd: Any) -> None:
    job_object = "gs://my-project-sessions/staging/template_launches/1/job_object"
    assert submit(cloud, f"--template_location={job_object}") == 0
    assert job_object in cloud.objects
    assert cloud.jobs == []
    assert not [step for step in steps if step.startswith("delete")]
    assert "handed to Dataflow" in capfd.readouterr().out


@pytest.mark.parametrize("ignore_duplicates", [False, True])
def test_a_second_launch_under_one_name_says_that_it_is_running(
    cloud: FakeGoogle, steps: list[str], capfd: Any, ignore_duplicates: bool
) -> None:
    cloud.ignore_duplicates = ignore_duplicates
    assert submit(cloud) == 0
    capfd.readouterr()
    assert submit(cloud) == 1
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("pipeline: a Dataflow job named sessions is already running in europe-west1")
    assert "--job_name" in err
    assert len(cloud.jobs) == 1
    after = steps[len(steps) - steps[::-1].index(JOBS) :]
    assert len(after) == len(tables.outputs(METRICS))  # its own staging tables are removed again, and nothing else
    assert all(step.startswith("delete posthog_aggregated._staging_") for step in after)


@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize(
    ("status", "message", "told"),
    [
        (403, "Current user cannot act as service account etl-runner.", "etl-runner.; docs/deploy.md lists the roles"),
        (400, "The workflow could not be created.\nCauses: many", "(400): The workflow could not be created."),
        (404, "Region nowhere is not there", "(404): Region nowhere"),
    ],
)
def test_what_dataflow_answers_is_one_line(cloud: FakeGoogle, capfd: Any, status: int, message: str, told: str) -> None:
    cloud.refuse = (status, message)
    assert submit(cloud) == 1
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert told in err
    assert len([request for request in cloud.requests if "/v1b3/" in request]) == 1  # no retry of what is refused
