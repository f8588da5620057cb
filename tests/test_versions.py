"""One Python and one Beam version everywhere: what is tested is what is built and what the docs say."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import apache_beam
import pytest
from packaging.markers import Marker

ROOT = Path(__file__).parents[1]
FILES = ("*.py", "*.toml", "*.in", "*.txt", "*.yaml", "*.json", "Makefile", "Dockerfile", ".ci/run")
FOLDERS = ("pipeline", "transforms", "sample", "deploy", "docs", "benchmarks")

LOCKS = (
    "requirements.txt",
    "requirements-image.txt",
    "requirements-dev.txt",
    "requirements-emulators.txt",
    "requirements-peers.txt",
)
#: A pin of a lock: package, version, for which Pythons and systems.
PIN = re.compile(r"^([a-z0-9._-]+)==(\S+)(?: ; ([^\\\n]+?))?(?= \\$|$)", re.MULTILINE)
#: The Pythons that `make` takes; the image has the first.
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
#: Files that tell people which Pythons will do.
RANGES = ("Makefile", "README.md", "CHANGELOG.md")
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


def test_the_image_has_the_oldest_python_that_is_supported_and_nothing_names_another() -> None:
    """Code, types and locks are for the image's Python; newer ones up to `SUPPORTED` run the same code."""
    versions = found(PYTHON)
    for name in ("Dockerfile", "cloudbuild.yaml", "setup.py", "pyproject.toml", "requirements.txt"):
        assert name in versions
    for name, matches in versions.items():
        for match in matches - set(SUPPORTED if name in RANGES else ()):
            assert match in (SUPPORTED[0], SUPPORTED[0].replace(".", "")), f"{name} says Python {match}"


def test_every_supported_python_is_named_where_people_look() -> None:
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in SUPPORTED
    assert f'python_requires=">={SUPPORTED[0]},<3.{len(SUPPORTED) + 11}"' in (ROOT / "setup.py").read_text()
    makefile = (ROOT / "Makefile").read_text()
    assert " ".join(f"python{version}" for version in reversed(SUPPORTED)) in makefile
    for text in (makefile, (ROOT / "README.md").read_text()):
        assert f"Python {', '.join(SUPPORTED[:-1])} or {SUPPORTED[-1]}" in text


def test_the_image_and_the_build_use_one_patch_version() -> None:
    images = {
        match
        for name in ("Dockerfile", "cloudbuild.yaml")
        for match in re.findall(r"python:(3\.\d+\.\d+)-", (ROOT / name).read_text())
    }
    assert len(images) == 1


def test_a_lock_has_the_pins_of_the_other() -> None:
    pins: dict[tuple[str, str], str] = {}
    for name in ("requirements.txt", "requirements-image.txt", "requirements-dev.txt"):
        for package, version, marker in PIN.findall((ROOT / name).read_text()):
            # the other lock may leave a marker away: it is compiled for what both need
            known = {pins.get((package, marker)), pins.get((package, ""))} - {None}
            assert known <= {version}, f"{name}: {package}"
            pins[package, marker] = version


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_its_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE)
    entries = re.split(r"\n(?=\S)", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE))
    assert entries
    for entry in entries:
        pin, *hashes = entry.rstrip().split(" \\\n")
        assert PIN.fullmatch(pin.removesuffix(" \\")), pin
        assert hashes, pin
        assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}", line) for line in hashes), pin


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("python", SUPPORTED)
def test_a_lock_has_one_version_of_a_package_for_each_python(lock: str, python: str) -> None:
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    seen: dict[str, str] = {}
    for package, version, marker in PIN.findall((ROOT / lock).read_text()):
        if not marker or Marker(marker).evaluate(environment):
            assert package not in seen, f"{package}: {seen.get(package)} and {version}"
            seen[package] = version
    if lock == "requirements.txt":
        assert seen["apache-beam"] == apache_beam.__version__
        assert "google-apitools" in seen


def test_the_build_backend_is_pinned() -> None:
    (backend,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert re.fullmatch(r"setuptools==[\d.]+", backend)


def test_what_is_installed_is_what_the_lock_names() -> None:
    for name in ("Makefile", "Dockerfile"):
        installs = [line for line in (ROOT / name).read_text().splitlines() if "--requirement" in line]
        assert installs
        # a lock is complete; pip's own look at the dependencies finds pins without their extras
        assert all("--require-hashes --no-deps" in line for line in installs), name
