"""A command that asks published tables (`pipeline.views`, `pipeline.report`): its options, and how it ends."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline import signals
from pipeline.command_line import Parser
from pipeline.errors import RunError, UsageError, system_text
from pipeline.options import OPTIONS, WHICH, add_arguments
from transforms.metrics.definitions import MetricsError

_WHICH = [option for option in OPTIONS if option.name in WHICH]
#: What a shell expects of a command whose reader has left, as `head` does.
_UNREAD = 128 + signal.SIGPIPE


@dataclass(frozen=True)
class PublishedTables:
    """Which tables a command asks."""

    warehouse: str
    """A folder, or `BIGQUERY`."""
    project: str | None
    dataset: str
    metrics_file: Path | None

    @property
    def link(self) -> Path:
        """The link to the published run, in a folder."""
        return Path(self.warehouse) / self.dataset


def parser_of(command: str, description: str) -> Parser:
    """A parser that knows which tables, by the options of the runs that made them."""
    parser = Parser(prog=f"python -m {command}", description=description, allow_abbrev=False)
    add_arguments(parser, _WHICH)
    return parser


def tables_of(options: argparse.Namespace) -> PublishedTables:
    """What such a parser was given, or the defaults."""
    values = {option.name: getattr(options, option.name) or option.fallback for option in _WHICH}
    file = values["metrics_file"]
    return PublishedTables(
        values["warehouse"] or "", values["project"], values["aggregated_dataset"] or "", Path(file) if file else None
    )


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
