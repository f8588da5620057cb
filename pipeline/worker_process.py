"""A worker process: Beam's SDK harness, which never outlives the run that started it.

`python -m pipeline.worker_process PID`, started by `pipeline.workers`; PID is the process of the run.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import threading
import time

#: `PR_SET_PDEATHSIG` of Linux's prctl.
_PARENT_DEATH_SIGNAL = 1
_LOOK_SECONDS = 0.5


def end_with(parent: int) -> None:
    """Let this process be killed when its parent ends, however that ends.

    Linux sees to it even when this process hangs or is stopped; elsewhere it looks by itself.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:  # also when it had ended before this process could ask for a signal
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


def main(parent: int) -> None:
    """Serve the run until it is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the run ends its workers
    end_with(parent)
    gc.disable()  # as in `pipeline.__main__`
    from apache_beam.runners.worker import sdk_worker_main  # takes a second, in which the run may end

    from pipeline.signatures import signatures_once

    gc.enable()
    with signatures_once():
        sdk_worker_main.main([])


if __name__ == "__main__":
    main(int(sys.argv[1]))
