"""A line of progress on a terminal while a long local run reads its events."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

_SECONDS = 1.0


class Progress:
    """While entered, tells once a second how many rows are read; silent unless `enabled` and on a terminal.

    Args:
      rows_read: asked for the rows read so far, by all workers.
      rows: how many there are to read.
      enabled: False for `--quiet`.
    """

    def __init__(self, rows_read: Callable[[], int], rows: int, *, enabled: bool) -> None:
        self._rows_read, self._rows = rows_read, rows
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
        started = time.monotonic()
        while not self._stop.wait(_SECONDS):
            sys.stderr.write(f"\r\x1b[K{progress_text(self._rows_read(), self._rows, time.monotonic() - started)}")
            sys.stderr.flush()


def progress_text(read: int, rows: int, seconds: float) -> str:
    """For example `1,200,000 of 5,000,000 events read (24 %), 210,000 a second`."""
    if read >= rows:
        return f"{rows:,} events read; joining, comparing, writing"
    return f"{read:,} of {rows:,} events read ({read / rows:.0%}), {read / max(seconds, 1e-9):,.0f} a second"
