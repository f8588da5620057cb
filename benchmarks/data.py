"""The warehouses that are measured: samples and their variants, made once, each by a process of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Data:
    """Warehouses below a folder; what is there already is used as it is."""

    folder: Path

    def sample(self, events: int, *options: str) -> Path:
        """A warehouse of so many events in order of arrival."""
        warehouse = self.folder / "-".join(["sample", str(events), *(one.strip("-") for one in options)])
        if not warehouse.exists():
            _run("sample", "--warehouse", str(warehouse), "--events", str(events), *options)
        return warehouse

    def variant(self, variant: str, events: int) -> Path:
        """The same in another order; see `benchmarks.orders`."""
        warehouse = self.folder / f"{variant}-{events}"
        if not warehouse.exists():
            _run("benchmarks.orders", variant, str(self.sample(events)), str(warehouse))
        return warehouse


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", *arguments], check=True, stdout=subprocess.DEVNULL)
