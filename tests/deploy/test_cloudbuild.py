"""cloudbuild.yaml: what Cloud Build takes, steps that tell the release, and images that the steps can use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud.devtools import cloudbuild_v1 as cloudbuild
from google.protobuf import json_format

from tests.deploy.dockerfile import ROOT

FILE = ROOT / "cloudbuild.yaml"
PROMOTE = ROOT / "deploy/promote.yaml"
BUILD: dict[str, Any] = yaml.safe_load(FILE.read_text())
PROMOTION: dict[str, Any] = yaml.safe_load(PROMOTE.read_text())
STEPS = {step["id"]: step for step in BUILD["steps"]}


def test_it_fits_the_schema_of_cloud_build(tmp_path: Path) -> None:
    check = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", "vendor.cloudbuild"]
    for file in (FILE, PROMOTE):
        assert subprocess.run([*check, file], capture_output=True).returncode == 0
    bad = tmp_path / "cloudbuild.yaml"
    bad.write_text(FILE.read_text().replace("entrypoint: make", "entry_point: make"))
    assert subprocess.run([*check, bad], capture_output=True).returncode == 1


def test_it_is_what_the_api_calls_a_build() -> None:
    build = cloudbuild.Build.from_json(json.dumps(BUILD), ignore_unknown_fields=False)
    assert [step.id for step in build.steps] == list(STEPS)
    promotion = cloudbuild.Build.from_json(json.dumps(PROMOTION), ignore_unknown_fields=False)
    assert [list(step.args) for step in promotion.steps] == [["deploy/release.sh", "promote"]]
    with pytest.raises(json_format.ParseError):
        cloudbuild.Build.from_json(json.dumps(BUILD | {"step": []}), ignore_unknown_fields=False)


def test_the_steps_tell_the_release() -> None:
    assert list(STEPS) == [
        "check-and-test",
        "build-image",
        "test-inside-the-image",
        "push-image",
        "build-template",
        "write-launch",
        "prove-on-dataflow",
        "mark-as-proven",
    ]
    assert not any("waitFor" in step for step in BUILD["steps"])  # one after the other


def test_check_and_test_are_the_commands_of_the_readme() -> None:
    step = STEPS["check-and-test"]
    assert [step["entrypoint"], *step["args"]] == ["make", "check", "test"]
    assert "-slim" not in step["name"]  # a slim image has no make
    commands = (ROOT / ".ci/run").read_text()
    assert all(f"make {target}" in commands for target in step["args"])


RELEASE = {
    "push-image": "push",
    "build-template": "template",
    "write-launch": "launch",
    "mark-as-proven": "proven",
}


@pytest.mark.parametrize("name", RELEASE)
def test_only_main_gets_past_the_tests(name: str) -> None:
    """These steps are release.sh, which knows the branches; test_releases.py tests what it does with each."""
    step = STEPS[name]
    assert step["entrypoint"] == "bash"
    assert step["args"] == ["deploy/release.sh", RELEASE[name]]


def test_the_proof_runs_on_the_launch_that_was_written_in_the_environment_of_the_tests() -> None:
    step = STEPS["prove-on-dataflow"]
    assert step["name"] == STEPS["check-and-test"]["name"]
    assert step["args"][1].startswith(".venv/bin/python -m pytest")
    assert step["env"] == ["TEST_CLOUD=yes"]
    assert "LAUNCH=/workspace/launch.json" in BUILD["options"]["env"]


def test_the_tests_of_a_build_touch_no_cloud() -> None:
    """A build has PROJECT and BUCKET in its environment, but no account that may use them."""
    environment = dict(pair.split("=", 1) for pair in BUILD["options"]["env"])
    assert "TEST_CLOUD" not in environment
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "tests/cloud"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True)
    assert done.stdout.count("SKIPPED") == 2, done.stdout  # both files


def test_the_scripts_get_what_they_ask_for() -> None:
    given = dict(pair.split("=", 1) for pair in BUILD["options"]["env"])
    assert given == {
        "PROJECT": "$PROJECT_ID",
        "REGION": "$_REGION",
        "BUCKET": "$_BUCKET",
        "BRANCH": "$BRANCH_NAME",
        "TAG": "$SHORT_SHA",
        "LAUNCH": "/workspace/launch.json",
    }
    of_a_tag = dict(pair.split("=", 1) for pair in PROMOTION["options"]["env"])
    assert of_a_tag == {name: given[name] for name in ("PROJECT", "REGION", "BUCKET", "TAG")}
    for build in (BUILD, PROMOTION):
        assert set(build["substitutions"]) == {"_REGION", "_BUCKET"}
        assert build["options"]["logging"] == "CLOUD_LOGGING_ONLY"  # a service account of one's own needs this


def test_the_machine_has_the_memory_that_the_tests_take() -> None:
    assert BUILD["options"]["machineType"] == "E2_HIGHCPU_8"  # 8 GB


def test_the_image_that_is_tested_is_the_one_that_is_pushed() -> None:
    assert "--tag=sessions:$SHORT_SHA" in STEPS["build-image"]["args"]
    tested = STEPS["test-inside-the-image"]["args"][1]
    assert "sessions:$SHORT_SHA" in tested
    for restriction in ("--network=none", "--read-only", "--user=65534:65534"):
        assert restriction in tested
    assert "tar --create sample deploy/smoke_test.sh |" in tested
    assert tested.endswith("PYTHONPATH=$$PWD bash deploy/smoke_test.sh'")
    assert 'docker tag "sessions:$TAG"' in (ROOT / "deploy/release.sh").read_text()
