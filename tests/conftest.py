"""Where the end-to-end tests run (on a local warehouse, or on BigQuery through the emulators), and which are slow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import builders
from tests.bigquery.emulators import Emulators, running
from transforms.events.decoder import EventDecoder

#: A red run must be red again, so what is looked at is the same every time; `make test-random` looks elsewhere.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("random", deadline=None, print_blob=True)
settings.load_profile("repeatable")

_BYSTANDER = "bystander"
_WHOLE_RUNS = Path(__file__).with_name("end_to_end")
#: The first decoder of a process raises the recursion limit, and Hypothesis warns when that happens in a test.
EventDecoder(builders.METRICS)


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


@pytest.fixture(scope="session")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulators]:
    """Both services; they start when the first test needs them."""
    with running(tmp_path_factory.mktemp("emulators")) as started:
        yield started


@pytest.fixture
def bigquery(emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulators]:
    """Lets `builders.run`, `published` and `ledger` work on BigQuery; `run` compares with the local warehouse."""
    monkeypatch.setattr(builders, "PLACE", emulators)
    emulators.client().create_dataset(_BYSTANDER, exists_ok=True)
    yield emulators
    emulators.client().get_dataset(_BYSTANDER)  # Beam's cleanup of a read can take datasets that are not its own


@pytest.fixture(params=["local", pytest.param("bigquery", marks=pytest.mark.emulator)])
def place(request: pytest.FixtureRequest) -> str:
    """A test that asks for it runs on both."""
    if request.param == "bigquery":
        request.getfixturevalue("bigquery")
    return str(request.param)
