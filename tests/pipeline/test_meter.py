"""How far the steps are: every process tells one file, every step tells of itself."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.meter import Meter
from pipeline.warehouse.local import LocalWarehouse
from tests.builders import event, run, write_events


def test_all_processes_tell_one_meter(tmp_path: Path) -> None:
    meter = Meter(tmp_path / "progress")
    assert meter.told() == {}
    meter.tell("events", 3)
    pickle.loads(pickle.dumps(meter)).tell("events", 4)
    meter.tell("rejected_events", 9)  # a table that nobody waits for
    meter.tell("publishing", 1)
    with meter.path.open("ab") as file:
        file.write(b"\x00\x01")  # another process is just writing
    assert meter.told() == {"events": 7, "publishing": 1}


def test_every_step_of_a_run_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told when a run is published are the numbers of its tables."""
    found: list[Mapping[str, int]] = []
    publish = LocalWarehouse._publish

    def look_first(self: LocalWarehouse, *args: Any) -> None:
        found.append(self.told())
        publish(self, *args)

    monkeypatch.setattr(LocalWarehouse, "_publish", look_first)
    write_events(tmp_path, [event(n, session=f"s{n % 3}") for n in range(9)])
    assert run(tmp_path) == 0
    [last] = found
    assert 1 <= last["blocks"] <= 3  # some sessions may share one
    others = {name: number for name, number in last.items() if name != "blocks"}
    assert others == {"events": 9, "aggregated": 3, "concluded": 3, "sessions": 3, "persons": 1, "publishing": 1}
