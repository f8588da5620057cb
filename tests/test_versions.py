"""One Python and one Beam version everywhere: what is tested is what is built and what the docs say."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import apache_beam

ROOT = Path(__file__).parents[1]
FILES = ("*.py", "*.toml", "*.in", "*.txt", "*.yaml", "*.json", "Makefile", "Dockerfile", ".ci/run")
FOLDERS = ("pipeline", "transforms", "deploy", "docs", "benchmarks")

#: Ways in which a Beam version is written.
BEAM = (
    r"apache[-_]beam(?:\[\w+\])?==(\d+(?:\.\d+)+)",
    r"BEAM_VERSION=(\d+(?:\.\d+)+)",
    r"beam_python[\d.]+_sdk:(\d+(?:\.\d+)+)",
    r"(?:Apache )?Beam (\d+\.\d+(?:\.\d+)?)",
)
#: Ways in which a Python version is written; the first two digits count.
PYTHON = (
    r"[Pp]ython ?(3\.\d+)",
    r"python(3\d\d)-",
    r"python:(3\.\d+)",
    r"beam_python(3\.\d+)_sdk",
    r"python_requires=\">=(3\.\d+)",
    r"target-version = \"py(3\d+)\"",
    r"python_version = \"(3\.\d+)\"",
)


def texts() -> Iterator[tuple[str, str]]:
    """Every file that could name a version."""
    for pattern in (*FILES, "*.md"):
        for path in ROOT.glob(pattern):
            yield path.name, path.read_text()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".md", ".sh", ".json", ".toml", ".sql"):
                yield str(path.relative_to(ROOT)), path.read_text()


def found(patterns: tuple[str, ...]) -> dict[str, set[str]]:
    """Versions by file."""
    versions = {name: {match for p in patterns for match in re.findall(p, text)} for name, text in texts()}
    return {name: matches for name, matches in versions.items() if matches}


def test_one_beam() -> None:
    versions = found(BEAM)
    for name in ("requirements.in", "requirements.txt", "Dockerfile"):
        assert name in versions
    for name, matches in versions.items():
        for match in matches:
            assert apache_beam.__version__.startswith(match), f"{name} says Beam {match}"


def test_one_python() -> None:
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    versions = found(PYTHON)
    for name in (
        "Makefile",
        "Dockerfile",
        "cloudbuild.yaml",
        "setup.py",
        "pyproject.toml",
        "README.md",
        "requirements.txt",
    ):
        assert name in versions
    for name, matches in versions.items():
        for match in matches:
            assert match in (running, running.replace(".", "")), f"{name} says Python {match}"


def test_the_image_and_the_build_use_one_patch_version() -> None:
    images = {
        match
        for name in ("Dockerfile", "cloudbuild.yaml")
        for match in re.findall(r"python:(3\.\d+\.\d+)-", (ROOT / name).read_text())
    }
    assert len(images) == 1


def test_a_lock_has_the_pins_of_the_other() -> None:
    pins = {}
    for name in ("requirements.txt", "requirements-dev.txt"):
        for package, version in re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE):
            assert pins.setdefault(package, version) == version, f"{name}: {package}"
