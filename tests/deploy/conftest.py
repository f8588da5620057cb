"""A project that setup.sh has been through, for all tests that only look at it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.cloud import SETTINGS, Cloud


@dataclass(frozen=True)
class NewProject:
    """What one run of setup.sh did in an empty project."""

    cloud: Cloud
    calls: list[list[str]]

    def copy(self, folder: Path) -> Cloud:
        """The project as it was left, to go on with."""
        copied = Cloud.make(folder)
        shutil.copy(self.cloud.folder / "state.json", folder)
        return copied

    def body(self, *words: str) -> str:
        """What the one command with these words has sent."""
        (number,) = [number for number, call in enumerate(self.calls) if set(words) <= set(call)]
        return self.cloud.body(self.calls, number)


@pytest.fixture(scope="session")
def new_project(tmp_path_factory: pytest.TempPathFactory) -> NewProject:
    """setup.sh in an empty project; look only."""
    cloud = Cloud.make(tmp_path_factory.mktemp("cloud"))
    return NewProject(cloud, cloud.calls("setup.sh", **SETTINGS))


@pytest.fixture
def cloud(new_project: NewProject, tmp_path: Path) -> Cloud:
    """The same, to change."""
    return new_project.copy(tmp_path)
