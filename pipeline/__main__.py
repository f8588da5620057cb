"""`python -m pipeline`: parse, plan, run, tell."""

from __future__ import annotations

import sys

from pipeline import signals


def _start() -> int:
    from pipeline.launcher import main  # its imports take seconds, in which a signal may come

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(signals.run(_start))
