"""Runs in one process, as a scheduler or a notebook makes them all day: nothing of a run stays when it has ended."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from tests.builders import event, run, write_events

RUNS = 4
#: Objects that the collector of cycles knows. A run of this size makes more than 100,000; Beam keeps about 20.
KEPT = 2_000


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    """With everything that a process imports or caches in its first runs."""
    write_events(tmp_path, [event(n, f"s{n % 7}", distinct_id=f"a{n % 3}") for n in range(60)])
    for _ in range(2):
        assert run(tmp_path, "--full_load") == 0
    return tmp_path


def known_objects() -> int:
    """After a collection; frozen ones are those that no collection frees."""
    gc.collect()
    return len(gc.get_objects()) + gc.get_freeze_count()


def test_a_process_that_runs_again_and_again_does_not_grow(warehouse: Path) -> None:
    before, frozen = known_objects(), gc.get_freeze_count()
    for _ in range(RUNS):
        assert run(warehouse, "--full_load") == 0
    assert gc.get_freeze_count() == frozen
    assert known_objects() - before < RUNS * KEPT


def test_the_collector_is_left_as_it_was(warehouse: Path, tmp_path: Path) -> None:
    before = gc.get_threshold()
    gc.set_threshold(701, 11, 12)
    try:
        assert run(warehouse) == 0
        assert gc.get_threshold() == (701, 11, 12)
        assert run(tmp_path / "nowhere") == 1
        assert gc.get_threshold() == (701, 11, 12)
    finally:
        gc.set_threshold(*before)
