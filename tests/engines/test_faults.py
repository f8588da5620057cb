"""Workers, task managers and jobs that end in the middle: the right tables or the last good ones, and nothing left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.launcher import main
from tests.builders import event, run, write_events
from tests.end_to_end import killer
from tests.engines import servers
from tests.engines.comparison import assert_equal, copy_of
from tests.engines.servers import Engine, Pool, wait_until

pytestmark = pytest.mark.engine

#: Seconds that a job has to come to a point, or to its end.
SOON = 600
#: Where a worker is killed: while it decodes, combines, stages, has staged, publishes, has published.
POINTS = (
    "while events are decoded",
    "while sessions are combined",
    "while a table is written",
    "after a file of a table is written",
    "before publishing",
    "in the switch, before the link is replaced",
    "after the switch",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse after a first run, with events that arrived since."""
    warehouse = tmp_path_factory.mktemp("base")
    write_events(warehouse, [event(n, f"s{n % 7}", distinct_id=f"a{n % 3}") for n in range(60)])
    assert run(warehouse) == 0
    return write_events(warehouse, [event(100 + n, f"s{n % 9}") for n in range(30)], name="part-1")


@pytest.fixture(scope="module")
def clean(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after a second run that nothing disturbed."""
    warehouse = copy_of(base, tmp_path_factory.mktemp("clean"))
    assert run(warehouse) == 0
    return warehouse


def command(warehouse: Path, engine: Engine, pool: Pool) -> list[str]:
    return ["--quiet", "--warehouse", str(warehouse), *engine.options, *pool.options]


def launch(warehouse: Path, engine: Engine, pool: Pool) -> subprocess.Popen[str]:
    """A run in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *command(warehouse, engine, pool)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a shell's background ignores it
    )


def assert_as_before(warehouse: Path, base: Path) -> None:
    """The run has left what was published, and nothing else."""
    assert_equal(warehouse, base)


@pytest.mark.parametrize("point", POINTS)
def test_flink_tries_again_what_a_killed_worker_has_begun(
    point: str, flink: Engine, base: Path, clean: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    warehouse, flag = copy_of(base, tmp_path / "warehouse"), tmp_path / "flag"
    with servers.pool(flink, ["kill", point, str(flag)]) as pool:
        assert main(command(warehouse, flink, pool)) == 0
    assert flag.exists(), "no worker came to the point"
    assert_equal(warehouse, clean)
    assert re.search(r"= read +90\n", capfd.readouterr().out)  # not once more for every attempt


@pytest.mark.parametrize("point", POINTS)
def test_prism_gives_up_and_the_next_run_heals(
    point: str, prism: Engine, base: Path, clean: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    warehouse, flag = copy_of(base, tmp_path / "warehouse"), tmp_path / "flag"
    with servers.pool(prism, ["kill", point, str(flag)]) as pool:
        assert main(command(warehouse, prism, pool)) == 1
        assert flag.exists(), "no worker came to the point"
        told = capfd.readouterr().err
        assert told.count("\n") == 1
        assert told.startswith("pipeline: the engine ended the job as FAILED")
        if point in killer.PUBLISHED:
            assert told.endswith("the run's tables are published all the same\n")
            assert_equal(warehouse, clean)
            return
        assert_as_before(warehouse, base)
        assert main(command(warehouse, prism, pool)) == 0
    assert_equal(warehouse, clean)


def test_flink_goes_on_when_a_task_manager_is_killed_and_another_comes(
    flink: Engine, base: Path, clean: Path, tmp_path: Path
) -> None:
    warehouse, flag = copy_of(base, tmp_path / "warehouse"), tmp_path / "flag"
    with servers.pool(flink, ["hold", "while a table is written", str(flag)]) as pool:
        process = launch(warehouse, flink, pool)
        wait_until(flag.exists, SOON, "a worker that writes")
        flink.task_managers.pop(0).kill()
        servers.start_task_manager(flink)
        flag.with_suffix(".go").touch()
        _, told = process.communicate(timeout=SOON)
        assert (process.returncode, told) == (0, "")
    assert_equal(warehouse, clean)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_job_that_is_interrupted_is_cancelled_and_starts_again(
    number: signal.Signals, engine: Engine, base: Path, clean: Path, tmp_path: Path
) -> None:
    warehouse, flag = copy_of(base, tmp_path / "warehouse"), tmp_path / "flag"
    with servers.pool(engine, ["hold", "while events are decoded", str(flag)]) as pool:
        process = launch(warehouse, engine, pool)
        wait_until(flag.exists, SOON, "a worker that decodes")
        os.kill(process.pid, number)
        _, told = process.communicate(timeout=SOON)
        word = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
        assert (process.returncode, told) == (128 + number, f"pipeline: {word}; nothing is published\n")
        wait_until(lambda: not {"RUNNING", "RESTARTING", "FAILING"} & {*engine.jobs()}, 60, "the end of the job")
        assert_as_before(warehouse, base)
        flag.with_suffix(".go").touch()
        assert main(command(warehouse, engine, pool)) == 0
    assert_equal(warehouse, clean)


def test_the_job_of_a_launcher_that_was_killed_publishes_nothing_over_the_next_run(
    flink: Engine, base: Path, clean: Path, tmp_path: Path
) -> None:
    warehouse, flag = copy_of(base, tmp_path / "warehouse"), tmp_path / "flag"
    with servers.pool(flink, ["hold", "before publishing", str(flag)]) as pool:
        process = launch(warehouse, flink, pool)
        wait_until(flag.exists, SOON, "a worker that is about to publish")
        process.kill()
        process.communicate()
        assert run(warehouse) == 0  # on this machine, while the other job still has its slots
        flag.with_suffix(".go").touch()
        wait_until(lambda: not pool.workers(), SOON, "the end of the first job")
    assert_equal(warehouse, clean)


def test_an_engine_that_is_lost_is_one_line_and_the_last_good_tables(base: Path, clean: Path, tmp_path: Path) -> None:
    warehouse, flag = copy_of(base, tmp_path / "warehouse"), tmp_path / "flag"
    with servers.prism(tmp_path) as engine, servers.pool(engine, ["hold", POINTS[0], str(flag)]) as pool:
        process = launch(warehouse, engine, pool)
        wait_until(flag.exists, SOON, "a worker that decodes")
        engine.job_server.kill()
        _, told = process.communicate(timeout=SOON)
        assert (process.returncode, told) == (1, "pipeline: the job server was lost (UNAVAILABLE): run again\n")
    assert_as_before(warehouse, base)
    assert run(warehouse) == 0
    assert_equal(warehouse, clean)
