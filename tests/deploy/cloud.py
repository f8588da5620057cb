"""A pretended Google Cloud for the scripts of deploy/, and what checks the commands they would run.

The fakes stand in for `gcloud`, `bq`, `docker` and `curl` on the PATH (`fake_tools.py`): they note every call, remember
what was created, and answer questions about it, so that a second run finds everything there.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.dockerfile import ROOT
from tests.deploy.fake_tools import VERBS, put_tools

NO_GCLOUD = "gcloud is not installed; what the commands do is checked by the other tests"
HAS_GCLOUD = shutil.which("gcloud") is not None and shutil.which("bq") is not None
SETTINGS = {"PROJECT": "my-project", "ALERT_EMAIL": "me@example.com", "REPO_OWNER": "owner", "REPO_NAME": "repo"}

#: What a project has before setup.sh: the exports and a default network.
THERE = {
    "dataset/posthog_etl": {"location": "EU"},
    "dataset/firebase_etl_prod": {"location": "EU"},
    "compute networks subnets/default": {"network": "default"},
}
#: A project without Firebase and network; settings with a repository of the second generation.
BARE = {"dataset/posthog_etl": {"location": "EU"}}
SECOND_GENERATION = {
    "PROJECT": "my-project",
    "ALERT_EMAIL": "me@example.com",
    "REPOSITORY": "projects/my-project/locations/us-central1/connections/c/repositories/r",
}
#: Commands that only look.
LOOKS = {"describe", "list", "show", "ls", "get-iam-policy"}
#: What makes nothing new even in a project that has everything.
STEADY = {"enable"}
#: What Cloud Scheduler has after setup.sh.
JOBS = ["sessions-nightly", "sessions-full-load", "sessions-dev-nightly", "sessions-dev-full-load"]
#: Settings of a step of release.sh.
RELEASE = {"PROJECT": "my-project", "TAG": "abc1234"}


@dataclass
class Cloud:
    """A folder with the fakes and what they noted."""

    folder: Path
    output: str = ""
    """What the last script printed."""
    errors: str = ""
    code: int = 0

    @classmethod
    def make(cls, folder: Path, there: Mapping[str, Mapping[str, str]] = THERE) -> Cloud:
        """A project in which there is this much."""
        folder.mkdir(exist_ok=True)
        put_tools(folder)
        (folder / "state.json").write_text(json.dumps(there))
        return cls(folder)

    def calls(self, script: str, *arguments: str, fails: bool = False, **settings: str) -> list[list[str]]:
        """Run a script of deploy/ with these settings; the commands that it ran, as words."""
        log = self.folder / "calls"
        log.unlink(missing_ok=True)
        environment = {"CLOUD": str(self.folder), "PATH": f"{self.folder}:{os.environ['PATH']}", "PATIENCE": "0"}
        done = _bash(script, *arguments, **environment, **settings)
        self.output, self.errors, self.code = done.stdout, done.stderr, done.returncode
        assert (done.returncode != 0) == fails, done.stderr
        return self.noted()

    def noted(self) -> list[list[str]]:
        """The commands that were run, as words."""
        log = self.folder / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def body(self, calls: list[list[str]], number: int) -> str:
        """The file that the command of this index sent."""
        return (self.folder / f"{number + 1}.json").read_text()

    @property
    def state(self) -> dict[str, dict[str, str]]:
        """What there is, by kind and name."""
        return json.loads((self.folder / "state.json").read_text())

    def scheduled(self, job: str) -> dict[str, Any]:
        """The body of a Scheduler job."""
        return json.loads(base64.b64decode(self.state[f"scheduler jobs/{job}"]["httpTarget.body"]))

    def fail(self, *patterns: str) -> None:
        """From now on, commands that one of these expressions matches fail."""
        (self.folder / "fail").write_text("\n".join(patterns))


def run(script: str, *arguments: str, **settings: str) -> str:
    """What a script of deploy/ prints; only these settings are in its environment."""
    done = _bash(script, *arguments, PATH=os.environ["PATH"], **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _bash(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", ROOT / "deploy" / script, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def commands_in(text: str) -> list[list[str]]:
    """The gcloud and bq commands of a script's dry run or of a shell block in the docs, as words."""
    found: list[list[str]] = []
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        command: list[str] = []
        for word in [*words, ";"]:
            if word == "<" or (word and not set(word) <= set("();<>|&{}$")):
                command.append(word)
                continue
            if command[:1] in (["gcloud"], ["bq"]):
                found.append(command)
            command = []
    return found


def complaints(commands: Iterable[list[str]]) -> dict[str, str]:
    """What the installed tools say against commands, by command. Needs `HAS_GCLOUD`.

    Of commands that differ only in names and values one is looked at, since the tools build all their parsers anew for
    each; and the tools take a second to start, so a caller gives what it has at once.
    """
    commands = {_kind(words): words for words in commands if words[0] in ("gcloud", "bq")}.values()
    bq = {shlex.join(words): _bq_complaint(words) for words in commands if words[0] == "bq"}
    gcloud = sorted({shlex.join(words) for words in commands if words[0] == "gcloud"})
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([{"command_string": command} for command in gcloud], file)
        file.flush()
        lint = ["gcloud", "meta", "lint-gcloud-commands", f"--commands-file={file.name}"]
        done = subprocess.run(lint, capture_output=True, text=True, check=True)
    results = json.loads(done.stdout)
    assert len(results) == len(gcloud)
    said = {result["command_string"]: str(result["error_message"]) for result in results if not result["success"]}
    return said | {command: text for command, text in bq.items() if text}


def _kind(words: list[str]) -> tuple[object, ...]:
    """The command with its flags, and how many names of which form it is given."""
    plain = [word for word in words if not word.startswith("-")]
    at = next((number for number, word in enumerate(plain) if word in VERBS), len(plain))
    forms = (re.sub(r"[\w-]+", "x", word) for word in plain[at + 1 :])
    flags = sorted(word.partition("=")[0] for word in words if word.startswith("-"))
    return (*plain[: at + 1], *forms, *flags)


def _bq_complaint(words: list[str]) -> str:
    """`bq` has no linter: its help says which commands and flags there are."""
    command = next(word for word in words[1:] if not word.startswith("-"))
    at = words.index(command)
    for flags, known in ((words[1:at], _bq_flags("")), (words[at:], _bq_flags(command))):
        for flag in flags:
            if flag.startswith("--") and flag.removeprefix("--").split("=")[0] not in known:
                return f"bq {command}: unknown flag {flag}"
    return ""


@functools.cache
def _bq_flags(command: str) -> frozenset[str]:
    asked = ["bq", "help", command] if command else ["bq", "--help"]
    # outside any project: bq wants one to be set before it helps
    environment: Mapping[str, str] = os.environ | {"CLOUDSDK_CORE_PROJECT": "my-project"}
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False)
    flags = re.findall(r"^ +(?:-\w,)?--(?:\[no\])?(\w+)", done.stdout + done.stderr, re.MULTILINE)
    assert flags, f"bq has no help on {command!r}"
    return frozenset(flags)


def value(call: list[str], flag: str) -> str:
    """The value of a flag of a command."""
    return next(word.partition("=")[2] for word in call if word.startswith(f"--{flag}="))


def changes(calls: list[list[str]]) -> list[list[str]]:
    """The commands that do more than look."""
    return [call for call in calls if not (LOOKS | STEADY) & {word for word in call[1:7] if word[0] != "-"}]


def release(cloud: Cloud, *steps: str, **settings: str) -> list[list[list[str]]]:
    """Steps of release.sh; the commands of each."""
    return [cloud.calls("release.sh", step, **(RELEASE | settings)) for step in steps]
