"""The pipeline with as many blocks of sessions as a much larger table needs.

`python -m benchmarks.forced_blocks ROWS …` runs `python -m pipeline …` with the blocks that ROWS rows would have.
"""

from __future__ import annotations

import sys

from pipeline import launcher
from pipeline.plan import session_blocks_for
from pipeline.warehouse import base


def main() -> int:
    """Run; the pipeline's exit code."""
    rows = int(sys.argv[1])
    number = session_blocks_for(rows, rows)
    vars(base)["session_blocks_for"] = lambda events, total: number  # where the run takes it from
    return launcher.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
