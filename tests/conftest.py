"""Where the end-to-end tests run: on a local warehouse, or on BigQuery through the emulators."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import builders
from tests.bigquery.emulators import Emulators, running


@pytest.fixture(scope="session")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulators]:
    """Both services; they start when the first test needs them."""
    with running(tmp_path_factory.mktemp("emulators")) as started:
        yield started


@pytest.fixture(params=["local", pytest.param("bigquery", marks=pytest.mark.emulator)])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lets `builders.run`, `published` and `ledger` work on either; a test that asks for it runs on both."""
    if request.param == "bigquery":
        monkeypatch.setattr(builders, "PLACE", request.getfixturevalue("emulators"))
    return str(request.param)
