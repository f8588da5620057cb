"""`python -m pipeline --runner DataflowRunner`: what reaches Dataflow, and what is said when it does not take it."""

from __future__ import annotations

import base64
import bz2
import contextlib
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apache_beam as beam
import google.auth
import pytest
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2 as protos
from google.auth.credentials import AnonymousCredentials

from pipeline import launcher, tables
from pipeline.warehouse.bigquery import source
from pipeline.warehouse.bigquery.client import TableInfo
from pipeline.warehouse.bigquery.schema import Field, fields_of
from pipeline.warehouse.bigquery.sql import name_of
from pipeline.warehouse.bigquery.warehouse import BigQueryWarehouse
from tests.builders import METRICS
from tests.deploy.google_fake import FakeGoogle, serving
from transforms.metrics.file import PACKAGED

pytestmark = pytest.mark.slow

IMAGE = "europe-west1-docker.pkg.dev/my-project/sessions/production:abc1234"
RUNNER = "etl-runner@my-project.iam.gserviceaccount.com"
DATASETS = {"posthog": "posthog_etl", "firebase": "firebase_etl_prod", "privacy": "privacy"}
JOBS = "POST /v1b3/projects/my-project/locations/europe-west1/jobs"
EXCLUDED = [f"+1201555{number:04}" for number in range(100, 200)]
OPERATE = (Path(__file__).parents[2] / "docs/operate.md").read_text()


class FakeClient:
    """What `BigQueryClient` would find in a project with exports and without results; it notes what is changed."""

    def __init__(self, timeline: list[str]) -> None:
        self._timeline = timeline
        inputs = tables.INPUTS
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

    def number(self, query: str) -> int:
        return 0

    def rows(self, query: str) -> list[dict[str, Any]]:
        return []

    def bytes_of(self, query: str) -> int:
        return 10**9

    def name(self, dataset: str, table: str) -> str:
        return name_of("my-project", dataset, table)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGoogle]:
    """Dataflow, Cloud Storage and BigQuery; what is asked of them is in one list, `requests`."""
    with pretended(monkeypatch) as fake:
        yield fake


@pytest.fixture
def one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph of one step: what is said and tidied up when a job is refused does not hang on what it would do."""
    monkeypatch.setattr(launcher, "build", lambda pipeline, *_: pipeline | beam.Create([None]))


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGoogle]:
    """The same after one submission, which several tests look at."""
    excluded = tmp_path_factory.mktemp("job") / "excluded.txt"
    excluded.write_text("\n".join(EXCLUDED))
    with pytest.MonkeyPatch.context() as patch, pretended(patch) as fake:
        assert submit(fake, "--full_load", "--max_rejected_ratio=0.2", f"--excluded_users={excluded}") == 0
        yield fake


@contextmanager
def pretended(patch: pytest.MonkeyPatch) -> Iterator[FakeGoogle]:
    """Google without credentials and without a network."""
    patch.setattr(google.auth, "default", lambda *_, **__: (AnonymousCredentials(), "my-project"))
    with serving() as fake:
        client = FakeClient(fake.requests)
        patch.setattr(BigQueryWarehouse, "_client", property(lambda _: client, None, lambda _: None))
        patch.setattr(source, "check_streams", lambda _: fake.requests.append("open a read session"))
        patch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        yield fake


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


def test_a_job_carries_its_options_and_its_environment(job: FakeGoogle) -> None:
    (sent,) = job.jobs
    assert sent["name"] == "sessions"
    environment = sent["environment"]
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
    assert (options["warehouse"], options["project"]) == ("bigquery", "my-project")
    assert options["save_main_session"] is False
    assert options["pipelineUrl"].startswith("gs://my-project-sessions/staging/sessions.")


def test_excluded_users_travel_in_a_file_and_not_in_the_graph(job: FakeGoogle) -> None:
    found = {name: json.loads(content) for name, content in job.objects.items() if "/temp/excluded/" in name}
    assert list(found.values()) == [EXCLUDED]
    pickled = _sent_but(job, found)
    assert b"+12015550150" not in pickled
    assert next(iter(found)).encode() in pickled  # its name is what they carry


def _sent_but(cloud: FakeGoogle, files: Mapping[str, object]) -> bytes:
    """All that a submission has sent, as it is and unpacked, but some files."""
    sent = [content for name, content in cloud.objects.items() if name not in files]
    sent.append(json.dumps(cloud.jobs).encode())
    return b"".join(sent) + b"".join(_unpacked(sent))


def _unpacked(sent: list[bytes]) -> Iterator[bytes]:
    """What Beam packs into a graph: pickled, compressed, in base64."""
    for content in sent:
        for text in re.findall(rb"[A-Za-z0-9+/]{40,}={0,2}", content):
            with contextlib.suppress(ValueError, bz2.error if hasattr(bz2, "error") else OSError, zlib.error):
                plain = base64.b64decode(text)
                yield plain
                yield zlib.decompress(plain) if plain[:1] == b"x" else bz2.decompress(plain)


def test_the_workers_install_nothing(job: FakeGoogle) -> None:
    staged = {name.rsplit("/", 1)[-1] for name in job.objects if "/temp/excluded/" not in name}
    assert staged == {"pipeline.pb", "submission_environment_dependencies.txt"}
    for environment in graph(job).components.environments.values():
        if environment.urn == common_urns.environments.DOCKER.urn:
            assert protos.DockerPayload.FromString(environment.payload).container_image == IMAGE


def test_the_graph_reads_stages_and_publishes(job: FakeGoogle) -> None:
    names = {transform.unique_name for transform in graph(job).components.transforms.values()}
    for part in ("Read events/Read rows", "Aggregate sessions", "Aggregate persons", "Stage sessions/Load", "Publish"):
        assert part in names


def test_the_console_shows_the_steps_that_the_docs_name(job: FakeGoogle) -> None:
    staged = graph(job)
    steps = [step for key, step in staged.components.transforms.items() if key not in staged.root_transform_ids]
    shown = {step.unique_name.split("/")[0] for step in steps}
    table = OPERATE.split("## The graph in the console")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`(.+?)`", cell)} == shown


def test_nothing_follows_the_submission(job: FakeGoogle) -> None:
    steps = job.requests
    assert steps.index("open a read session") < steps.index(JOBS)
    assert [step for step in steps[: steps.index(JOBS)] if "create posthog_aggregated._staging_sessions_" in step]
    assert steps[-1] == JOBS  # no look at a job that has not run, no publishing, no clean-up


def test_a_template_launcher_leaves_a_job_for_dataflow_and_the_key_of_hashes_in_a_file(
    cloud: FakeGoogle, tmp_path: Path, capfd: Any, caplog: pytest.LogCaptureFixture
) -> None:
    job_object = "gs://my-project-sessions/staging/template_launches/1/job_object"
    key, metrics = b"0123456789abcdef" * 2, tmp_path / "metrics.toml"
    (tmp_path / "key").write_bytes(key)
    metrics.write_text(f"{PACKAGED.read_text()}[privacy]\nidentity = 'hash'\n")
    hashed = f"--privacy_key={tmp_path / 'key'}", f"--metrics_file={metrics}"
    assert submit(cloud, f"--template_location={job_object}", *hashed) == 0
    assert job_object in cloud.objects
    assert cloud.jobs == []
    assert not [step for step in cloud.requests if step.startswith("delete")]
    out, err = capfd.readouterr()
    assert out.splitlines()[-1].startswith("Handed sessions to Dataflow, which starts it")
    assert "Done in" not in out
    assert (err, caplog.records) == ("", [])
    found = {name: content for name, content in cloud.objects.items() if "/temp/key/" in name}
    assert list(found.values()) == [key]
    pickled = _sent_but(cloud, found)
    assert key[:16] not in pickled
    assert next(iter(found)).encode() in pickled


@pytest.mark.usefixtures("one_step")
@pytest.mark.parametrize("ignore_duplicates", [False, True])
def test_a_second_launch_under_one_name_says_that_it_is_running(
    cloud: FakeGoogle, capfd: Any, caplog: pytest.LogCaptureFixture, ignore_duplicates: bool
) -> None:
    cloud.active.add("sessions")
    cloud.ignore_duplicates = ignore_duplicates
    assert submit(cloud) == 1
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("pipeline: a Dataflow job named sessions is at work in europe-west1")
    assert caplog.records == []  # Beam's own words would come between
    assert cloud.jobs == []
    after = cloud.requests[len(cloud.requests) - cloud.requests[::-1].index(JOBS) :]
    assert len(after) == len(tables.outputs(METRICS))  # its own staging tables are removed again, and nothing else
    assert all(step.startswith("delete posthog_aggregated._staging_") for step in after)


@pytest.mark.usefixtures("one_step")
def test_what_dataflow_answers_is_one_line_and_not_asked_again(cloud: FakeGoogle, capfd: Any) -> None:
    cloud.refuse = (403, "Current user cannot act as service account etl-runner.\nCauses: many")
    assert submit(cloud) == 1
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert "grant roles/dataflow.developer" in err
    assert cloud.requests.count(JOBS) == 1
