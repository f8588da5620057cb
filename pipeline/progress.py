"""A line of progress on a terminal while a long local run reads, aggregates, writes and publishes."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

from pipeline.meter import AGGREGATED, BLOCKS, PERSONS, PUBLISHING, READ, SESSIONS, STEPS
from pipeline.warehouse.base import Run

_SECONDS = 1.0


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

    def __enter__(self) -> Progress:
        if self._enabled:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._enabled:
            self._thread.join()
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _tell(self) -> None:
        begun = {READ: time.monotonic()}
        while not self._stop.wait(_SECONDS):
            told, now = self._told(), time.monotonic()
            for step in STEPS:
                if told.get(step):
                    begun.setdefault(step, now - _SECONDS)  # it has begun since the last look
            seconds = {step: now - since for step, since in begun.items()}
            sys.stderr.write(f"\r\x1b[K{progress_text(told, self._sizes, seconds)}")
            sys.stderr.flush()


def progress_text(told: Mapping[str, int], sizes: Sizes, seconds: Mapping[str, float]) -> str:
    """For example `1,200,000 of 5,000,000 events read (24%), 210,000 a second, 18 s left`.

    A run comes from one step to the next, so the last one that has told anything is the one at work.

    Args:
      told: the numbers of all steps so far.
      sizes: how much there is.
      seconds: how long each step that has told anything is at work.
    """
    aggregated = told.get(AGGREGATED, 0)
    if told.get(PUBLISHING):
        return "publishing"
    if told.get(PERSONS):
        return _rows(told[PERSONS], sizes.persons, seconds[PERSONS], "persons written")
    if told.get(SESSIONS):
        return _rows(told[SESSIONS], max(sizes.sessions, aggregated), seconds[SESSIONS], "sessions written")
    if told.get(BLOCKS, 0) >= sizes.blocks:
        return f"{aggregated:,} sessions aggregated; joining and comparing"
    if told.get(BLOCKS):
        rate = aggregated / max(seconds[BLOCKS], 1e-9)
        share = told[BLOCKS] / sizes.blocks
        left = _left(share, seconds[BLOCKS])
        return f"{aggregated:,} sessions aggregated ({share:.0%} of the events), {rate:,.0f} a second{left}"
    read = told.get(READ, 0)
    if read >= sizes.events:
        return f"{sizes.events:,} events read; aggregating"
    return _rows(read, sizes.events, seconds[READ], "events read", about=False)


def _rows(rows: int, of: int, seconds: float, what: str, *, about: bool = True) -> str:
    """A number of rows; how many there are is only about right where the run before says it."""
    rate = f"{rows / max(seconds, 1e-9):,.0f} a second"
    if rows >= of:
        return f"{rows:,} {what}, {rate}"
    return f"{rows:,} of {'about ' if about else ''}{of:,} {what} ({rows / of:.0%}), {rate}{_left(rows / of, seconds)}"


def _left(share: float, seconds: float) -> str:
    """The time that the rest takes at the pace so far; nothing before there is a pace."""
    if not 0 < share < 1:
        return ""
    left = seconds * (1 - share) / share
    return f", {left:.0f} s left" if left < 100 else f", {left / 60:.0f} min left"
