"""Command line → Beam options: names, help, runners.

`--runner DirectRunner` means Beam's in-process FnApiRunner here: Beam's own DirectRunner first tries to
download another runner, and the pipeline must run the same on every machine.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import os
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

from pipeline.errors import UsageError
from pipeline.options import add_arguments
from pipeline.runners.workers import IN_PROCESS

_View = TypeVar("_View", bound=PipelineOptions)
#: Rows to read from which on several worker processes are faster than one: see benchmarks/README.md.
MANY_ROWS = 3_000_000
_MOST_WORKERS = 8
#: Events that an in-process run shuffles at once: about 200 MB.
_SHUFFLE_ROWS = 4_000_000
_MOST_SHUFFLES = 16
#: Runners by their names, in any letter case; `DirectRunner` is `IN_PROCESS`.
_RUNNERS = ("DirectRunner", "DataflowRunner", "FlinkRunner", "PrismRunner", "PortableRunner")
_EPILOG = """\
examples:
  python -m pipeline --runner DirectRunner
      the sample warehouse (written when there is none), incremental
  python -m pipeline --runner DirectRunner --warehouse DIR --full_load
      your own Parquet files in DIR/<dataset>/<table>/, everything anew
  python -m pipeline --runner DirectRunner --start_date 2026-01-05 --end_date 2026-01-07
      a backfill of two days
  python -m pipeline --runner DirectRunner --warehouse bigquery --project P --temp_location gs://BUCKET/temp
      the same on BigQuery, from this machine
  python -m pipeline --runner DirectRunner --plan_only
      what would be read, and why

Beam's own options (--direct_num_workers=2, --runner DataflowRunner, ...) are accepted as well.
"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other error does."""

    def error(self, message: str) -> NoReturn:
        """See `argparse.ArgumentParser`."""
        raise UsageError(f"{message}; see --help")


class _Options(PipelineOptions):
    """Options whose views are made once: Beam asks for several with every transform, and would parse anew each time."""

    def view_as(self, cls: type[_View]) -> _View:
        """The view of a class; all views share their values, so one is as good as another."""
        views: dict[type[PipelineOptions], Any] = self.__dict__.setdefault("_views", {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        view: _View = views[cls]
        return view

    def __getstate__(self) -> dict[str, Any]:
        """Without the views: each read of a graph carries the options a dozen times, and who gets them makes anew."""
        return {name: value for name, value in super().__getstate__().items() if name != "_views"}


def parse(argv: Sequence[str]) -> PipelineOptions:
    """The options of a command line.

    Raises:
      UsageError: an option or a value that neither this pipeline nor Beam knows, or an option without its value.
      SystemExit: after --help.
    """
    known, others = _parser().parse_known_args(list(argv))
    _refuse_unknown(others)
    options = _Options(others, **_plain(vars(known)))
    standard, direct = options.view_as(StandardOptions), options.view_as(DirectOptions)
    standard.runner = _runner(standard.runner)
    if (direct.direct_num_workers or 0) < 0:
        raise UsageError(f"--direct_num_workers {direct.direct_num_workers} is not a number of worker processes")
    return options


def _runner(given: str | None) -> str:
    """The name of a runner as Beam has it."""
    by_name = {name.lower(): name for name in (*_RUNNERS, IN_PROCESS)}
    found = by_name.get((given or _RUNNERS[0]).lower())
    if found is None:
        raise UsageError(f"--runner {given!r} is not one of {', '.join(_RUNNERS)}")
    return IN_PROCESS if found == _RUNNERS[0] else found


@functools.cache
def _parser() -> Parser:
    """Of our own options, which do not change."""
    parser = Parser(
        prog="python -m pipeline",
        description="Product events and users → one row per session and one per person.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--runner", default="DirectRunner", help="DirectRunner (in process), DataflowRunner, FlinkRunner or PrismRunner"
    )
    add_arguments(parser)
    return parser


def choose_workers(options: PipelineOptions, rows: int) -> int:
    """Let an in-process run use all cores where starting processes pays; the number of workers it will have.

    Worker processes take some seconds to start, which many rows make up for. Whoever gives a number of workers or a
    running mode decides alone.
    """
    direct = options.view_as(DirectOptions)
    # a value that equals the default is a decision as well, and shows only among the flags
    given = {flag.split("=")[0].lstrip("-") for flag in options._flags}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if _in_process(options) and rows >= MANY_ROWS and not {"direct_num_workers", "direct_running_mode"} & given:
        direct.direct_num_workers = min(cores, _MOST_WORKERS)
        if direct.direct_num_workers > 1:
            direct.direct_running_mode = "multi_processing"
    return int(direct.direct_num_workers or 1)


def choose_shuffles(options: PipelineOptions, rows: int) -> int:
    """In how many parts the session shuffle of a run is made.

    An in-process run holds every shuffle in memory, several copies of it while it is handed over; parts are handed
    over one by one. Dataflow's shuffle is a service and needs none.
    """
    return min(_MOST_SHUFFLES, 1 + rows // _SHUFFLE_ROWS) if _in_process(options) else 1


def _in_process(options: PipelineOptions) -> bool:
    return bool(options.view_as(StandardOptions).runner == IN_PROCESS)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _refuse_unknown(others: list[str]) -> None:
    """Beam ignores what it does not know; a mistyped option must not pass in silence."""
    if not others:
        return
    beam_parser = Parser(allow_abbrev=False, add_help=False, conflict_handler="resolve")
    for options_class in PipelineOptions.__subclasses__():
        options_class._add_argparse_args(beam_parser)
    _, unknown = beam_parser.parse_known_args(others)
    if unknown:
        known = [*_parser()._option_string_actions, *beam_parser._option_string_actions]
        meant = difflib.get_close_matches(unknown[0].partition("=")[0], known, 1)
        raise UsageError(f"unknown option {unknown[0]!r}; {f'is {meant[0]} meant? S' if meant else 's'}ee --help")
