"""A worker process: Beam's SDK harness, which never outlives the process that started it.

`python -m pipeline.runners.worker_process PID`, started by `workers` or `worker_pool` beside it; PID is their process.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

#: `PR_SET_PDEATHSIG` of Linux's prctl.
_PARENT_DEATH_SIGNAL = 1
_LOOK_SECONDS = 0.5
#: What a worker process runs.
MODULE = "pipeline.runners.worker_process"


def start(worker_id: str, control: Any, log: Any = None, *, quiet: bool) -> subprocess.Popen[bytes]:
    """Start a worker process.

    Args:
      worker_id: its name for the runner.
      control: Beam's ApiServiceDescriptor of where it gets its work.
      log: of where it logs to; None: nowhere.
      quiet: whether what it writes to stderr is dropped. What it raises comes to the runner; what it writes beside that
        may quote rows.

    Raises:
      OSError: it cannot be started.
    """
    from google.protobuf import text_format  # a worker itself needs it later

    environment = {
        **os.environ,
        "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(control),
        "WORKER_ID": worker_id,
    }
    if log is not None:
        environment["LOGGING_API_SERVICE_DESCRIPTOR"] = text_format.MessageToString(log)
    return subprocess.Popen(
        [sys.executable, "-m", MODULE, str(os.getpid())],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if quiet else None,
    )


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
    os.umask(os.umask(0o077) | 0o077)  # what it writes is for its owner only
    end_with(parent)
    gc.disable()  # as in `pipeline.__main__`
    from apache_beam.runners.worker import sdk_worker_main  # takes a second, in which the run may end

    from pipeline.runners.quick import quick_steps
    from pipeline.runners.worker_channels import sent_as_they_are

    gc.enable()
    with quick_steps(), sent_as_they_are():
        sdk_worker_main.main([])


if __name__ == "__main__":
    main(int(sys.argv[1]))
