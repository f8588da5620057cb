"""The line of progress: what it says, and when there is none."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from pipeline import progress
from pipeline.progress import Progress, progress_text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def use(stream: io.StringIO, patch: pytest.MonkeyPatch) -> io.StringIO:
    """Let a line go there a hundred times a second. Not in a fixture: pytest sets the stream anew for each test."""
    patch.setattr(sys, "stderr", stream)
    patch.setattr(progress, "_SECONDS", 0.01)
    return stream


@pytest.mark.parametrize(
    ("read", "rows", "seconds", "text"),
    [
        (1_200_000, 5_000_000, 6.0, "1,200,000 of 5,000,000 events read (24%), 200,000 a second"),
        (0, 10, 0.0, "0 of 10 events read (0%), 0 a second"),
        (10, 10, 1.0, "10 events read; joining, comparing, writing"),
        (0, 0, 1.0, "0 events read; joining, comparing, writing"),
        (11, 10, 1.0, "10 events read; joining, comparing, writing"),
    ],
)
def test_the_line(read: int, rows: int, seconds: float, text: str) -> None:
    assert progress_text(read, rows, seconds) == text


def test_it_is_told_again_and_again_and_cleared_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use(Terminal(), monkeypatch)
    asked = threading.Semaphore(0)

    def rows_read() -> int:
        asked.release()
        return 5

    with Progress(rows_read, 10, enabled=True):
        for _ in range(3):
            assert asked.acquire(timeout=10)
    lines = terminal.getvalue().split("\r\x1b[K")
    assert len(lines) >= 4
    assert all("5 of 10 events read (50%)" in line for line in lines[1:-1])
    assert lines[-1] == ""  # nothing is left on the terminal
    assert not asked.acquire(timeout=0.05)  # nobody asks after the end


def test_it_is_cleared_after_a_failure_too(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use(Terminal(), monkeypatch)
    with pytest.raises(KeyboardInterrupt), Progress(lambda: 5, 10, enabled=True):
        raise KeyboardInterrupt
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_it_is_silent_without_a_terminal_and_when_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use(Terminal(), monkeypatch)
    with Progress(lambda: pytest.fail("asked"), 10, enabled=False):
        pass
    assert terminal.getvalue() == ""
    plain = use(io.StringIO(), monkeypatch)
    with Progress(lambda: pytest.fail("asked"), 10, enabled=True):
        pass
    assert plain.getvalue() == ""
