"""A signal ends a run with one line and the shell's code, a second one changes nothing, and handlers are given back.

That whole runs and their workers end is what `tests.end_to_end.test_signals` tries, with processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from pipeline import signals

ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Thing:
    """Something that a weak reference can be held to."""


class Left(BaseException):
    """The process would have ended here."""


@pytest.fixture(autouse=True)
def of_a_process_that_is_new(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No signal has come yet; whatever a test sets is undone."""

    def leave(code: int) -> None:
        raise Left(code)

    before = {number: signal.getsignal(number) for number in (*ALL, signal.SIGALRM)}
    for number in ALL:  # nohup, or a shell's background, would have them ignored
        signal.signal(number, signal.SIG_DFL)
    monkeypatch.setattr(signals, "_received", None)
    monkeypatch.setattr(signals, "_is_loading", False)
    monkeypatch.setattr(signals, "_told", "pipeline: {}; nothing is published")
    monkeypatch.setattr(signals, "_leave", leave)
    yield
    signal.alarm(0)
    for number, handler in before.items():
        signal.signal(number, handler)


def send(*numbers: signal.Signals) -> Callable[[], int]:
    """A run that gets these signals, and ends as the launcher does."""

    def start() -> int:
        try:
            for number in numbers:
                os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            return signals.exit_code()
        return 0

    return start


@pytest.mark.parametrize(
    ("number", "code", "cause"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated"), (signal.SIGHUP, 129, "terminated")],
)
def test_the_code_is_that_of_the_signal(number: signal.Signals, code: int, cause: str) -> None:
    with pytest.raises(Left) as left:  # threads of libraries are not waited for
        signals.run(lambda: send(number))
    assert left.value.args == (code,)
    assert signals.received()
    assert (signals.exit_code(), signals.cause()) == (code, cause)


def test_without_a_signal_the_code_is_the_runs_and_handlers_are_given_back() -> None:
    assert signals.run(lambda: lambda: 7) == 7
    assert not signals.received()
    assert {signal.getsignal(number) for number in ALL} == {signal.SIG_DFL}
    assert (signals.exit_code(), signals.cause()) == (130, "interrupted")  # of a KeyboardInterrupt that nobody sent


def test_a_run_that_fails_gives_its_handlers_back_too() -> None:
    def fail() -> int:
        raise ValueError("of the run")

    with pytest.raises(ValueError, match="of the run"):
        signals.run(lambda: fail)
    assert {signal.getsignal(number) for number in ALL} == {signal.SIG_DFL}


def test_before_the_launcher_is_there_the_line_is_told_here(capsys: pytest.CaptureFixture[str]) -> None:
    def importing() -> Callable[[], int]:
        with contextlib.suppress(KeyboardInterrupt):  # as a library does
            os.kill(os.getpid(), signal.SIGTERM)
        raise ImportError("of a library")

    with pytest.raises(Left) as left:
        signals.run(importing)
    assert left.value.args == (143,)
    assert capsys.readouterr().err == "pipeline: terminated; nothing is published\n"


def test_a_command_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    def importing() -> Callable[[], int]:
        os.kill(os.getpid(), signal.SIGINT)
        return lambda: 0

    with pytest.raises(Left):
        signals.run(importing, "pipeline.views: {}")
    assert capsys.readouterr().err == "pipeline.views: interrupted\n"


def test_what_a_library_made_of_an_interrupt_is_one() -> None:
    try:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as cause:
            raise RuntimeError("of a library") from cause
    except RuntimeError as error:
        found = error
    assert signals.interrupted(found)
    assert not signals.interrupted(RuntimeError("of its own"))


def called_back() -> None:
    """A signal in a callback, as the lock of an import has one: what it raises Python can only tell of."""
    thing = Thing()
    watched = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    del thing
    assert watched() is None


def test_a_signal_in_a_callback_is_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    def calling_back() -> int:
        called_back()
        try:
            time.sleep(5)
        except KeyboardInterrupt:
            return signals.exit_code()
        return 0

    hook = sys.unraisablehook
    with pytest.raises(Left) as left:
        signals.run(lambda: calling_back)
    assert left.value.args == (143,)
    assert capsys.readouterr().err == ""
    assert sys.unraisablehook is hook


def test_a_run_that_ends_by_itself_meanwhile_is_not_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(code: int) -> None:
        time.sleep(4 * signals._AGAIN)  # as a slow reader of what is written last
        raise Left(code)

    def ending() -> int:
        called_back()
        return signals.exit_code()

    monkeypatch.setattr(signals, "_leave", leave)
    with pytest.raises(Left) as left:
        signals.run(lambda: ending)
    assert left.value.args == (143,)


def test_a_second_signal_changes_nothing() -> None:
    def impatient() -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGINT)  # while it tidies up
            return signals.exit_code()
        return 0

    with pytest.raises(Left) as left:
        signals.run(lambda: impatient)
    assert left.value.args == (143,)


def test_what_nohup_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert signals.run(lambda: send(signal.SIGHUP)) == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_run_that_does_not_end_is_left(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def stuck() -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            assert 0 < signal.alarm(0) <= signals._PATIENCE, "its time is limited"
            os.kill(os.getpid(), signal.SIGALRM)
        return 0

    with pytest.raises(Left) as left:
        signals.run(lambda: stuck)
    assert left.value.args == (143,)
    assert capfd.readouterr().err == "pipeline: terminated; it did not end in time\n"
