"""A worker in which something happens once, started by `tests.engines.armed_pool`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from pipeline.runners import worker_process
from tests.end_to_end import killer


def strike() -> None:
    """What happens to the worker that is the first at the point."""
    flag = Path(os.environ["FLAG"])
    try:
        flag.touch(exist_ok=False)
    except FileExistsError:
        return
    if os.environ["ACTION"] == "kill":
        killer.die()
    while not flag.with_suffix(".go").exists():
        time.sleep(0.05)


if __name__ == "__main__":
    killer.arm(os.environ["POINT"], strike)
    worker_process.main(int(sys.argv[1]))
