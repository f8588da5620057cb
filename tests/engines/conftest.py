"""The engines, each started once, and when a test needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines import servers
from tests.engines.servers import Engine, Pool


@pytest.fixture(scope="session")
def prism(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with servers.prism(tmp_path_factory.mktemp("prism")) as engine:
        yield engine


@pytest.fixture(scope="session")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with servers.flink(tmp_path_factory.mktemp("flink")) as engine:
        yield engine


@pytest.fixture(params=["prism", "flink"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """A test that asks for it runs on both."""
    found: Engine = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def pool(engine: Engine) -> Iterator[Pool]:
    """Honest workers."""
    with servers.pool(engine) as started:
        yield started
