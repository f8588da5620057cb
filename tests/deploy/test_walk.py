"""docs/deploy.md, walked from an empty project: every command of the page, copied, in three settings.

The tools are pretended (`fake_tools.py`); what the scripts would run is looked at by gcloud's own linter.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.cloud import HAS_GCLOUD, THERE, Cloud, complaints
from tests.deploy.dockerfile import ROOT

pytestmark = pytest.mark.slow
PAGE = (ROOT / "docs/deploy.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
OTHER = {
    "REGION": "us-east1",
    "LOCATION": "us-east1",
    "BUCKET": "other-bucket",
    "NETWORK_PROJECT": "host",
    "SUBNETWORK": "workers",
    "POSTHOG_DATASET": "ph",
    "FIREBASE_DATASET": "fb",
    "PRODUCTION_DATASET": "results",
    "DEV_DATASET": "results_dev",
    "MACHINE_TYPE": "n2-standard-4",
    "MAX_WORKERS": "3",
    "BUILD_REGION": "global",
}
REPOSITORY = "projects/my-project/locations/europe-west1/connections/github/repositories/my-repository"
SETTINGS = {
    "defaults": ({}, THERE),
    "everything different": (OTHER, {"dataset/ph": {"location": "us-east1"}, "dataset/fb": {"location": "us-east1"}}),
    "no Firebase, no network, second generation": (
        {"REPOSITORY": REPOSITORY},
        {"dataset/posthog_etl": {"location": "EU"}},
    ),
}


def page(settings: dict[str, str]) -> str:
    """All shell blocks in order; the settings are exported where the page says so, after its own names."""
    first, *others = BLOCKS
    if "REPOSITORY" in settings:
        first = re.sub("^export REPO_OWNER.*\n", "", first, flags=re.MULTILINE)
    exports = "".join(f"export {name}={value}\n" for name, value in settings.items())
    return "\n".join([first, exports, *others])


def walk(folder: Path, script: str, there: dict[str, dict[str, str]]) -> tuple[Cloud, list[list[str]], str, list[str]]:
    """The project afterwards, the calls of the tools, what was printed, and the commands that failed."""
    cloud = Cloud.make(folder / "cloud", there)
    for name in ("deploy", "flex_template.json", "cloudbuild.yaml"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv/bin").mkdir(parents=True)
    for tool, program in {
        "cloud/git": '[ "$1" != rev-parse ] || echo abc1234',
        "cloud/make": "true",
        ".venv/bin/python": "true",
    }.items():
        (folder / tool).write_text(f'#!/bin/sh\n[ $# -gt 0 ] && echo "$0 $*" >>"$CLOUD/others"\n{program}\n')
        (folder / tool).chmod(0o755)
    trap = "trap 'echo \"FAILED: $BASH_COMMAND\" >&2' ERR\n"
    environment = {"CLOUD": str(cloud.folder), "PATH": f"{cloud.folder}:/usr/bin:/bin", "PATIENCE": "0"}
    done = subprocess.run(
        ["bash", "-uc", trap + script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    cloud.errors = done.stderr
    failed = re.findall(r"^FAILED: (.*)$", done.stderr, re.MULTILINE)
    return cloud, cloud.noted(), done.stdout, failed


@pytest.mark.parametrize("name", SETTINGS)
def test_the_page_is_walked(tmp_path: Path, name: str) -> None:
    settings, there = SETTINGS[name]
    script = page(settings)
    assert script.count("deploy/setup.sh") == 3
    until, teardown, rest = script.partition("deploy/teardown.sh --plan")
    cloud, calls, printed, failed = walk(tmp_path, until, there)
    # without Firebase the page's own command says what is left to do, and everything else works
    wanted = ["deploy/setup.sh"] if "Firebase" in name else []
    assert failed == wanted, cloud.errors
    if wanted:
        assert "dataset firebase_etl_prod is not there" in cloud.errors
    region = settings.get("REGION", "europe-west1")
    for job in ("sessions-nightly", "sessions-dev-nightly"):
        launch = cloud.scheduled(job)["launchParameter"]
        image = launch["environment"]["sdkContainerImage"]
        assert image == f"{region}-docker.pkg.dev/my-project/sessions/pipeline@sha256:0123"
        assert launch["containerSpecGcsPath"].endswith("/templates/production/abc1234.json")
    launched = (cloud.folder / "launched.json").read_text()
    assert '"full_load": "true"' in launched
    assert "create  Scheduler job sessions-nightly" in printed
    if name == "everything different":
        words = [word for call in calls for word in call] + [launched]
        for default in ("europe-west1", "my-project-sessions", "posthog_etl", "posthog_aggregated", "firebase_etl"):
            assert not [word for word in words if default in word], default
    if HAS_GCLOUD:
        kinds = {tuple(sorted(word.partition("=")[0] for word in call)): call for call in calls}
        assert complaints(call for call in kinds.values() if call[0] in ("gcloud", "bq")) == {}
    others = (cloud.folder / "others").read_text()
    for said in ("git tag v1.0", "git push origin v1.0", "make test-dataflow", "--plan_only"):
        assert said in others
    if name == "defaults":  # and back again
        state = cloud.state
        (tmp_path / "back").mkdir()
        cloud, _, printed, failed = walk(
            tmp_path / "back", page({}).partition("\n\n")[0] + "\n" + teardown + rest, state
        )
        assert failed == []
        assert "remove  bucket my-project-sessions" in printed
        left = {key for key in cloud.state if not key.startswith(("policy ", "artifacts docker", "beta monitoring"))}
        assert left == {*THERE, "secrets/excluded-users", "secrets versions/excluded-users"}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_script_of_the_page_has_a_dry_run(tmp_path: Path, name: str) -> None:
    settings, there = SETTINGS[name]
    scripts = re.findall(r"(?m)^(?:TAG=\S+ \S+ \S+ )?deploy/\w+\.sh.*$", "\n".join(BLOCKS))
    assert len(scripts) >= 7
    lines = [re.sub(r"(deploy/\w+\.sh)(?: --(?:dry-run|plan|check))?", r"\1 --dry-run", line) for line in scripts]
    ready = [
        line for line in lines if "launch.sh" not in line
    ]  # a launch is that of a Scheduler job, which is not there
    names = "".join(f"export {key}={value}\n" for key, value in ({"PROJECT": "my-project"} | settings).items())
    cloud, calls, printed, failed = walk(tmp_path, names + "\n".join(ready), there)
    assert calls == [] or all("describe" in call for call in calls)
    assert [line for line in failed if "setup" not in line] == []
    assert "gcloud scheduler jobs create http sessions-nightly" in printed
    assert "gcloud builds submit" in printed
    assert cloud.state == there
