"""Ctrl-C, SIGTERM and SIGHUP: a run ends within seconds, with one line and the shell's exit code.

Only for a process that does nothing else (`python -m pipeline`, and the commands that ask what it has published): a
program that calls `pipeline.launcher.main` keeps its own handlers, and a KeyboardInterrupt ends the run.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Seconds that a run has to end its workers and to remove what it has staged.
_PATIENCE = 15
#: Seconds after which a run that has lost its interruption is interrupted again.
_AGAIN = 0.05
_received: int | None = None
#: The line about a signal that the command could not tell itself, with `{}` for `cause`.
_told = "pipeline: {}; nothing is published"
#: Whether the command is still imported.
_is_loading = False


class Interrupted(KeyboardInterrupt):
    """A signal asks the run to end."""


def run(load: Callable[[], Callable[[], int]], told: str = _told) -> int:
    """The exit code of a command, or 128 + the number of the signal that ended it. Does not return after a signal.

    Args:
      load: imports the command and gives it: a function that ends with a code, after a signal too. A signal meanwhile
        ends the process at once. There is nothing yet to tidy up, and libraries that are interrupted in the midst of
        their import take it for another error, or crash.
      told: the line about a signal that came before the command could tell it, with `{}` for `cause`.
    """
    global _told, _is_loading
    _told, _is_loading = told, True
    _mend_streams()
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
            signal.signal(number, _on_signal)
    hook, sys.unraisablehook = sys.unraisablehook, _on_lost
    try:
        start = load()
        _is_loading = False
        code = start()
    except Interrupted:  # before it could tell it itself
        code = exit_code()
        sys.stderr.write(told.format(cause()) + "\n")
    finally:
        _is_loading = False
        if signal.getsignal(signal.SIGALRM) is _interrupt:
            _be_patient()  # it has ended: nothing is left to interrupt
        sys.unraisablehook = hook
        for number in _SIGNALS:
            if signal.getsignal(number) is _on_signal:
                signal.signal(number, signal.SIG_DFL)
    if _received is not None:
        _leave(code)  # threads of libraries may wait for ever
    return code


def _mend_streams() -> None:
    """Where there are none (`2>&-`), what is told goes nowhere; what a terminal cannot show is told by its number."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (to the end of the process)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def received() -> bool:
    """Whether a signal has come, which an error may follow from."""
    return _received is not None


def interrupted(error: BaseException | None) -> bool:
    """Whether a signal or Ctrl-C is behind an error, whatever a library made of it."""
    return received() or _is_interrupt(error)


def _is_interrupt(error: BaseException | None) -> bool:
    return error is not None and (
        isinstance(error, KeyboardInterrupt) or _is_interrupt(error.__cause__ or error.__context__)
    )


def exit_code() -> int:
    """What a shell expects of a process that a signal has ended: 130 for Ctrl-C."""
    return 128 + (_received or signal.SIGINT)


def cause() -> str:
    """`interrupted` or `terminated`, for the line that tells it."""
    return "interrupted" if _received in (None, signal.SIGINT) else "terminated"


def _on_signal(number: int, frame: FrameType | None) -> None:
    global _received
    if _received is not None:
        return  # it is ending
    _received = number
    if _is_loading:
        sys.stderr.write(_told.format(cause()) + "\n")
        _leave(exit_code())
    _interrupt(number, frame)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _be_patient()  # the exception can get lost for good, or what it closes can wait for ever
    raise Interrupted


def _be_patient() -> None:
    signal.signal(signal.SIGALRM, _end_now)
    signal.alarm(_PATIENCE)


def _on_lost(lost: sys.UnraisableHookArgs) -> None:
    """Interrupt once more, soon: the signal came while Python was in a callback, of which nothing can be raised."""
    if not isinstance(lost.exc_value, Interrupted):
        sys.__unraisablehook__(lost)
        return
    signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, _AGAIN)


def _end_now(number: int, frame: FrameType | None) -> None:
    with contextlib.suppress(OSError, ValueError):
        os.write(sys.stderr.fileno(), f"{_told.partition(':')[0]}: {cause()}; it did not end in time\n".encode())
    _leave(exit_code())


def _leave(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
