"""All of deploy/*.sh: the way back, what is missing, and what shellcheck says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.cloud import (
    BARE,
    SECOND_GENERATION,
    SETTINGS,
    Cloud,
)
from tests.deploy.dockerfile import ROOT

pytestmark = pytest.mark.slow

SCRIPTS = sorted((ROOT / "deploy").glob("*.sh"))


# the way back


def test_a_teardown_removes_what_setup_made_and_no_data(cloud: Cloud) -> None:
    state = cloud.state
    state["dataset/posthog_aggregated"]["tables"] = "yes"
    (cloud.folder / "state.json").write_text(json.dumps(state))
    cloud.calls("teardown.sh", fails=True, **SETTINGS)  # the dataset with tables is left out, and said
    left = {key for key in cloud.state if not key.startswith("policy ")}
    assert left == {
        "dataset/posthog_etl",
        "dataset/firebase_etl_prod",
        "dataset/posthog_aggregated",
        "compute networks subnets/default",
        "secrets/excluded-users",
        "secrets versions/excluded-users",
        *(key for key in left if key.startswith("beta monitoring channels/")),
    }
    assert "rm -f --dataset my-project:posthog_aggregated" in cloud.errors
    cloud.calls("teardown.sh", "posthog_aggregated", "excluded-users", **SETTINGS)
    assert "dataset/posthog_aggregated" not in cloud.state
    assert "secrets/excluded-users" not in cloud.state
    assert "dataset/posthog_etl" in cloud.state


def test_a_teardown_removes_the_network_that_setup_made_and_no_other(tmp_path: Path, cloud: Cloud) -> None:
    assert not [call for call in cloud.calls("teardown.sh", "--plan", **SETTINGS) if "delete" in call]
    bare = Cloud.make(tmp_path / "bare", BARE)
    bare.calls("setup.sh", fails=True, **SECOND_GENERATION)
    bare.calls("teardown.sh", **SECOND_GENERATION)
    assert not [key for key in bare.state if key.startswith("compute")]


def test_a_teardown_refuses_names_of_others(cloud: Cloud) -> None:
    assert cloud.calls("teardown.sh", "posthog_etl", fails=True, **SETTINGS) == []
    assert "posthog_etl is nothing that setup.sh makes" in cloud.errors


# the scripts themselves


def test_what_is_missing_is_named() -> None:
    for settings, name in (({}, "PROJECT"), ({"PROJECT": "my-project"}, "TAG")):
        script = ROOT / "deploy" / ("setup.sh" if name == "PROJECT" else "release.sh")
        done = subprocess.run(
            ["bash", script], env=settings | {"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
        )
        assert done.returncode != 0
        assert f"export {name}" in done.stderr
    done = subprocess.run(["bash", ROOT / "deploy/setup.sh", "--dryrun"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "usage: deploy/setup.sh [--dry-run|--plan]\n")


def test_a_release_needs_no_more_than_the_build_passes_on() -> None:
    """Every name of settings.sh is in the bodies; those of names.sh are given by cloudbuild.yaml and the triggers."""
    names = set(re.findall(r'^: "\$\{(\w+)', (ROOT / "deploy/names.sh").read_text(), re.MULTILINE))
    assert names == {"PROJECT", "REGION", "BUCKET", "TAG"}
    for file in ("cloudbuild.yaml", "deploy/promote.yaml"):
        assert all(f"- {name}=$" in (ROOT / file).read_text() for name in names), file
    settings = set(re.findall(r'^: "\$\{(\w+)', (ROOT / "deploy/settings.sh").read_text(), re.MULTILINE))
    assert settings
    for script in ("release.sh", "build.sh", "launch.sh"):
        text = (ROOT / "deploy" / script).read_text()
        assert "settings.sh" not in re.sub("^#.*", "", text, flags=re.MULTILINE)
        used = {name for name in settings if re.search(rf"\$\{{?{name}\b", text)}
        assert used == ({"BUILD_REGION"} if script == "build.sh" else set()), script  # where a build by hand runs
    for trigger in (ROOT / "deploy/triggers").glob("*.json"):
        assert '"substitutions": {"_REGION": "${REGION}", "_BUCKET": "${BUCKET}"}' in trigger.read_text()


def test_shellcheck_finds_nothing() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, "--external-sources", *SCRIPTS], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    bad = subprocess.run([shellcheck, "--shell=bash", "-"], input="rm $1\n", capture_output=True, text=True)
    assert "SC2086" in bad.stdout
