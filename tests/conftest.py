"""Where the end-to-end tests run (on folders, or on both BigQuery, which is emulated, and folders); which are slow."""

from __future__ import annotations

import atexit
import gc
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import settings

from transforms.metrics import file

if TYPE_CHECKING:
    from tests.bigquery.emulators import Emulators

#: A red run must be red again, so what is looked at is the same every time; `make test-random` looks elsewhere.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("random", deadline=None, print_blob=True)
settings.load_profile("repeatable")

#: The tests tell people by their ids, so they run under the packaged metrics without `[privacy]`, whatever a release
#: hashes; what hashing does has tests of its own. A process of its own is given `file.PACKAGED` as --metrics_file.
_WITHOUT_PRIVACY = tempfile.TemporaryDirectory()
if re.search(r"(?m)^\[privacy\]", _METRICS := file.PACKAGED.read_text()):
    file.PACKAGED = Path(_WITHOUT_PRIVACY.name) / "metrics.toml"
    file.PACKAGED.write_text(re.sub(r"(?ms)^\[privacy\].*?(?=^\[|\Z)", "", _METRICS))

#: Values of the fixture `place`, beside "folder".
BIGQUERY = pytest.param("bigquery", marks=pytest.mark.emulator)
EVERYWHERE = pytest.param("bigquery", marks=[pytest.mark.emulator, pytest.mark.everywhere])
_BYSTANDER = "bystander"
_WHOLE_RUNS = Path(__file__).with_name("end_to_end")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark as slow, beside what says so itself: whole runs (the laws there are of pure functions) and emulators.

    Tests on engines need what `make test-engines` fetches; only who asks for them by their marker gets them.
    """
    if "engine" not in config.option.markexpr:
        elsewhere = [item for item in items if item.get_closest_marker("engine")]
        items[:] = [item for item in items if not item.get_closest_marker("engine")]
        config.hook.pytest_deselected(items=elsewhere)
    for item in items:
        is_run = item.path.is_relative_to(_WHOLE_RUNS) and not item.path.stem.endswith("_law")
        if is_run or item.get_closest_marker("emulator"):
            item.add_marker("slow")


def pytest_collection_finish() -> None:
    """What is loaded now stays to the end: the collector of cycles need not walk it after every run.

    Beam is loaded here, in the processes that run tests, not above: the one that deals them out would take a third of
    its start for it, while the others wait.
    """
    from tests import builders
    from transforms.events.decoder import EventDecoder

    # the first decoder of a process raises the recursion limit, and Hypothesis warns when that happens in a test
    EventDecoder(builders.METRICS)
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def gives_back() -> Iterator[None]:
    """What a module's tests had of memory goes back to the system: two processes and emulators share 3 GB."""
    yield
    pa.default_memory_pool().release_unused()


def pytest_unconfigure(config: pytest.Config) -> None:
    """A worker has told all by now; DuckDB's module would list the types that are left when Python ends."""
    gc.unfreeze()
    if hasattr(config, "workerinput"):
        atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))


@pytest.fixture(scope="session")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulators]:
    """Both services; they start when the first test needs them."""
    from tests.bigquery.emulators import running

    with running(tmp_path_factory.mktemp("emulators")) as started:
        yield started


@pytest.fixture
def bigquery(
    emulators: Emulators, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Emulators]:
    """Lets `builders.run`, `published` and `ledger` work on BigQuery; `run` compares with the local warehouse.

    Runs make views only for tests that are marked so: they would take the emulator a third of a run's time.
    """
    monkeypatch.setattr("tests.builders.PLACE", emulators)
    if request.node.get_closest_marker("views") is None:
        monkeypatch.setattr("pipeline.warehouse.bigquery.warehouse.make_views", lambda *_: None)
    client = emulators.client()
    client.create_dataset(_BYSTANDER, exists_ok=True)
    others = {dataset.dataset_id for dataset in client.list_datasets()}
    yield emulators
    client.get_dataset(_BYSTANDER)  # Beam's cleanup of a read can take datasets that are not its own
    for name in {dataset.dataset_id for dataset in client.list_datasets()} - others:  # the emulator holds all in memory
        client.delete_dataset(name, delete_contents=True, not_found_ok=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What asks for `place` runs on a folder, or on BigQuery when it is marked so: because it is about reading,
    publishing or SQL there, or as one of its kind. `make test-everywhere` runs all others there too."""
    if "place" not in metafunc.fixturenames:
        return
    wanted = metafunc.config.option.markexpr
    if not metafunc.definition.get_closest_marker("on_bigquery"):
        places = ["folder", *([EVERYWHERE] if "everywhere" in wanted else [])]
    else:
        places = ["folder" if "not emulator" in wanted else BIGQUERY]
    metafunc.parametrize("place", places, indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where `builders.run` runs: on a "folder", where what changes is merged as BigQuery does it and must be what is
    published; or on "bigquery" and a folder, which must publish the same."""
    if request.param == "bigquery":
        request.getfixturevalue("bigquery")
        yield "bigquery"
        return
    from tests.merging import as_bigquery

    with as_bigquery() as folder:
        monkeypatch.setattr("tests.builders.FOLDER", folder)
        yield "folder"


@pytest.fixture(scope="session")
def published_sample() -> Iterator[Path]:
    """The folder of the tables that a run on the sample publishes; look only."""
    from deploy.dictionary import run_on_sample

    with run_on_sample() as published:
        yield published
