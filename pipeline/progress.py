"""A line of progress on a terminal while a long local run reads, aggregates, writes and publishes."""

from __future__ import annotations

import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

from pipeline.meter import AGGREGATED, BLOCKS, CONCLUDED, PERSONS, PUBLISHING, READ, SESSIONS, STEPS
from pipeline.warehouse.base import Run

_SECONDS, _CLEARED = 1.0, "\r\x1b[K"
#: A step that tells nothing for so many seconds waits for something, or has made way for the next.
_A_MOMENT = 2.5


@dataclass(frozen=True)
class Sizes:
    """How much there is of what is told, as far as it is known before."""

    events: int
    """Rows to read."""
    blocks: int
    """Of sessions."""
    sessions: int = 0
    """Published by the run before."""
    persons: int = 0

    @classmethod
    def of(cls, run: Run) -> Sizes:
        """Those of a run."""
        before = run.plan.previous.rows if run.plan.previous else {}
        return cls(run.scan.rows, run.session_blocks, **before)


class Progress:
    """While entered, tells once a second how far a run is; silent unless `enabled` and on a terminal.

    Args:
      told: asked for the numbers of all steps so far, by `meter.STEPS`.
      sizes: how much there is.
      enabled: False for `--quiet`.
    """

    def __init__(self, told: Callable[[], Mapping[str, int]], sizes: Sizes, *, enabled: bool) -> None:
        self._told, self._sizes = told, sizes
        self._enabled = enabled and sys.stderr.isatty()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)
        self._handlers = [*logging.getLogger().handlers]

    def __enter__(self) -> Progress:
        if self._enabled:
            for handler in self._handlers:
                handler.addFilter(_clear)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._enabled:
            self._thread.join()
            for handler in self._handlers:
                handler.removeFilter(_clear)
            _clear()

    def _tell(self) -> None:
        began = time.monotonic()
        begun, changed, before = {READ: began}, began, dict[str, int]()
        while not self._stop.wait(_SECONDS):
            # what tells the numbers goes with the folder of staging, when that is published
            told, now = self._told() or (before and {**before, PUBLISHING: 1}), time.monotonic()
            for step in STEPS:
                if told.get(step):
                    begun.setdefault(step, now - _SECONDS)  # it has begun since the last look
            changed, before = (now, dict(told)) if told != before else (changed, before)
            seconds = {step: now - since for step, since in begun.items()}
            line = progress_text(told, self._sizes, seconds, now - changed)
            # a line that wraps would stay
            sys.stderr.write(f"{_CLEARED}{line[: shutil.get_terminal_size().columns - 1]}")
            sys.stderr.flush()


def _clear(record: logging.LogRecord | None = None) -> bool:
    """Takes the line away, before a message of the log comes in its place, too."""
    sys.stderr.write(_CLEARED)
    sys.stderr.flush()
    return True


def progress_text(told: Mapping[str, int], sizes: Sizes, seconds: Mapping[str, float], waiting: float = 0.0) -> str:
    """For example `1,200,000 of 5,000,000 events read (24%), 210,000 a second, 18 s left`.

    A run comes from one step to the next, so the last one that has told anything is the one at work.

    Args:
      told: the numbers of all steps so far.
      sizes: how much there is.
      seconds: how long each step that has told anything is at work.
      waiting: for how many seconds no step has told anything.
    """
    aggregated = told.get(AGGREGATED, 0)
    sessions = max(sizes.sessions, aggregated)
    if told.get(PUBLISHING):
        return f"publishing{_for(waiting)}"
    if told.get(PERSONS):
        next_step = "comparing other tables"
        return _rows(told[PERSONS], sizes.persons, seconds[PERSONS], "persons written", next_step, waiting)
    if told.get(SESSIONS):
        return _rows(told[SESSIONS], sessions, seconds[SESSIONS], "sessions written", "making persons", waiting)
    if told.get(CONCLUDED):
        next_step = "joining persons"
        return _rows(told[CONCLUDED], sessions, seconds[CONCLUDED], "sessions joined", next_step, waiting)
    if told.get(BLOCKS, 0) >= sizes.blocks:
        return f"{aggregated:,} sessions aggregated; joining users{_for(waiting)}"
    if told.get(BLOCKS):
        rate = aggregated / max(seconds[BLOCKS], 1e-9)
        share = told[BLOCKS] / sizes.blocks
        left = _left(share, seconds[BLOCKS])
        return f"{aggregated:,} sessions aggregated ({share:.0%} of the events), {rate:,.0f} a second{left}"
    read = told.get(READ, 0)
    if read >= sizes.events:
        return f"{sizes.events:,} events read; sorting them by session{_for(waiting)}"
    if not read:
        return f"{sizes.events:,} events to read; starting{_for(waiting)}"
    return _part(read, sizes.events, seconds[READ], "events read", about=False)


def _for(seconds: float) -> str:
    """How long a step is at work that tells nothing; nothing for a moment."""
    return f", for {seconds:.0f} s" if seconds >= _A_MOMENT else ""


def _rows(rows: int, of: int, seconds: float, what: str, next_step: str, waiting: float) -> str:
    """A number of rows of about so many; when no more of them come, the next step is at work."""
    if rows >= of or waiting >= _A_MOMENT:
        pace = "" if waiting >= _A_MOMENT else f", {rows / max(seconds, 1e-9):,.0f} a second"
        return f"{rows:,} {what}{pace}" + (f"; {next_step}{_for(waiting)}" if waiting >= _A_MOMENT else "")
    return _part(rows, of, seconds, what, about=True)


def _part(rows: int, of: int, seconds: float, what: str, *, about: bool) -> str:
    rate = f"{rows / max(seconds, 1e-9):,.0f} a second"
    return f"{rows:,} of {'about ' if about else ''}{of:,} {what} ({rows / of:.0%}), {rate}{_left(rows / of, seconds)}"


def _left(share: float, seconds: float) -> str:
    """The time that the rest takes at the pace so far; nothing before there is a pace."""
    if not 0 < share < 1:
        return ""
    left = seconds * (1 - share) / share
    return f", {left:.0f} s left" if left < 100 else f", {left / 60:.0f} min left"
