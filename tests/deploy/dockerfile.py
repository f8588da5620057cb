"""A small reader of the Dockerfile, so that tests can run its own steps where there is no Docker."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Stage:
    """A build stage: where it starts from, its name, its instructions as (word, rest)."""

    base: str
    name: str
    instructions: tuple[tuple[str, str], ...]

    def all(self, word: str) -> list[str]:
        """The arguments of every instruction of one kind, in order."""
        return [rest for found, rest in self.instructions if found == word]


def stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile; the value of an ARG before the first stage is put into the FROM lines."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found: list[list[tuple[str, str]]] = []
    arguments: dict[str, str] = {}
    for line in filter(None, whole.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "ARG" and not found:
            name, _, value = rest.partition("=")
            arguments[name] = value
        elif word == "FROM":
            found.append([(word, re.sub(r"\$\{(\w+)\}", lambda match: arguments[match.group(1)], rest))])
        else:
            found[-1].append((word, rest))
    return [_stage(instructions) for instructions in found]


def _stage(instructions: list[tuple[str, str]]) -> Stage:
    base, _, name = instructions[0][1].partition(" AS ")
    return Stage(base, name, tuple(instructions[1:]))


def context(text: str) -> set[str]:
    """Names at the top of the build context that a `.dockerignore` of the form "nothing but" lets through."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    return {line[1:] for line in lines if line.startswith("!")}


def run_steps(stage: Stage, folder: Path, environment: Mapping[str, str]) -> None:
    """Do what the WORKDIR, COPY and RUN instructions of a stage say, with `folder` as the root of the image.

    Two differences: absolute paths of the image lie below `folder`, and installers may use their caches and leave
    bytecode to who imports, since only the image's own ENV says otherwise.
    """
    here = folder
    allowed = context((ROOT / ".dockerignore").read_text())
    for word, rest in stage.instructions:
        if word == "WORKDIR":
            here = folder / rest.lstrip("/")
            here.mkdir(parents=True, exist_ok=True)
        elif word == "COPY" and not rest.startswith("--from="):
            *sources, target = shlex.split(rest)
            place = folder / target.lstrip("/") if target.startswith("/") else here / target
            for source in sources:
                assert source.split("/")[0] in allowed, f"{source} is not in the build context"
                _copy(ROOT / source, place / Path(source).name if target.endswith("./") else place)
        elif word == "RUN":
            command = rest.replace("--no-cache-dir ", "").replace("/opt/", f"{folder}/opt/")
            subprocess.run(["sh", "-ec", command], cwd=here, env=dict(environment), check=True)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
