"""The line of progress: what it says, and when there is none."""

from __future__ import annotations

import io
import logging
import sys
import threading

import pytest

from pipeline import progress
from pipeline.meter import STEPS
from pipeline.progress import Progress, Sizes, progress_text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def use(stream: io.StringIO, patch: pytest.MonkeyPatch) -> io.StringIO:
    """Let a line go there a hundred times a second. Not in a fixture: pytest sets the stream anew for each test."""
    patch.setattr(sys, "stderr", stream)
    patch.setattr(progress, "_SECONDS", 0.01)
    return stream


SIZES = Sizes(events=5_000_000, blocks=10)
NIGHT = Sizes(events=5_000_000, blocks=10, sessions=400_000, persons=90_000)


@pytest.mark.parametrize(
    ("told", "sizes", "seconds", "text"),
    [
        ({}, SIZES, 0.0, "5,000,000 events to read; starting"),
        ({"events": 1_200_000}, SIZES, 6.0, "1,200,000 of 5,000,000 events read (24%), 200,000 a second, 19 s left"),
        ({"events": 50_000}, SIZES, 6.0, "50,000 of 5,000,000 events read (1%), 8,333 a second, 10 min left"),
        ({"events": 5_000_000}, SIZES, 9.0, "5,000,000 events read; sorting them by session"),
        ({"events": 5_000_001}, SIZES, 9.0, "5,000,000 events read; sorting them by session"),
        ({}, Sizes(0, 1), 1.0, "0 events read; sorting them by session"),
        (
            {"aggregated": 80_000, "blocks": 4},
            SIZES,
            2.0,
            "80,000 sessions aggregated (40% of the events), 40,000 a second, 3 s left",
        ),
        ({"aggregated": 200_000, "blocks": 10}, SIZES, 2.0, "200,000 sessions aggregated; joining users"),
        (
            {"aggregated": 200_000, "blocks": 10, "concluded": 50_000},
            SIZES,
            1.0,
            "50,000 of about 200,000 sessions joined (25%), 50,000 a second, 3 s left",
        ),
        (
            {"aggregated": 200_000, "blocks": 10, "sessions": 50_000},
            SIZES,
            1.0,
            "50,000 of about 200,000 sessions written (25%), 50,000 a second, 3 s left",
        ),
        (
            {"aggregated": 200_000, "blocks": 10, "sessions": 100_000},
            NIGHT,
            1.0,
            "100,000 of about 400,000 sessions written (25%), 100,000 a second, 3 s left",
        ),
        ({"sessions": 200_000, "persons": 20_000}, SIZES, 1.0, "20,000 persons written, 20,000 a second"),
        (
            {"sessions": 200_000, "persons": 45_000},
            NIGHT,
            3.0,
            "45,000 of about 90,000 persons written (50%), 15,000 a second, 3 s left",
        ),
        ({"sessions": 200_000, "persons": 90_000, "publishing": 1}, NIGHT, 3.0, "publishing"),
    ],
)
def test_the_line(told: dict[str, int], sizes: Sizes, seconds: float, text: str) -> None:
    assert progress_text(told, sizes, dict.fromkeys(STEPS, seconds)) == text


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ({}, "5,000,000 events to read; starting, for 7 s"),
        ({"events": 5_000_000}, "5,000,000 events read; sorting them by session, for 7 s"),
        ({"aggregated": 9, "blocks": 10}, "9 sessions aggregated; joining users, for 7 s"),
        ({"aggregated": 9, "blocks": 10, "concluded": 9}, "9 sessions joined; joining persons, for 7 s"),
        ({"sessions": 390_000}, "390,000 sessions written; making persons, for 7 s"),
        ({"persons": 90_000}, "90,000 persons written; comparing other tables, for 7 s"),
        ({"publishing": 1}, "publishing, for 7 s"),
    ],
)
def test_a_step_that_tells_nothing_is_named_with_its_time(told: dict[str, int], text: str) -> None:
    """A rate would only fall, and nobody would know what is waited for."""
    assert progress_text(told, NIGHT, dict.fromkeys(STEPS, 30.0), 7.0) == text


def test_it_is_told_again_and_again_and_cleared_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use(Terminal(), monkeypatch)
    asked = threading.Semaphore(0)

    def told() -> dict[str, int]:
        asked.release()
        return {"events": 5}

    with Progress(told, Sizes(10, 1), enabled=True):
        for _ in range(3):
            assert asked.acquire(timeout=10)
    lines = terminal.getvalue().split("\r\x1b[K")
    assert len(lines) >= 4
    assert all("5 of 10 events read (50%)" in line for line in lines[1:-1])
    assert lines[-1] == ""  # nothing is left on the terminal
    assert not asked.acquire(timeout=0.05)  # nobody asks after the end


def test_numbers_that_are_gone_were_published_and_no_line_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use(Terminal(), monkeypatch)
    monkeypatch.setenv("COLUMNS", "30")
    asked = threading.Semaphore(0)
    answers = [{"events": 5_000_000, "blocks": 3, "aggregated": 10_000}]

    def told() -> dict[str, int]:
        asked.release()
        return answers.pop() if answers else {}

    with Progress(told, Sizes(10_000_000, 10), enabled=True):
        for _ in range(3):
            assert asked.acquire(timeout=10)
    first, *others, last = terminal.getvalue().split("\r\x1b[K")[1:]
    assert first == "10,000 sessions aggregated (30%"[:29]
    assert set(others) == {"publishing"}
    assert last == ""


def test_a_message_of_the_log_has_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use(Terminal(), monkeypatch)
    asked, handler = threading.Semaphore(0), logging.StreamHandler(terminal)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])

    def told() -> dict[str, int]:
        asked.release()
        return {"publishing": 1}

    with Progress(told, Sizes(10, 1), enabled=True):
        assert asked.acquire(timeout=10)
        assert asked.acquire(timeout=10)
        logging.getLogger("pipeline").warning("careful")
    assert "publishing\r\x1b[Kcareful\n" in terminal.getvalue()
    assert not handler.filters


def test_it_is_cleared_after_a_failure_too(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use(Terminal(), monkeypatch)
    with pytest.raises(KeyboardInterrupt), Progress(lambda: {"events": 5}, Sizes(10, 1), enabled=True):
        raise KeyboardInterrupt
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_it_is_silent_without_a_terminal_and_when_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use(Terminal(), monkeypatch)
    with Progress(lambda: pytest.fail("asked"), Sizes(10, 1), enabled=False):
        pass
    assert terminal.getvalue() == ""
    plain = use(io.StringIO(), monkeypatch)
    with Progress(lambda: pytest.fail("asked"), Sizes(10, 1), enabled=True):
        pass
    assert plain.getvalue() == ""
