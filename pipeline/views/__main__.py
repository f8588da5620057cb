"""`python -m pipeline.views`: see `command`."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

from pipeline import signals


def _load() -> Callable[[], int]:
    from pipeline.views.command import main  # its imports take most of a second, in which a signal may come

    return functools.partial(main, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(signals.run(_load, "pipeline.views: {}"))
