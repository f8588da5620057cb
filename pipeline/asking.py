"""How a command ends that asks published tables (`pipeline.views`, `pipeline.report`): one line at most, and a code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

from pipeline import signals
from pipeline.errors import RunError, UsageError, system_text
from transforms.metrics.definitions import MetricsError

#: What a shell expects of a command whose reader has left, as `head` does.
_UNREAD = 128 + signal.SIGPIPE


def ended(command: str, work: Callable[[], object]) -> int:
    """Do the work of a command; the exit code is 0, 1 (failed), 2 (bad options) or 130 (interrupted).

    What nobody foresaw is raised: its traceback is of use, and there is no run whose rows it could hold.
    """
    try:
        work()
        sys.stdout.flush()  # here, where what goes wrong with it can be told
    except BrokenPipeError:
        _leave_output()
        return _UNREAD
    except (KeyboardInterrupt, Exception) as error:
        interrupted = signals.interrupted(error)
        told = signals.cause() if interrupted else _told(error)
        if told is None:
            raise
        _leave_output()
        print(f"{command}: {' '.join(told.split())}", file=sys.stderr)
        if interrupted:
            return signals.exit_code()
        return 2 if isinstance(error, (UsageError, MetricsError)) else 1
    return 0


def _told(error: BaseException) -> str | None:
    if isinstance(error, (UsageError, MetricsError, RunError)):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return system_text(error.errno, error.filename)
    return "not enough memory" if isinstance(error, MemoryError) else None


def _leave_output() -> None:
    """What is still to be written cannot be, if that is what went wrong: Python would try again as it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
