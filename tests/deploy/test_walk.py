"""docs/deploy.md, walked from an empty project: every command of the page, copied, in three settings.

The tools are pretended (`fake_tools.py`). What the scripts would run here and with other settings, and what the other
pages tell one to run, is looked at by the real ones: by gcloud's own linter, and by the help of bq.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.cloud import (
    BARE,
    HAS_GCLOUD,
    NO_GCLOUD,
    RELEASE,
    SECOND_GENERATION,
    THERE,
    Cloud,
    commands_in,
    complaints,
    release,
    run,
)
from tests.deploy.cloud import SETTINGS as SETUP
from tests.deploy.conftest import NewProject
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
TEARDOWN = "deploy/teardown.sh --plan"
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


@dataclass(frozen=True)
class Walk:
    """What a script of the page has done."""

    cloud: Cloud
    """The project afterwards."""
    calls: list[list[str]]
    """Of the tools."""
    printed: str
    failed: list[str]
    """The commands that failed."""


def walk(folder: Path, script: str, there: dict[str, dict[str, str]]) -> Walk:
    """Do it in a project with this much."""
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
    return Walk(cloud, cloud.noted(), done.stdout, failed)


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Walk]:
    """The page until it removes all again, by the name of the settings; look only."""
    return {
        name: walk(tmp_path_factory.mktemp("walk"), page(settings).partition(TEARDOWN)[0], there)
        for name, (settings, there) in SETTINGS.items()
    }


@pytest.mark.parametrize("name", SETTINGS)
def test_the_page_is_walked(tmp_path: Path, walks: dict[str, Walk], name: str) -> None:
    settings, _ = SETTINGS[name]
    script = page(settings)
    assert script.count("deploy/setup.sh") == 3
    _, teardown, rest = script.partition(TEARDOWN)
    walked = walks[name]
    cloud, calls, printed, failed = walked.cloud, walked.calls, walked.printed, walked.failed
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
    others = (cloud.folder / "others").read_text()
    for said in ("git tag v1.0", "git push origin v1.0", "make test-dataflow", "--plan_only"):
        assert said in others
    if name == "defaults":  # and back again
        back = walk(tmp_path, page({}).partition("\n\n")[0] + "\n" + teardown + rest, cloud.state)
        assert back.failed == []
        assert "remove  bucket my-project-sessions" in back.printed
        left = {
            key for key in back.cloud.state if not key.startswith(("policy ", "artifacts docker", "beta monitoring"))
        }
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
    told = walk(tmp_path, names + "\n".join(ready), there)
    assert all("describe" in call for call in told.calls)
    assert [line for line in told.failed if "setup" not in line] == []
    assert "gcloud scheduler jobs create http sessions-nightly" in told.printed
    assert "gcloud builds submit" in told.printed
    assert told.cloud.state == there


# the real tools


def commands_of_scripts(new_project: NewProject, cloud: Cloud, folder: Path) -> list[list[str]]:
    """What all scripts run, in projects that have and lack what they look for."""
    commands = [*new_project.calls]
    bare = Cloud.make(folder / "bare", BARE)
    commands += bare.calls("setup.sh", fails=True, **SECOND_GENERATION, NETWORK_PROJECT="host")
    commands += Cloud.make(folder / "other", BARE).calls("setup.sh", fails=True, **SECOND_GENERATION)
    commands += cloud.calls("setup.sh", **SETUP, MACHINE_TYPE="other", PRODUCTION_DATASET="other")
    for calls in release(cloud, "push", "template", "proven", "promote"):
        commands += calls
    commands += cloud.calls("build.sh", **RELEASE)
    commands += commands_in(run("teardown.sh", "--dry-run", "posthog_aggregated", "excluded-users", **SETUP))
    return commands + cloud.calls("teardown.sh", **SETUP, PRODUCTION_DATASET="other")


def commands_of_pages() -> list[list[str]]:
    """Those in shell blocks, and those in backticks of tables."""
    found = []
    for file in ("docs/deploy.md", "docs/operate.md", "README.md"):
        text = (ROOT / file).read_text()
        inline = re.findall(r"`((?:gcloud|bq) .+?)`", re.sub(r"(?ms)^```.*?^```", "", text))
        found += commands_in("\n".join([*re.findall(r"(?ms)^```sh\n(.*?)^```", text), *inline]))
    return found


@pytest.mark.skipif(not HAS_GCLOUD, reason=NO_GCLOUD)
def test_gcloud_and_bq_know_every_command_of_the_scripts_and_the_docs(
    new_project: NewProject, cloud: Cloud, walks: dict[str, Walk], tmp_path: Path
) -> None:
    written = commands_of_pages()
    assert len(written) > 30
    walked = [call for walked in walks.values() for call in walked.calls]
    bad = [["gcloud", "scheduler", "jobs", "pause", "x", "--shedule=1"], ["bq", "mk", "--datset", "x"]]
    commands = [*written, *walked, *commands_of_scripts(new_project, cloud, tmp_path), *bad]
    assert set(complaints(commands)) == {shlex.join(words) for words in bad}
