"""The image and the package: the Dockerfile's own steps in a clean environment, launched from elsewhere.

There is no Docker here, so the steps are read from the Dockerfile and run below a temporary folder.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.deploy.cloud import Cloud
from tests.deploy.dockerfile import ROOT, context, run_steps, stages
from transforms.metrics import file

STAGES = stages((ROOT / "Dockerfile").read_text())
BUILD = next(stage for stage in STAGES if stage.name == "build")
FINAL = STAGES[-1]
VARIABLES = dict(pair.split("=", 1) for pair in " ".join(FINAL.all("ENV")).split())
#: Settings of pip, as uv calls them.
_SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "cert": "SSL_CERT_FILE",
}
#: What the package must hold: the code of both packages and the metrics.
SOURCES = {
    str(path.relative_to(ROOT))
    for package in ("pipeline", "transforms")
    for ending in ("py", "toml", "sql", "css", "js")
    for path in (ROOT / package).rglob(f"*.{ending}")
}


def _environment(first_on_path: Path) -> dict[str, str]:
    """The test's own environment without what would let the repository's code be found, or bytecode be made anew."""
    left_out = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return _for_uv() | kept | {"PATH": f"{first_on_path}{os.pathsep}{os.environ['PATH']}"}


@functools.cache
def _for_uv() -> dict[str, str]:
    """Where this machine's pip finds packages, and by what it knows their servers: uv reads no settings of pip."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"^[\w:]+\.([\w-]+)='(.*)'$", told, re.MULTILINE))  # the environment comes last
    return {name: found[setting].replace("\\n", " ") for setting, name in _SETTINGS.items() if setting in found}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of an image made by the steps of the last two stages."""
    folder = tmp_path_factory.mktemp("image")
    # most of what is installed no test imports, so its bytecode can wait
    run_steps(BUILD, folder, _environment(Path(sys.executable).parent) | {"PIP_NO_COMPILE": "1"})
    run_steps(FINAL, folder, {})
    for name in ("src", "opt/uv"):  # the final stage does not have them
        shutil.rmtree(folder / name)
    return folder


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source archive, and the wheel that was built from it."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for path in ROOT.iterdir():  # all of the repository that a careless MANIFEST.in could take in
        if path.is_dir() and path.name in ("pipeline", "transforms", "sample", "tests", "benchmarks", "deploy", "docs"):
            shutil.copytree(path, source / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.is_file():
            shutil.copy(path, source)
    command = [sys.executable, "-m", "build", "--installer=uv", "--outdir", str(dist), str(source)]
    environment = _environment(Path(sys.executable).parent)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(dist.glob("*.tar.gz")), next(dist.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_and_the_source_archive_hold_the_package_and_nothing_else(archives: tuple[Path, Path]) -> None:
    archive, wheel = archives
    with zipfile.ZipFile(wheel) as opened:
        files = {name for name in opened.namelist() if ".dist-info/" not in name}
    assert files == SOURCES
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames() if opened.getmember(name).isfile()}
    around = {name for name in names - SOURCES if ".egg-info/" not in name}
    assert names >= SOURCES
    assert around == {
        "LICENSE",
        "MANIFEST.in",
        "PKG-INFO",
        "README.md",
        "pyproject.toml",
        "requirements.in",
        "setup.cfg",
        "setup.py",
    }


@pytest.mark.slow
def test_the_installed_package_answers_from_another_folder(image: Path, tmp_path: Path) -> None:
    python = image / "opt/venv/bin/python"
    assert VARIABLES["PATH"].startswith("/opt/venv/bin:")
    main = image / VARIABLES["FLEX_TEMPLATE_PYTHON_PY_FILE"].lstrip("/")
    environment = _environment(python.parent)
    done = subprocess.run([python, main, "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--full_load" in done.stdout
    bare = [python, main, "--metrics_file", str(file.PACKAGED)]
    done = subprocess.run(bare, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert "no warehouse at ./warehouse" in line
    assert "--warehouse" in line
    where = (
        "import pipeline, transforms.metrics.file as m;print(pipeline.__file__, m.PACKAGED, m.load_metrics().digest)"
    )
    found = subprocess.run([python, "-c", where], cwd=tmp_path, env=environment, capture_output=True, text=True)
    module, metrics, digest = found.stdout.split()
    for path in (module, metrics):
        assert Path(path).is_relative_to(image / "opt/venv")
    assert digest


def smoke_test(image: Path, temporary: Path) -> subprocess.CompletedProcess[str]:
    """What Cloud Build runs inside the image."""
    environment = _environment(image / "opt/venv/bin") | VARIABLES | {"ROOT": str(image), "TMPDIR": str(temporary)}
    environment["PYTHONPATH"] = str(temporary / "generator")  # comes with the script, is no part of the image
    environment["PATH"] = _environment(image / "opt/venv/bin")["PATH"]
    command = ["bash", ROOT / "deploy/smoke_test.sh"]
    return subprocess.run(command, cwd=temporary, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_smoke_test_misses_what_is_missing_and_runs_the_pipeline_twice(image: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "sample", tmp_path / "generator/sample")
    missing = smoke_test(image, tmp_path)
    assert (missing.returncode, missing.stderr) == (1, "missing in the image: /opt/apache/beam/boot\n")
    for program in ("opt/apache/beam/boot", "opt/google/dataflow/python_template_launcher"):  # other stages bring these
        (image / program).parent.mkdir(parents=True)
        (image / program).touch(mode=0o755)
    done = smoke_test(image, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "No broken requirements found." in done.stdout
    first, second = done.stdout.split("Done in")[:2]
    assert "full (first run" in first
    assert "incremental" in second


@pytest.mark.slow
def test_the_smoke_test_takes_metrics_that_hash(tmp_path: Path) -> None:
    """The code comes from a copy beside the generator, so that its metrics can be others; no image is made."""
    image = tmp_path / "image"
    for package in ("sample", "pipeline", "transforms"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / "generator" / package, ignore=ignored)
    metrics = tmp_path / "generator/transforms/metrics/metrics.toml"
    metrics.write_text(f"{file.PACKAGED.read_text()}\n[privacy]\nidentity = 'hash'\n")
    for program in ("opt/apache/beam/boot", "opt/google/dataflow/python_template_launcher"):
        (image / program).parent.mkdir(parents=True)
        (image / program).touch(mode=0o755)
    (image / "opt/venv").symlink_to(sys.prefix)
    (image / "template").mkdir()
    shutil.copy(ROOT / "pipeline/__main__.py", image / "template/main.py")
    done = smoke_test(image, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "with the key" in done.stdout
    assert "incremental" in done.stdout.split("Done in")[1]


def test_the_final_stage_is_small_and_complete() -> None:
    copied = FINAL.all("COPY")
    assert "--from=beam /opt/apache/beam /opt/apache/beam" in copied
    launcher = "/opt/google/dataflow/python_template_launcher"
    assert f"--from=launcher {launcher} {launcher}" in copied
    assert [source for source in copied if source.startswith("--from=build")] == ["--from=build /opt/venv /opt/venv"]
    assert FINAL.all("RUN") == []
    assert FINAL.all("ENTRYPOINT") == ['["/opt/apache/beam/boot"]']
    assert BUILD.base == FINAL.base
    assert FINAL.base.partition("@")[0].endswith("-slim-bookworm")
    assert any("pip check" in step for step in BUILD.all("RUN"))


def test_no_tag_floats() -> None:
    for stage in STAGES:
        _, _, tag = stage.base.partition("@")[0].rpartition(":")
        assert any(letter.isdigit() for letter in tag), stage.base


def test_the_images_of_our_own_stages_are_pinned_by_content() -> None:
    assert re.fullmatch(r"python:[\d.]+-slim-bookworm@sha256:[0-9a-f]{64}", FINAL.base)


@pytest.mark.slow
def test_digests_are_written_behind_every_tag(tmp_path: Path) -> None:
    files = ("Dockerfile", "cloudbuild.yaml", "deploy/promote.yaml")
    (tmp_path / "deploy").mkdir()
    for name in files:
        shutil.copy(ROOT / name, tmp_path / name)
    digest = "sha256:" + "ab" * 32
    cloud = Cloud.make(tmp_path / "cloud")
    (cloud.folder / "docker").write_text(f'#!/bin/sh\necho "$@" >>"$CLOUD/asked"; echo {digest}\n')
    cloud.calls("pin_images.sh", ROOT=str(tmp_path))
    for stage in stages((tmp_path / "Dockerfile").read_text()):
        assert stage.base.endswith(f"@{digest}")
        assert stage.base.count("@") == 1
    builders = re.findall(r"name: (\S+)", "".join((tmp_path / name).read_text() for name in files[1:]))
    assert {name for name in builders if "@" not in name} == {"gcr.io/cloud-builders/docker"}  # Cloud Build's own
    before = [(tmp_path / name).read_text() for name in files]
    cloud.calls("pin_images.sh", ROOT=str(tmp_path))
    assert [(tmp_path / name).read_text() for name in files] == before
    (cloud.folder / "docker").write_text("#!/bin/sh\nexit 1\n")
    cloud.calls("pin_images.sh", fails=True, ROOT=str(tmp_path))
    assert "no digest for apache/beam_python3.11_sdk:" in cloud.errors
    assert [(tmp_path / name).read_text() for name in files] == before


def test_the_build_context_is_what_the_steps_copy() -> None:
    copied = {
        source.split("/")[0].removeprefix("./")
        for stage in STAGES
        for rest in stage.all("COPY")
        if not rest.startswith("--from=")
        for source in rest.split()[:-1]
    }
    assert context((ROOT / ".dockerignore").read_text()) == copied


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    bad = "FROM python\nRUN cd /tmp && pip install x\n"
    refused = subprocess.run([hadolint, "-"], input=bad, capture_output=True, text=True, check=False)
    assert "DL3006" in refused.stdout
