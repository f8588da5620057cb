"""release.sh and launch.sh against a pretended cloud: what goes to production, and launches by hand."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.cloud import (
    JOBS,
    RELEASE,
    Cloud,
    changes,
    release,
    run,
    value,
)
from tests.deploy.dockerfile import ROOT

pytestmark = pytest.mark.slow

IMAGE = "europe-west1-docker.pkg.dev/my-project/sessions/pipeline"


# releases


def test_an_image_is_built_once_and_goes_to_production_by_its_digest(cloud: Cloud) -> None:
    before = {job: cloud.scheduled(job) for job in JOBS}
    push, template, proven, promote = release(cloud, "push", "template", "proven", "promote")
    assert push == [["docker", "tag", "sessions:abc1234", f"{IMAGE}:abc1234"], ["docker", "push", f"{IMAGE}:abc1234"]]
    digest = f"{IMAGE}@sha256:0123"
    assert template[-1][1:5] == [
        "dataflow", "flex-template", "build", "gs://my-project-sessions/templates/dev/abc1234.json"
    ]  # fmt: skip
    assert value(template[-1], "image") == digest
    assert json.loads(Path(value(template[-1], "metadata-file")).read_text())["parameters"]
    assert proven[-1][1:7] == ["artifacts", "docker", "tags", "add", digest, f"{IMAGE}:proven-abc1234"]
    tagged = next(call for call in promote if "add" in call)
    assert tagged[1:7] == ["artifacts", "docker", "tags", "add", digest, f"{IMAGE}:released-abc1234"]
    production = "gs://my-project-sessions/templates/production/abc1234.json"
    built = next(call for call in promote if "flex-template" in call)
    assert (built[4], value(built, "image")) == (production, digest)
    for job in JOBS:
        wanted = before[job]
        wanted["launchParameter"]["containerSpecGcsPath"] = production
        wanted["launchParameter"]["environment"]["sdkContainerImage"] = digest
        assert cloud.scheduled(job) == wanted  # image and template, and nothing else


def test_what_was_not_proven_is_not_released(cloud: Cloud) -> None:
    before = cloud.state
    release(cloud, "push")
    pushed = cloud.state
    assert changes(cloud.calls("release.sh", "promote", fails=True, **RELEASE)) == []
    assert cloud.errors == f"commit abc1234 was not proven on dev: there is no image {IMAGE}:proven-abc1234\n"
    assert cloud.state == pushed != before


def test_a_release_stops_at_its_first_failure(cloud: Cloud) -> None:
    release(cloud, "push", "proven")
    cloud.fail("scheduler jobs update http sessions-dev-nightly")
    calls = cloud.calls("release.sh", "promote", fails=True, **RELEASE)
    assert calls[-1][1:6] == ["scheduler", "jobs", "update", "http", "sessions-dev-nightly"]
    assert "# STOPPED" in cloud.errors
    assert "gcloud scheduler jobs update http sessions-dev-nightly" in cloud.errors
    cloud.fail()
    release(cloud, "promote")
    for job in JOBS:
        assert "/production/abc1234" in cloud.scheduled(job)["launchParameter"]["containerSpecGcsPath"]


def test_an_image_that_cannot_be_kept_is_not_released(cloud: Cloud) -> None:
    release(cloud, "push", "proven")
    cloud.fail("docker tags add")
    calls = cloud.calls("release.sh", "promote", fails=True, **RELEASE)
    assert not [call for call in calls if "scheduler" in call or "flex-template" in call]


@pytest.mark.parametrize("failing", ["flex-template build", "storage objects describe"])
def test_no_job_is_pointed_to_a_template_that_is_not_there(cloud: Cloud, failing: str) -> None:
    release(cloud, "push", "proven", "promote")
    release(cloud, "push", "proven", TAG="new5678")
    before = {job: cloud.scheduled(job) for job in JOBS}
    cloud.fail(failing)
    calls = cloud.calls("release.sh", "promote", fails=True, **RELEASE | {"TAG": "new5678"})
    assert not [call for call in calls if "scheduler" in call]
    assert failing in cloud.errors
    assert {job: cloud.scheduled(job) for job in JOBS} == before


def test_a_job_that_is_missing_leaves_the_others_as_they_are(cloud: Cloud) -> None:
    release(cloud, "push", "proven")
    state = cloud.state
    del state["scheduler jobs/sessions-dev-full-load"]
    (cloud.folder / "state.json").write_text(json.dumps(state))
    calls = cloud.calls("release.sh", "promote", fails=True, **RELEASE)
    assert "no Scheduler job sessions-dev-full-load" in cloud.errors
    assert not [call for call in calls if "scheduler" in call and "update" in call]


@pytest.mark.parametrize(
    ("step", "failing", "after"),
    [("push", "docker tag", "push"), ("template", "flex-template", ""), ("proven", "tags add", "")],
)
def test_every_step_of_a_release_ends_with_what_fails(cloud: Cloud, step: str, failing: str, after: str) -> None:
    release(cloud, "push")
    cloud.fail(failing)
    calls = cloud.calls("release.sh", step, fails=True, **RELEASE)
    assert failing in " ".join(calls[-1])
    assert not [call for call in calls if after and call[1] == after]


def test_an_image_that_was_not_built_is_not_pushed(cloud: Cloud) -> None:
    """An older one may have its tag."""
    cloud.fail("docker build")
    calls = cloud.calls("prove.sh", fails=True, PROJECT="my-project", HOME=str(cloud.folder))
    assert [call[:2] for call in calls] == [["docker", "build"]]
    assert "--platform=linux/amd64" in calls[0]  # that of Dataflow's machines, not of this one


def test_a_rollback_is_the_release_of_an_older_commit(cloud: Cloud) -> None:
    release(cloud, "push", "proven", "promote")
    release(cloud, "push", "proven", "promote", TAG="new5678")
    assert "new5678" in cloud.scheduled("sessions-nightly")["launchParameter"]["containerSpecGcsPath"]
    proven, again = release(cloud, "proven", "promote")
    assert not [call for call in proven + again if "add" in call]  # it has its tags
    assert "abc1234" in cloud.scheduled("sessions-nightly")["launchParameter"]["containerSpecGcsPath"]


@pytest.mark.parametrize("branch", ["feature/x", "dev", "main2", "v1.0"])
@pytest.mark.parametrize("step", ["push", "template", "launch", "proven", "promote"])
def test_other_branches_stop_after_the_tests(tmp_path: Path, branch: str, step: str) -> None:
    cloud = Cloud.make(tmp_path)
    assert cloud.calls("release.sh", step, **RELEASE, BRANCH=branch) == []
    assert "stops after the tests" in cloud.output


def test_a_build_by_hand_passes_on_what_is_set(cloud: Cloud) -> None:
    settings = {"PROJECT": "my-project", "REGION": "us-east1", "BUCKET": "mine", "TAG": "abc1234"}
    (call,) = cloud.calls("build.sh", **settings)
    assert call[1:3] == ["builds", "submit"]
    assert value(call, "region") == "us-east1"
    assert value(call, "gcs-source-staging-dir") == "gs://mine/source"
    assert value(call, "substitutions") == "BRANCH_NAME=main,SHORT_SHA=abc1234,_REGION=us-east1,_BUCKET=mine"
    assert value(call, "service-account").endswith("/release-builder@my-project.iam.gserviceaccount.com")


def test_a_build_by_hand_runs_where_those_of_triggers_do(cloud: Cloud) -> None:
    (call,) = cloud.calls("build.sh", **RELEASE, REGION="europe-west3", BUILD_REGION="europe-west1")
    assert value(call, "region") == "europe-west1"
    assert ",_REGION=europe-west3," in value(call, "substitutions")


def test_the_dry_run_of_a_release_prints_its_commands() -> None:
    told = run("release.sh", "--dry-run", "push", PROJECT="p", TAG="abc1234")
    assert told.splitlines()[1] == "docker push europe-west1-docker.pkg.dev/p/sessions/pipeline:abc1234"
    assert run("release.sh", "--dry-run", "promote", PROJECT="p", TAG="abc1234").count("scheduler jobs update") == 4


# launches by hand


def test_a_launch_by_hand_is_the_nightly_one_with_other_parameters(cloud: Cloud) -> None:
    given = {"start_date": "2026-01-05", "end_date": "2026-01-07", "excluded_users": "gs://bucket/ids.txt"}
    calls = cloud.calls("launch.sh", *(f"{name}={text}" for name, text in given.items()), PROJECT="my-project")
    assert calls[-1][0] == "curl"
    assert calls[-1][-1].endswith("/locations/europe-west1/flexTemplates:launch")
    assert "secret-token" not in " ".join(map(" ".join, calls))
    wanted = cloud.scheduled("sessions-nightly")
    wanted["launchParameter"]["parameters"] |= given
    assert json.loads((cloud.folder / "launched.json").read_text()) == wanted


def test_a_full_load_takes_the_body_of_the_job_that_may_use_more_workers(cloud: Cloud) -> None:
    cloud.calls("launch.sh", "full_load=true", PROJECT="my-project")
    assert json.loads((cloud.folder / "launched.json").read_text()) == cloud.scheduled("sessions-full-load")


def test_a_check_asks_dataflow_to_validate_and_starts_nothing(cloud: Cloud) -> None:
    cloud.calls("launch.sh", "--check", "limit=1000", PROJECT="my-project")
    sent: dict[str, Any] = json.loads((cloud.folder / "launched.json").read_text())
    assert sent.pop("validateOnly") is True
    assert sent["launchParameter"]["parameters"]["limit"] == "1000"


def test_a_launch_without_a_job_says_so(tmp_path: Path) -> None:
    cloud = Cloud.make(tmp_path)
    assert not [call for call in cloud.calls("launch.sh", fails=True, PROJECT="my-project") if call[0] == "curl"]
    line = "no Scheduler job sessions-nightly in europe-west1: run deploy/setup.sh first"
    assert cloud.errors == f"{line} (gcloud: NOT_FOUND: scheduler jobs/sessions-nightly)\n"


@pytest.mark.parametrize("bad", ["start_date", "x=$(id)", 'x="', "X=1", "x=a|b", "--chek"])
def test_a_launch_by_hand_refuses_what_is_no_parameter(bad: str) -> None:
    script = ["bash", ROOT / "deploy/launch.sh", bad]
    environment = {"PROJECT": "my-project", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(script, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr.splitlines()[0][:23]) == (2, "usage: deploy/launch.sh")
