"""Points of a run at which its process kills itself (SIGKILL), or something else happens to it.

They are calls of functions: a function by its path, and whether to die before or after it.
"""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable
from typing import Any

_SNAPSHOTS = "pipeline.warehouse.snapshots:Snapshots."
POINTS = {
    "after the staging folder is made": (f"{_SNAPSHOTS}begin", "after"),
    "while events are decoded": ("transforms.events.decoder:EventDecoder.decode", "after"),
    "while sessions are combined": ("transforms.sessions.facts:SessionCombineFn.extract_output", "after"),
    "while a table is written": ("pipeline.warehouse.local:_WriteParquet.process", "after"),
    "after a file of a table is written": ("pyarrow.parquet:ParquetWriter.close", "after"),
    "before publishing": ("pipeline.publish:publish_run", "before"),
    "after the other tables are carried over": (f"{_SNAPSHOTS}carry_over", "after"),
    "before the switch": (f"{_SNAPSHOTS}switch", "before"),
    "in the switch, before the snapshot is renamed": ("os:rename", "before"),
    "in the switch, after the snapshot is renamed": ("os:rename", "after"),
    "in the switch, before the link is replaced": ("os:replace", "before"),
    "after the link is replaced": ("os:replace", "after"),
    "after the switch": (f"{_SNAPSHOTS}switch", "after"),
}
#: At these points the new tables are published already.
PUBLISHED = ("after the link is replaced", "after the switch")


def die() -> None:
    """End this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, strike: Callable[[], None] = die) -> None:
    """Let this happen in this process whenever it is at the point."""
    path, when = POINTS[point]
    module_name, _, qualified = path.partition(":")
    owner: Any = importlib.import_module(module_name)
    *outer, name = qualified.split(".")
    for part in outer:
        owner = getattr(owner, part)
    honest: Callable[..., Any] = getattr(owner, name)

    def struck(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            strike()
        result = honest(*args, **kwargs)
        if when == "after":
            strike()
        return result

    setattr(owner, name, struck)
