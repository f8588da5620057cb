"""The commands as processes: signals, a reader that leaves, streams that are closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.builders import event, run, write_events

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
#: Python imports this as it starts: the command never ends.
_SITE = """
import pathlib, time
from {module} import {name} as held

def wait(*_):
    pathlib.Path("asked").touch()
    time.sleep(600)

held.{attribute} = wait
"""


def start(module: str, folder: Path, *arguments: str, held: str = "") -> subprocess.Popen[str]:
    (folder / "site").mkdir(exist_ok=True)
    (folder / "site" / "sitecustomize.py").write_text(held)
    restored = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.executable, sys.argv[1:])"
    )
    return subprocess.Popen(
        [sys.executable, "-S", "-c", restored, sys.executable, "-m", module, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder / 'site'}:{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("package", ["pipeline", "pipeline.views", "pipeline.report"])
def test_a_command_is_ready_for_signals_before_it_imports_what_is_slow(package: str) -> None:
    """Python imports the package before its `__main__`."""
    slow = f"import sys, {package}, pipeline.signals; print({{'numpy', 'pyarrow', 'apache_beam'}} & {{*sys.modules}})"
    told = subprocess.run([sys.executable, "-c", slow], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "set()\n"


@pytest.mark.parametrize(
    ("module", "held", "name"),
    [
        ("pipeline.views", ("pipeline.views", "command", "_print"), "pipeline.views"),
        ("pipeline.report", ("pipeline.report", "command", "_report"), "pipeline.report"),
    ],
)
@pytest.mark.parametrize(
    ("number", "code", "cause"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_a_command(
    module: str,
    held: tuple[str, str, str],
    name: str,
    number: signal.Signals,
    code: int,
    cause: str,
    tmp_path: Path,
) -> None:
    site = _SITE.format(**dict(zip(("module", "name", "attribute"), held, strict=True)))
    with start(module, tmp_path, held=site) as process:
        until = time.monotonic() + 30
        while not (tmp_path / "asked").exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(number)
        try:
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (code, "", f"{name}: {cause}\n")


@pytest.mark.parametrize(
    ("command", "env"),
    [
        ("-m pipeline --runner DirectRunner --plan_only --warehouse {} 2>&-", {}),
        ("-m pipeline --runner DirectRunner --warehouse {} 2>&-", {}),
        ("-m pipeline --help", {"PYTHONIOENCODING": "ascii"}),
        ("-m pipeline.views daily_active --warehouse {}", {"PYTHONIOENCODING": "ascii"}),
    ],
)
def test_streams_that_are_closed_or_know_few_characters_are_no_reason_to_fail(
    command: str, env: dict[str, str], tmp_path: Path
) -> None:
    write_events(tmp_path, [event(1)])
    assert run(tmp_path) == 0
    shell = f"{sys.executable} {command.format(tmp_path)}"
    told = subprocess.run(
        ["sh", "-c", shell], cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout


def test_a_reader_that_leaves_ends_it_silently(tmp_path: Path) -> None:
    warehouse = write_events(tmp_path / "warehouse", [event(1)])
    assert run(warehouse) == 0
    with start("pipeline.views", tmp_path, "--warehouse", str(warehouse), "daily_active") as process:
        assert process.stdout
        process.stdout.close()
        assert process.stderr
        assert process.stderr.read() == ""
    assert process.returncode == 141
