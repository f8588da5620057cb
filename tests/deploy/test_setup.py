"""setup.sh against a pretended cloud: what a new project gets, what settings change, and projects that are odd."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.deploy.cloud import (
    BARE,
    JOBS,
    RELEASE,
    SECOND_GENERATION,
    SETTINGS,
    THERE,
    Cloud,
    changes,
    commands_in,
    value,
)
from tests.deploy.conftest import NewProject

pytestmark = pytest.mark.slow

#: Everything that a role lets its holder do, and why nothing less would do. docs/deploy.md says the same.
RUNNER_ROLES = {
    "roles/dataflow.worker",
    "roles/bigquery.jobUser",
    "roles/bigquery.readSessionUser",
    "roles/storage.objectUser",
    "roles/artifactregistry.reader",
    "roles/secretmanager.secretAccessor",
}
ROLES = {
    *(("etl-runner", role) for role in RUNNER_ROLES),
    *(("etl-runner-dev", role) for role in RUNNER_ROLES),
    ("scheduler-invoker", "roles/dataflow.developer"),
    ("scheduler-invoker", "roles/storage.objectViewer"),
    ("scheduler-invoker", "roles/iam.serviceAccountUser"),
    ("build-tester", "roles/logging.logWriter"),
    ("release-builder", "roles/logging.logWriter"),
    ("release-builder", "roles/dataflow.developer"),
    ("release-builder", "roles/bigquery.user"),
    ("release-builder", "roles/cloudscheduler.viewer"),
    ("release-builder", "roles/artifactregistry.writer"),
    ("release-builder", "roles/storage.objectUser"),
    ("release-builder", "roles/iam.serviceAccountUser"),
    ("releaser", "roles/logging.logWriter"),
    ("releaser", "roles/cloudscheduler.admin"),
    ("releaser", "roles/artifactregistry.writer"),
    ("releaser", "roles/storage.objectUser"),
    ("releaser", "roles/iam.serviceAccountUser"),
}


def account_of(call: list[str]) -> str:
    """Whom a grant is for."""
    return value(call, "member").removeprefix("serviceAccount:").partition("@")[0]


# a new project


def test_a_new_project_gets_everything(new_project: NewProject) -> None:
    kinds = [
        " ".join(word for word in call[1:6] if not word.startswith(("-", "gs:"))) for call in changes(new_project.calls)
    ]
    for kind, number in {
        "iam service-accounts create": 6,
        "storage buckets create": 1,
        "artifacts repositories create sessions": 1,
        "secrets create excluded-users": 1,
        "secrets versions add excluded-users": 1,
        "mk": 3,
        "builds triggers import": 3,
        "scheduler jobs create http": 4,
        "beta monitoring channels create": 1,
        "alpha monitoring policies create": 4,
        "monitoring dashboards create": 1,
    }.items():
        assert sum(found.startswith(kind) for found in kinds) == number, kind
    assert "compute networks create" not in " ".join(kinds)


def test_a_second_run_changes_nothing(cloud: Cloud) -> None:
    before = cloud.state
    assert changes(cloud.calls("setup.sh", **SETTINGS)) == []
    assert cloud.state == before
    said = [line for line in cloud.output.splitlines() if not line.startswith("#")]
    assert len(said) > 60
    assert all(line.startswith("leave ") for line in said)


def test_every_command_names_the_project(new_project: NewProject) -> None:
    for call in new_project.calls:
        named = {"--project=my-project", "--project_id=my-project"} & set(call)
        assert named or (call[1] == "projects" and call[3] == "my-project"), call


#: What Dataflow's documentation lists under "Some Cloud APIs need to be enabled", and in its quickstarts.
DATAFLOW = {
    *("bigquery", "cloudresourcemanager", "compute", "dataflow", "datastore", "logging", "pubsub", "storage-api"),
    "storage-component",
}


def test_dataflow_finds_the_apis_that_it_asks_for(new_project: NewProject) -> None:
    (call,) = [call for call in new_project.calls if call[1:3] == ["services", "enable"]]
    enabled = [word.removesuffix(".googleapis.com") for word in call if word.endswith(".googleapis.com")]
    assert set(enabled) >= DATAFLOW
    assert len(enabled) == len(set(enabled)) <= 20  # as many as one request takes


def test_accounts_have_these_roles_and_no_others(new_project: NewProject) -> None:
    calls = new_project.calls
    assert {(account_of(call), value(call, "role")) for call in calls if "add-iam-policy-binding" in call} == ROLES
    grants = {call[-1] for call in calls if call[0] == "bq" and "query" in call}
    found = [
        re.fullmatch(
            r"GRANT `roles/bigquery\.(\w+)` ON SCHEMA `my-project\.(\w+)` "
            r"TO 'serviceAccount:([a-z-]+)@my-project\.iam\.gserviceaccount\.com'",
            grant,
        )
        for grant in grants
    ]
    assert {match.groups() for match in found if match} == {
        ("dataEditor", "posthog_aggregated", "etl-runner"),
        ("dataEditor", "posthog_aggregated_dev", "etl-runner-dev"),
        *(
            ("dataViewer", dataset, runner)
            for dataset in ("posthog_etl", "firebase_etl_prod")
            for runner in ("etl-runner", "etl-runner-dev")
        ),
    }
    assert all(found)


def test_who_may_use_whom(new_project: NewProject) -> None:
    used = {
        (account_of(call), call[4].partition("@")[0])
        for call in new_project.calls
        if call[1:4] == ["iam", "service-accounts", "add-iam-policy-binding"]
    }
    assert used == {
        ("scheduler-invoker", "etl-runner"),
        ("scheduler-invoker", "etl-runner-dev"),
        ("release-builder", "etl-runner-dev"),  # so that a build cannot write production's tables
        ("releaser", "scheduler-invoker"),
    }


PREFIX = "projects/_/buckets/my-project-sessions"
#: What may be changed in the bucket: by whom (production's runner, dev's, the builder, the releaser), and by whom not.
CHANGES = {
    "templates/production/abc1234.json": "releaser",
    "templates/dev/abc1234.json": "release-builder",
    "temp/production/bq_load/1/rows": "etl-runner",
    "staging/production/template_launches/1/job_object": "etl-runner",
    "temp/dev/excluded/run.json": "etl-runner etl-runner-dev",
    "staging/dev/pickled_main_session": "etl-runner etl-runner-dev",
    "published/posthog_aggregated_dev/published.json": "etl-runner etl-runner-dev",
    "source/1.tgz": "etl-runner etl-runner-dev release-builder",
}


def holds(condition: str, name: str) -> bool:
    """Whether a condition of the forms that setup.sh writes is true of a resource."""
    expression = condition.partition("expression=")[2]
    prefixes = re.findall(r"resource\.name\.startsWith\('(.+?)'\)", expression)
    forms = [f"resource.name.startsWith('{prefix}')" for prefix in prefixes]
    assert expression in (" || ".join(forms), " && ".join(f"!{form}" for form in forms))
    return name.startswith(tuple(prefixes)) != expression.startswith("!")


def test_only_a_release_changes_productions_template_and_only_production_its_files(new_project: NewProject) -> None:
    conditions = {
        account_of(call): value(call, "condition")
        for call in new_project.calls
        if call[1:4] == ["storage", "buckets", "add-iam-policy-binding"]
    }
    viewer = conditions.pop("scheduler-invoker")
    assert viewer == f"title=only-templates,expression=resource.name.startsWith('{PREFIX}/objects/templates/')"
    for name, accounts in CHANGES.items():
        found = {account for account, condition in conditions.items() if holds(condition, f"{PREFIX}/objects/{name}")}
        assert found == set(accounts.split()), name
    # objects are listed on the bucket: by who runs the pipeline, which looks for its files
    assert {account for account, condition in conditions.items() if holds(condition, PREFIX)} == {
        "etl-runner",
        "etl-runner-dev",
    }


@pytest.mark.parametrize("job", JOBS)
def test_a_runner_may_change_what_its_launch_body_names(new_project: NewProject, job: str) -> None:
    environment = new_project.cloud.scheduled(job)["launchParameter"]["environment"]
    runner = environment["serviceAccountEmail"].partition("@")[0]
    (condition,) = [
        value(call, "condition")
        for call in new_project.calls
        if call[1:4] == ["storage", "buckets", "add-iam-policy-binding"] and account_of(call) == runner
    ]
    for place in (environment["tempLocation"], environment["stagingLocation"]):
        bucket, _, folder = place.removeprefix("gs://").partition("/")
        assert holds(condition, f"projects/_/buckets/{bucket}/objects/{folder}/file")


def test_a_role_without_its_condition_is_not_the_same(cloud: Cloud) -> None:
    """As a project has it that was set up before there were conditions."""
    state = cloud.state
    policy = state["policy storage buckets/gs://my-project-sessions"]
    (dev,) = [key for key in policy if "etl-runner-dev" in key]
    policy[dev.rpartition(" ")[0] + " "] = policy.pop(dev)
    (cloud.folder / "state.json").write_text(json.dumps(state))
    (call,) = changes(cloud.calls("setup.sh", **SETTINGS))
    assert (account_of(call), value(call, "role")) == ("etl-runner-dev", "roles/storage.objectUser")


def test_the_schedule_is_nightly_in_utc_and_made_paused(new_project: NewProject) -> None:
    calls = new_project.calls
    jobs = {call[5]: call for call in calls if call[1:5] == ["scheduler", "jobs", "create", "http"]}
    paused = [call[4] for call in calls if call[1:4] == ["scheduler", "jobs", "pause"]]
    assert sorted(jobs) == sorted(paused) == sorted(JOBS)
    for job in jobs.values():
        assert value(job, "schedule") == "0 2 * * *"
        assert value(job, "time-zone") == "Etc/UTC"
        assert value(job, "oauth-service-account-email").startswith("scheduler-invoker@")
        assert int(value(job, "max-retry-attempts")) > 0
        uri = "https://dataflow.googleapis.com/v1b3/projects/my-project/locations/europe-west1/flexTemplates:launch"
        assert value(job, "uri") == uri


def test_who_runs_may_read_the_key_of_hashes_where_there_is_one(tmp_path: Path) -> None:
    cloud = Cloud.make(tmp_path, THERE)
    assert not any("privacy-key" in call for call in cloud.calls("setup.sh", **SETTINGS))
    calls = cloud.calls("setup.sh", **SETTINGS, PRIVACY_KEY="privacy-key")
    granted = [call for call in calls if call[1:4] == ["secrets", "add-iam-policy-binding", "privacy-key"]]
    assert {value(call, "role") for call in granted} == {"roles/secretmanager.secretAccessor"}
    assert len({value(call, "member") for call in granted}) == 2


@pytest.mark.parametrize("key", ["privacy-key", "privacy-key/versions/3"])
def test_launches_have_the_key_of_hashes_where_there_is_one(cloud: Cloud, key: str) -> None:
    before = {job: cloud.scheduled(job) for job in JOBS}
    calls = cloud.calls("setup.sh", **SETTINGS, PRIVACY_KEY=key)
    assert {call[3] for call in calls if call[1:3] == ["secrets", "add-iam-policy-binding"]} == {"privacy-key"}
    for job in JOBS:
        wanted = json.loads(json.dumps(before[job]))
        wanted["launchParameter"]["parameters"]["privacy_key"] = f"secret://{key}"
        assert cloud.scheduled(job) == wanted
    assert changes(cloud.calls("setup.sh", **SETTINGS, PRIVACY_KEY=key)) == []
    cloud.calls("launch.sh", "privacy_key=secret://other", PROJECT="my-project")
    sent = (cloud.folder / "launched.json").read_text()
    assert sent.count("privacy_key") == 1
    assert json.loads(sent)["launchParameter"]["parameters"]["privacy_key"] == "secret://other"
    cloud.calls("setup.sh", **SETTINGS)
    assert {job: cloud.scheduled(job) for job in JOBS} == before


def test_a_dry_run_prints_every_command_and_runs_none(tmp_path: Path) -> None:
    datasets = {name: entry for name, entry in THERE.items() if name.startswith("dataset")}
    cloud = Cloud.make(tmp_path, datasets | {"dataset/privacy": {"location": "EU"}})
    really = cloud.calls("setup.sh", **SETTINGS)
    assert sum("my-project.privacy` TO" in str(call) for call in really) == 2  # both runners read deletion requests
    assert cloud.calls("setup.sh", "--dry-run", **SETTINGS) == []
    told = commands_in(cloud.output)
    temporary = re.compile(r"=/\S*/tmp\.\w+/|=/tmp/\S*?/(?=\w+\.json$)")
    number = re.compile(r"projects/my-project/channels/\d+")

    def comparable(calls: list[list[str]]) -> list[list[str]]:
        return [[temporary.sub("=", word) for word in call] for call in calls]

    # in a dry run nothing was made whose name the next command could give
    really = [[word for word in call if not number.search(word)] for call in really]
    # nor a subnet that has private access from the beginning
    told.remove(next(call for call in told if "subnets" in call and "update" in call))
    assert comparable(told) == comparable(really)


# what settings change


def test_other_settings_change_what_is_there_and_leave_the_release(cloud: Cloud) -> None:
    cloud.calls("release.sh", "push", **RELEASE)
    cloud.calls("release.sh", "proven", **RELEASE)
    cloud.calls("release.sh", "promote", **RELEASE)
    before = cloud.scheduled("sessions-nightly")["launchParameter"]
    other = {"MACHINE_TYPE": "n2-standard-4", "MAX_WORKERS": "3", "POSTHOG_DATASET": "ph", "FIREBASE_DATASET": "fb"}
    calls = changes(cloud.calls("setup.sh", fails=True, **SETTINGS, **other))  # ph and fb are not there
    assert sum(call[1:5] == ["scheduler", "jobs", "update", "http"] for call in calls) == 4
    launch = cloud.scheduled("sessions-nightly")["launchParameter"]
    assert launch["environment"]["machineType"] == "n2-standard-4"
    assert launch["environment"]["maxWorkers"] == 3
    assert launch["parameters"]["posthog_dataset"] == "ph"
    assert launch["containerSpecGcsPath"] == before["containerSpecGcsPath"]
    assert launch["environment"]["sdkContainerImage"] == before["environment"]["sdkContainerImage"]
    assert cloud.scheduled("sessions-full-load")["launchParameter"]["environment"]["maxWorkers"] == 30


def test_what_cannot_change_is_said(cloud: Cloud) -> None:
    cloud.calls("setup.sh", **SETTINGS, LOCATION="US")
    assert "leave   location of dataset posthog_aggregated: it is EU and cannot become US" in cloud.output
    state = cloud.state
    state["storage buckets/gs://my-project-sessions"]["location"] = "EUROPE-WEST4"  # as Google writes it
    (cloud.folder / "state.json").write_text(json.dumps(state))
    cloud.calls("setup.sh", "--plan", **SETTINGS)
    assert "location of bucket my-project-sessions: it is EUROPE-WEST4 and cannot become europe-west1" in cloud.output


def test_a_plan_says_what_would_be_and_does_nothing(cloud: Cloud, tmp_path: Path) -> None:
    before = cloud.state
    plan = cloud.calls("setup.sh", "--plan", **SETTINGS, PRODUCTION_DATASET="results", MACHINE_TYPE="n2-standard-4")
    assert changes(plan) == []
    assert not any("enable" in call for call in plan)
    assert cloud.state == before
    said = cloud.output.splitlines()
    for line in (
        "create  dataset results",
        "change  Scheduler job sessions-nightly",
        "change  Scheduler job sessions-dev-nightly",
        "change  scheduled query sessions-freshness",
        "leave   dataset posthog_aggregated_dev",
        "leave   trigger sessions-release",
    ):
        assert line in said, line
    assert not any(line.startswith("create  account") for line in said)


# projects that are not as one thinks


def test_without_firebase_and_network_the_rest_is_set_up(tmp_path: Path) -> None:
    cloud = Cloud.make(tmp_path, BARE)
    calls = cloud.calls("setup.sh", fails=True, **SECOND_GENERATION)
    assert "dataset firebase_etl_prod is not there" in cloud.errors
    assert "bq --location=EU mk --dataset my-project:firebase_etl_prod" in cloud.errors
    assert ["gcloud", "compute", "networks", "create", "sessions"] in [call[:5] for call in calls]
    subnet = next(call for call in calls if call[1:6] == ["compute", "networks", "subnets", "create", "default"])
    assert "--enable-private-ip-google-access" in subnet
    assert sum(call[1:5] == ["scheduler", "jobs", "create", "http"] for call in calls) == 4
    assert sum(call[1:5] == ["alpha", "monitoring", "policies", "create"] for call in calls) == 4
    # once Firebase is there, the same command does the rest
    state = cloud.state | {"dataset/firebase_etl_prod": {"location": "EU"}}
    (tmp_path / "state.json").write_text(json.dumps(state))
    left = changes(cloud.calls("setup.sh", **SECOND_GENERATION))
    assert {call[-1].partition(" TO ")[0] for call in left} == {
        "GRANT `roles/bigquery.dataViewer` ON SCHEMA `my-project.firebase_etl_prod`"
    }


def test_triggers_of_a_second_generation_connection_are_made_where_it_is(tmp_path: Path) -> None:
    cloud = Cloud.make(tmp_path, THERE)
    calls = cloud.calls("setup.sh", **SECOND_GENERATION)
    imports = [number for number, call in enumerate(calls) if call[1:4] == ["builds", "triggers", "import"]]
    assert len(imports) == 3
    for number in imports:
        assert value(calls[number], "region") == "us-central1"
        assert json.loads(cloud.body(calls, number))["repositoryEventConfig"]["repository"].endswith("/repositories/r")


def test_a_shared_network_is_the_host_projects(tmp_path: Path) -> None:
    cloud = Cloud.make(tmp_path, THERE)
    calls = cloud.calls("setup.sh", **SETTINGS, NETWORK_PROJECT="host", SUBNETWORK="workers")
    subnets = [call for call in calls if "subnets" in call]
    assert subnets
    assert all("--project=host" in call for call in subnets)
    (grant,) = [call for call in subnets if "add-iam-policy-binding" in call]
    assert "service-123456@dataflow-service-producer-prod" in value(grant, "member")
    network = cloud.scheduled("sessions-nightly")["launchParameter"]["environment"]["subnetwork"]
    assert network == "https://www.googleapis.com/compute/v1/projects/host/regions/europe-west1/subnetworks/workers"


def test_a_step_that_fails_is_listed_with_its_command_and_the_rest_goes_on(tmp_path: Path) -> None:
    cloud = Cloud.make(tmp_path)
    cloud.fail("gcloud storage buckets create", "roles/bigquery.user", "triggers import .*sessions|triggers import")
    calls = cloud.calls("setup.sh", fails=True, **SETTINGS)
    assert cloud.code == 1
    listed = commands_in(cloud.errors.split("# LEFT OUT.")[1])
    words = [" ".join(call) for call in listed]
    assert sum("storage buckets create gs://my-project-sessions" in call for call in words) == 1
    assert sum("--role=roles/bigquery.user" in call for call in words) == 1
    assert sum("builds triggers import" in call for call in words) == 3
    assert len(words) == 5
    assert sum(call[1:5] == ["alpha", "monitoring", "policies", "create"] for call in calls) == 4
    # a grant is tried again, because a new account is not known everywhere at once
    assert sum("--role=roles/bigquery.user" in call for call in calls) == 4


def test_what_is_not_given_is_left_out_and_said(tmp_path: Path) -> None:
    cloud = Cloud.make(tmp_path)
    cloud.calls("setup.sh", fails=True, PROJECT="my-project")
    assert "nobody is told of alerts: export ALERT_EMAIL" in cloud.errors
    assert "connect the repository" in cloud.errors
