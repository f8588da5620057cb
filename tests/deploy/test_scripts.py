"""deploy/*.sh against a pretended cloud: what a new project gets, that a second run changes nothing, the releases."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.cloud import HAS_GCLOUD, NO_GCLOUD, SETTINGS, Cloud, commands_in, complaints, run
from tests.deploy.dockerfile import ROOT

SCRIPTS = sorted((ROOT / "deploy").glob("*.sh"))
#: Everything that a role lets its holder do, and why nothing less would do. docs/deploy.md says the same.
ROLES = {
    ("etl-runner", "roles/dataflow.worker"),
    ("etl-runner", "roles/bigquery.jobUser"),
    ("etl-runner", "roles/bigquery.readSessionUser"),
    ("etl-runner", "roles/storage.objectUser"),
    ("etl-runner", "roles/artifactregistry.reader"),
    ("etl-runner", "roles/secretmanager.secretAccessor"),
    ("scheduler-invoker", "roles/dataflow.developer"),
    ("scheduler-invoker", "roles/storage.objectViewer"),
    ("scheduler-invoker", "roles/iam.serviceAccountUser"),
    ("release-builder", "roles/logging.logWriter"),
    ("release-builder", "roles/cloudscheduler.admin"),
    ("release-builder", "roles/artifactregistry.writer"),
    ("release-builder", "roles/storage.objectUser"),
    ("release-builder", "roles/iam.serviceAccountUser"),
}
MAKES = {"create", "mk", "add"}


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud.make(tmp_path)


def value(call: list[str], flag: str) -> str:
    """The value of a flag of a command."""
    return next(word.partition("=")[2] for word in call if word.startswith(f"--{flag}="))


def made(calls: list[list[str]]) -> list[list[str]]:
    """The commands that make something which was not there."""
    return [call for call in calls if MAKES & {word for word in call[1:6] if not word.startswith("-")}]


def test_a_new_project_gets_everything(cloud: Cloud) -> None:
    calls = made(cloud.calls("setup.sh", **SETTINGS))
    kinds = [" ".join(word for word in call[1:6] if not word.startswith(("-", "gs:"))) for call in calls]
    for kind, number in {
        "iam service-accounts create": 3,
        "storage buckets create": 1,
        "artifacts repositories create sessions": 1,
        "secrets create excluded-users": 1,
        "secrets versions add excluded-users": 1,
        "mk": 3,
        "builds triggers create github": 1,
        "scheduler jobs create http": 4,
        "beta monitoring channels create": 1,
        "alpha monitoring policies create": 4,
    }.items():
        assert sum(found.startswith(kind) for found in kinds) == number, kind


def test_a_second_run_makes_nothing(cloud: Cloud) -> None:
    first = cloud.calls("setup.sh", **SETTINGS)
    cloud.fill()
    second = cloud.calls("setup.sh", **SETTINGS)
    assert made(first)
    assert made(second) == []
    assert sum("update" in call for call in second) >= 3 + 1  # alerts and lifecycle follow the files


def test_every_command_names_the_project(cloud: Cloud) -> None:
    for call in cloud.calls("setup.sh", **SETTINGS):
        named = {"--project=my-project", "--project_id=my-project"} & set(call)
        assert named or call[1:4] == ["projects", "add-iam-policy-binding", "my-project"], call


def test_accounts_have_these_roles_and_no_others(cloud: Cloud) -> None:
    calls = cloud.calls("setup.sh", **SETTINGS)
    granted = {
        (value(call, "member").removeprefix("serviceAccount:").partition("@")[0], value(call, "role"))
        for call in calls
        if "add-iam-policy-binding" in call
    }
    assert granted == ROLES
    datasets = {call[-1] for call in calls if call[0] == "bq" and "query" in call}
    assert len(datasets) == 4
    for grant in datasets:
        assert re.fullmatch(
            r"GRANT `roles/bigquery.(dataEditor` ON SCHEMA `my-project.posthog_aggregated(_dev)?|"
            r"dataViewer` ON SCHEMA `my-project.(posthog_etl|firebase_etl_prod))` "
            r"TO 'serviceAccount:etl-runner@my-project.iam.gserviceaccount.com'",
            grant,
        )


def test_only_the_workers_reach_their_temporary_files(cloud: Cloud) -> None:
    calls = cloud.calls("setup.sh", **SETTINGS)
    conditions = {
        value(call, "member").partition("@")[0].partition(":")[2]: value(call, "condition")
        for call in calls
        if call[1:4] == ["storage", "buckets", "add-iam-policy-binding"]
    }
    assert conditions["etl-runner"] == "None"
    prefix = "resource.name.startsWith('projects/_/buckets/my-project-sessions/objects/"
    assert conditions["scheduler-invoker"] == f"title=only-templates,expression={prefix}templates/')"
    assert conditions["release-builder"].count("startsWith") == 2


def test_the_schedule_is_nightly_in_utc_and_made_paused(cloud: Cloud) -> None:
    calls = cloud.calls("setup.sh", **SETTINGS)
    jobs = {call[5]: call for call in calls if call[1:5] == ["scheduler", "jobs", "create", "http"]}
    paused = [call[4] for call in calls if call[1:4] == ["scheduler", "jobs", "pause"]]
    assert sorted(jobs) == sorted(paused)
    assert set(jobs) == {"sessions-nightly", "sessions-full-load", "sessions-dev-nightly", "sessions-dev-full-load"}
    for job in jobs.values():
        assert value(job, "schedule") == "0 2 * * *"
        assert value(job, "time-zone") == "Etc/UTC"
        assert value(job, "oauth-service-account-email").startswith("scheduler-invoker@")
        assert int(value(job, "max-retry-attempts")) > 0
        uri = "https://dataflow.googleapis.com/v1b3/projects/my-project/locations/europe-west1/flexTemplates:launch"
        assert value(job, "uri") == uri


def test_a_dry_run_prints_every_command_and_runs_none(cloud: Cloud) -> None:
    really = cloud.calls("setup.sh", **SETTINGS)
    assert cloud.calls("setup.sh", "--dry-run", **SETTINGS) == []
    told = commands_in(cloud.output)
    temporary = re.compile(r"=/\S*/tmp\.\w+/|=/tmp/\S*?/(?=\w+\.json$)")

    def comparable(calls: list[list[str]]) -> list[list[str]]:
        return [[temporary.sub("=", word) for word in call] for call in calls]

    assert comparable(told) == comparable(really)


@pytest.mark.parametrize(
    ("branch", "dataset", "job", "package"),
    [
        ("main", "posthog_aggregated", "sessions", "production"),
        ("dev", "posthog_aggregated_dev", "sessions-dev", "dev"),
    ],
)
def test_a_release_goes_where_its_branch_belongs(
    cloud: Cloud, branch: str, dataset: str, job: str, package: str
) -> None:
    settings = {"PROJECT": "my-project", "BRANCH": branch, "TAG": "abc1234"}
    image = f"europe-west1-docker.pkg.dev/my-project/sessions/{package}:abc1234"
    assert cloud.calls("release.sh", "push", **settings) == [
        ["docker", "tag", "sessions:abc1234", image],
        ["docker", "push", image],
    ]
    (built,) = cloud.calls("release.sh", "template", **settings)
    template = f"gs://my-project-sessions/templates/{package}/abc1234.json"
    assert built[1:5] == ["dataflow", "flex-template", "build", template]
    assert value(built, "image") == image
    assert json.loads(Path(value(built, "metadata-file")).read_text())["parameters"]
    calls = cloud.calls("release.sh", "schedule", **settings)
    assert [call[1:6] for call in calls] == [
        ["scheduler", "jobs", "update", "http", f"{job}-{kind}"] for kind in ("nightly", "full-load")
    ]
    for number in range(2):
        launch = json.loads(cloud.body(calls, number))["launchParameter"]
        assert launch["jobName"] == job
        assert launch["containerSpecGcsPath"] == template
        assert launch["environment"]["sdkContainerImage"] == image
        assert launch["parameters"]["aggregated_dataset"] == dataset


@pytest.mark.parametrize("branch", ["feature/x", "maintenance", "main2", "v1.0", "devel"])
@pytest.mark.parametrize("step", ["push", "template", "schedule"])
def test_other_branches_stop_after_the_tests(cloud: Cloud, branch: str, step: str) -> None:
    assert cloud.calls("release.sh", step, PROJECT="my-project", BRANCH=branch, TAG="abc1234") == []
    assert "stops after the tests" in cloud.output


def test_a_launch_by_hand_is_the_nightly_one_with_other_parameters(cloud: Cloud) -> None:
    calls = cloud.calls("setup.sh", **SETTINGS)
    nightly = cloud.body(
        calls, next(n for n, call in enumerate(calls) if "sessions-nightly" in call and "create" in call)
    )
    (cloud.folder / "scheduled.json").write_text(nightly)
    given = {"start_date": "2026-01-05", "end_date": "2026-01-07", "excluded_users": "gs://bucket/ids.txt"}
    calls = cloud.calls("launch.sh", *(f"{name}={value}" for name, value in given.items()), PROJECT="my-project")
    assert calls[-1][0] == "curl"
    assert calls[-1][-1].endswith("/locations/europe-west1/flexTemplates:launch")
    assert "secret-token" not in " ".join(map(" ".join, calls))
    wanted = json.loads(nightly)
    wanted["launchParameter"]["parameters"] |= given
    assert json.loads((cloud.folder / "launched.json").read_text()) == wanted


@pytest.mark.parametrize("bad", ["start_date", "x=$(id)", 'x="', "X=1", "x=a|b"])
def test_a_launch_by_hand_refuses_what_is_no_parameter(cloud: Cloud, bad: str) -> None:
    script = ["bash", ROOT / "deploy/launch.sh", bad]
    environment = {"PROJECT": "my-project", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(script, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr.splitlines()[0][:23]) == (2, "usage: deploy/launch.sh")


def test_what_is_missing_is_named() -> None:
    for settings, name in (({}, "PROJECT"), ({"PROJECT": "my-project"}, "BRANCH")):
        script = ROOT / "deploy" / ("setup.sh" if name == "PROJECT" else "release.sh")
        done = subprocess.run(
            ["bash", script], env=settings | {"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
        )
        assert done.returncode != 0
        assert f"export {name}" in done.stderr
    done = subprocess.run(["bash", ROOT / "deploy/setup.sh", "--dryrun"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "usage: deploy/setup.sh [--dry-run]\n")


def test_shellcheck_finds_nothing() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, "--external-sources", *SCRIPTS], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    bad = subprocess.run([shellcheck, "--shell=bash", "-"], input="rm $1\n", capture_output=True, text=True)
    assert "SC2086" in bad.stdout


@pytest.mark.slow
@pytest.mark.skipif(not HAS_GCLOUD, reason=NO_GCLOUD)
def test_gcloud_and_bq_know_every_command_of_the_scripts(cloud: Cloud) -> None:
    commands = cloud.calls("setup.sh", **SETTINGS)
    cloud.fill()
    commands += cloud.calls("setup.sh", **SETTINGS)
    for step in ("template", "schedule"):
        commands += cloud.calls("release.sh", step, PROJECT="my-project", BRANCH="main", TAG="abc1234")
    kinds = {tuple(sorted(word.partition("=")[0] for word in call)): call for call in commands}
    assert complaints(kinds.values()) == {}
    bad = [["gcloud", "scheduler", "jobs", "pause", "x", "--shedule=1"], ["bq", "mk", "--datset", "x"]]
    assert len(complaints(bad)) == 2


def test_the_dry_run_of_a_release_prints_its_commands() -> None:
    told = run("release.sh", "--dry-run", "push", PROJECT="p", BRANCH="main", TAG="abc1234")
    assert told.splitlines()[1] == "docker push europe-west1-docker.pkg.dev/p/sessions/production:abc1234"
