"""`python -m pipeline`: parse, plan, run, tell."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable

from pipeline import signals


def _load() -> Callable[[], int]:
    gc.disable()  # modules are no garbage: the collector would take a fifth of their time to see that
    from pipeline.launcher import main  # its imports take seconds, in which a signal may come

    gc.enable()
    return functools.partial(main, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(signals.run(_load))
