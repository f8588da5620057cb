"""`python -m pipeline.views`: see `command`."""

from __future__ import annotations

import sys

from pipeline import signals


def _start() -> int:
    from pipeline.views.command import main  # its imports take most of a second, in which a signal may come

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(signals.run(_start, "pipeline.views: {}"))
