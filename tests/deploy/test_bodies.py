"""The files that the scripts send: launch bodies, alert policies, lifecycle and cleanup rules, the freshness query."""

from __future__ import annotations

import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import re2
from google.cloud import dataflow_v1beta3 as dataflow
from google.cloud import monitoring_dashboard_v1 as dashboards
from google.cloud import monitoring_v3 as monitoring
from google.cloud.devtools import cloudbuild_v1 as cloudbuild
from google.protobuf import json_format

from deploy import template
from pipeline import tables
from pipeline.command_line import parse
from pipeline.options import OPTIONS
from pipeline.warehouse.folder_options import DEFAULT_FOLDER
from tests.deploy.conftest import NewProject
from tests.deploy.dockerfile import ROOT

pytestmark = pytest.mark.slow

PARAMETERS = {parameter["name"]: parameter for parameter in template.metadata()["parameters"]}


@pytest.fixture(scope="module")
def calls(new_project: NewProject) -> dict[str, str]:
    """What each kind of command sent for a new project: body by command and name."""
    found = {}
    for number, call in enumerate(made := new_project.calls):
        if call[1:5] == ["scheduler", "jobs", "create", "http"]:
            found[call[5]] = new_project.cloud.body(made, number)
        elif call[1:5] == ["alpha", "monitoring", "policies", "create"] or call[1:4] in (
            ["monitoring", "dashboards", "create"],
            ["builds", "triggers", "import"],
        ):
            body = new_project.cloud.body(made, number)
            sent = json.loads(body)
            found[sent.get("displayName") or sent["name"]] = body
        elif "--transfer_config" in call and "mk" in call:
            found["freshness"] = next(word.partition("=")[2] for word in call if word.startswith("--params="))
    return found


LAUNCHES = ["sessions-nightly", "sessions-full-load", "sessions-dev-nightly", "sessions-dev-full-load"]


@pytest.mark.parametrize("name", LAUNCHES)
def test_a_launch_body_is_what_dataflow_calls_a_launch(calls: dict[str, str], name: str) -> None:
    request = dataflow.LaunchFlexTemplateRequest.from_json(calls[name], ignore_unknown_fields=False)
    launch = request.launch_parameter
    assert launch.job_name == ("sessions-dev" if "dev" in name else "sessions")
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", launch.job_name)
    assert launch.container_spec_gcs_path.startswith("gs://my-project-sessions/templates/")
    environment = launch.environment
    runner = "etl-runner-dev" if "dev" in name else "etl-runner"
    assert environment.service_account_email == f"{runner}@my-project.iam.gserviceaccount.com"
    assert environment.sdk_container_image.startswith("europe-west1-docker.pkg.dev/my-project/sessions/")
    assert environment.subnetwork == "regions/europe-west1/subnetworks/default"
    assert environment.ip_configuration == dataflow.WorkerIPAddressConfiguration.WORKER_IP_PRIVATE
    folder = "dev" if "dev" in name else "production"  # by which the roles tell whose it is
    assert environment.temp_location == f"gs://my-project-sessions/temp/{folder}"
    assert environment.staging_location == f"gs://my-project-sessions/staging/{folder}"
    # by default Dataflow writes the rows that a step failed on to temp_location, and shows them in the console
    assert list(environment.additional_experiments) == ["disable_always_on_exception_sampling"]
    assert environment.max_workers == (100 if "full" in name else 10)


def test_an_unknown_field_of_a_launch_is_refused(calls: dict[str, str]) -> None:
    broken = calls["sessions-nightly"].replace("sdkContainerImage", "sdkContainerImg")
    with pytest.raises(json_format.ParseError):
        dataflow.LaunchFlexTemplateRequest.from_json(broken, ignore_unknown_fields=False)


@pytest.mark.parametrize("name", LAUNCHES)
def test_a_launch_body_fits_the_template(calls: dict[str, str], name: str) -> None:
    parameters = json.loads(calls[name])["launchParameter"]["parameters"]
    assert {key for key, parameter in PARAMETERS.items() if not parameter["isOptional"]} <= set(parameters)
    for key, value in parameters.items():
        assert isinstance(value, str)
        assert any(re.fullmatch(regex, value) for regex in PARAMETERS[key]["regexes"]), (key, value)
    assert ("full_load" in parameters) == ("full" in name)


def test_what_dataflow_makes_of_a_launch_is_a_command_line_that_the_pipeline_takes(calls: dict[str, str]) -> None:
    """The launcher turns parameters and environment into options; none may be unknown."""
    launch = json.loads(calls["sessions-nightly"])["launchParameter"]
    environment = launch["environment"]
    argv = [f"--{name}={value}" for name, value in launch["parameters"].items()]
    argv += [
        "--runner=DataflowRunner",
        "--project=my-project",
        "--region=europe-west1",
        f"--job_name={launch['jobName']}",
        f"--temp_location={environment['tempLocation']}",
        f"--staging_location={environment['stagingLocation']}",
        f"--service_account_email={environment['serviceAccountEmail']}",
        f"--sdk_container_image={environment['sdkContainerImage']}",
        f"--machine_type={environment['machineType']}",
        f"--max_num_workers={environment['maxWorkers']}",
        f"--subnetwork={environment['subnetwork']}",
        "--no_use_public_ips",
        f"--labels={environment['additionalUserLabels']}",
        f"--template_location={environment['stagingLocation']}/template_launches/2026-01-01_00_00_00-1/job_object",
    ]
    options = parse(argv).get_all_options()
    assert options["runner"] == "DataflowRunner"
    assert options["aggregated_dataset"] == "posthog_aggregated"
    assert options["template_location"].endswith("job_object")


def test_launches_name_every_dataset_that_the_roles_are_given_on(calls: dict[str, str]) -> None:
    parameters = json.loads(calls["sessions-nightly"])["launchParameter"]["parameters"]
    defaults = {option.name: option.default for option in OPTIONS if option.name.endswith("_dataset")}
    assert {name: parameters[name] for name in defaults} == defaults
    assert parameters["warehouse"] != DEFAULT_FOLDER


ALERTS = {
    "failed_jobs": ("dataflow_job", "dataflow.googleapis.com/job/is_failed"),
    "failed_launches": ("cloud_scheduler_job", ""),
    "failed_launchers": ("dataflow_step", ""),
    "stale_tables": ("bigquery_dts_config", "bigquerydatatransfer.googleapis.com/transfer_config/completed_runs"),
}


@pytest.mark.parametrize("file", ALERTS)
def test_an_alert_is_what_monitoring_calls_a_policy(calls: dict[str, str], file: str) -> None:
    name = re.search(r'"displayName": "(sessions: .*)"', (ROOT / f"deploy/alerts/{file}.json").read_text())
    assert name
    policy = monitoring.AlertPolicy.from_json(calls[name[1]], ignore_unknown_fields=False)
    (condition,) = policy.conditions
    resource, metric = ALERTS[file]
    condition_filter = condition.condition_threshold.filter or condition.condition_matched_log.filter
    assert f'resource.type="{resource}"' in condition_filter
    if metric:
        assert f'metric.type="{metric}"' in condition_filter
        assert condition.condition_threshold.comparison == monitoring.ComparisonType.COMPARISON_GT
    else:  # Monitoring wants a limit for policies on logs
        assert policy.alert_strategy.notification_rate_limit.period > timedelta()
    assert "docs/operate.md" in policy.documentation.content
    assert "${" not in policy.documentation.content


def test_the_alerts_name_jobs_that_exist(calls: dict[str, str]) -> None:
    assert (
        'job_name="sessions"'
        in json.loads(calls["sessions: a Dataflow job failed"])["conditions"][0]["conditionThreshold"]["filter"]
    )
    launcher = json.loads(calls["sessions: the launcher failed"])["conditions"][0]["conditionMatchedLog"]["filter"]
    assert launcher.startswith('resource.type="dataflow_step" AND log_id("dataflow.googleapis.com/launcher")')
    assert 'job_name="sessions"' in launcher
    assert 'job_id="sessions-nightly"' in calls["sessions: the nightly launch failed"].replace('\\"', '"')


def test_the_dashboard_is_what_monitoring_calls_one(calls: dict[str, str]) -> None:
    board = dashboards.Dashboard.from_json(calls["sessions"], ignore_unknown_fields=False)
    assert board.name == "projects/my-project/dashboards/sessions"
    tiles = board.mosaic_layout.tiles
    assert len({(tile.x_pos, tile.y_pos) for tile in tiles}) == len(tiles) >= 9
    shown = ""
    for tile in tiles:
        assert tile.x_pos + tile.width <= board.mosaic_layout.columns
        for series in tile.widget.xy_chart.data_sets:
            query = series.time_series_query.time_series_filter
            assert 'resource.type="dataflow_job"' in query.filter
            assert 'resource.labels.job_name="sessions"' in query.filter
            assert query.aggregation.alignment_period.total_seconds() >= 60
            shown += query.filter
    for metric in ("job/user_counter", "job/elapsed_time", "job/total_vcpu_time"):
        assert f'metric.type="dataflow.googleapis.com/{metric}"' in shown
    counters = set(re.findall(r'metric_name=(?:starts_with\()?"([a-z_.]+)"', shown))
    assert counters >= {"read", "kept", "rejected.", "sessions.too_old", "sessions.inserted", "persons.updated"}
    documented = (ROOT / "docs/operate.md").read_text()
    assert all(f"`{name}" in documented for name in counters)


TRIGGERS = {"sessions-test": "build-tester", "sessions-build": "release-builder", "sessions-release": "releaser"}


@pytest.mark.parametrize("name", TRIGGERS)
def test_a_trigger_is_what_cloud_build_calls_one(calls: dict[str, str], name: str) -> None:
    trigger = cloudbuild.BuildTrigger.from_json(calls[name], ignore_unknown_fields=False)
    assert trigger.service_account == (
        f"projects/my-project/serviceAccounts/{TRIGGERS[name]}@my-project.iam.gserviceaccount.com"
    )
    assert (ROOT / trigger.filename).is_file()
    assert (trigger.github.owner, trigger.github.name) == ("owner", "repo")
    assert dict(trigger.substitutions) == {"_REGION": "europe-west1", "_BUCKET": "my-project-sessions"}
    # only a release to production waits for a person
    assert trigger.approval_config.approval_required == (name == "sessions-release")
    assert trigger.filename == ("deploy/promote.yaml" if name == "sessions-release" else "cloudbuild.yaml")


def test_every_branch_has_one_trigger_and_a_tag_another(calls: dict[str, str]) -> None:
    pushes = {name: cloudbuild.BuildTrigger.from_json(calls[name]).github.push for name in TRIGGERS}
    for branch in ("main", "main2", "feature/x", "dev", "v1"):
        started = [
            name
            for name, push in pushes.items()
            if push.branch and (re2.search(push.branch, branch) is not None) != push.invert_regex
        ]
        assert started == ["sessions-build" if branch == "main" else "sessions-test"], branch
    assert [bool(re2.search(pushes["sessions-release"].tag, tag)) for tag in ("v1.2", "v2026-01", "x", "very")] == [
        True, True, False, False,
    ]  # fmt: skip


def test_temporary_files_go_and_templates_stay() -> None:
    rules = json.loads((ROOT / "deploy/bucket_lifecycle.json").read_text())["rule"]
    (delete,) = [rule["condition"] for rule in rules if rule["action"]["type"] == "Delete"]
    assert set(delete["matchesPrefix"]) == {"temp/", "staging/", "source/"}
    assert delete["age"] >= 2  # longer than any run


def test_the_image_of_a_release_stays_however_old_it_is() -> None:
    """Production runs it by its digest; by the rules alone nobody knows that."""
    rules = {rule["name"]: rule for rule in json.loads((ROOT / "deploy/image_cleanup.json").read_text())}
    assert {name: rule["action"]["type"] for name, rule in rules.items()} == {
        "keep-recent": "Keep",
        "keep-released": "Keep",
        "delete-old": "Delete",
    }
    assert rules["keep-released"]["condition"] == {"tagState": "tagged", "tagPrefixes": ["released-"]}
    assert "mostRecentVersions" not in rules["keep-released"]  # a rule has the one or the other


def freshness(sent: str, runs: list[dict[str, Any]]) -> str:
    """What the query that was sent says of these ledger rows; DuckDB understands the same words."""
    query = json.loads(sent)["query"]
    assert "`my-project.posthog_aggregated.runs`" in query
    schema = pa.schema([tables.RUNS.schema.field(name) for name in ("published_at", "watermark")])
    ledger = pa.Table.from_pylist(runs, schema)
    with duckdb.connect() as connection:
        connection.register("ledger", ledger)
        return str(connection.sql(query.replace("`my-project.posthog_aggregated.runs`", "ledger")).fetchall()[0][0])


@pytest.mark.parametrize(
    ("published", "watermark", "said"),
    [
        (1, 3, None),
        (25, 49, None),
        (27, 27, "no run was published"),
        (1, 51, "export brought nothing"),
        (1, None, None),
        (None, None, "nothing was ever published"),
    ],
)
def test_the_freshness_query_fails_when_tables_are_stale(
    calls: dict[str, str], published: float | None, watermark: float | None, said: str | None
) -> None:
    now = datetime.now(UTC)
    old = {"published_at": now - timedelta(days=9), "watermark": now - timedelta(days=9)}
    new = {
        "published_at": now - timedelta(hours=published or 0),
        "watermark": None if watermark is None else now - timedelta(hours=watermark),
    }
    runs = [] if published is None else [new] if watermark is None else [old, new]
    if said is None:
        assert freshness(calls["freshness"], runs) == "fresh"
    else:
        with pytest.raises(duckdb.Error, match=said):
            freshness(calls["freshness"], runs)


def test_no_body_holds_a_placeholder_or_a_path(calls: dict[str, str]) -> None:
    for name, body in calls.items():
        assert not re.search(r"\$\{[A-Z]", body), name
        assert f"{ROOT}/" not in body, name
        assert str(Path.home()) not in shlex.quote(body) or name == "freshness"
