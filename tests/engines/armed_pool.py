"""A pool of workers in which something happens once: `python -m tests.engines.armed_pool ACTION POINT FLAG --port=N`.

ACTION is `kill` (the worker is killed) or `hold` (it waits until FLAG.go is there); POINT is one of
`tests.end_to_end.killer`; FLAG is a file that the first worker makes which comes to the point.
"""

from __future__ import annotations

import os
import sys

from pipeline.runners import worker_pool, worker_process

if __name__ == "__main__":
    os.environ["ACTION"], os.environ["POINT"], os.environ["FLAG"] = sys.argv[1:4]
    worker_process.MODULE = "tests.engines.armed_worker"
    sys.exit(worker_pool.main(sys.argv[4:]))
