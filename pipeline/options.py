"""The options of a run: one PipelineOptions class, environment fallbacks, validation.

All values may arrive as strings, as a Flex Template sends them; an empty string means "not given".
Nothing is required at the argparse level: a required Beam option would break every other pipeline of
the process.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from pipeline.errors import UsageError
from pipeline.option import COUNT, DATE_PATTERN, RATIO, WHOLE, Option, Values, choice, count, day, ratio, whole
from pipeline.plan import LATENESS, OVERLAP, Request
from pipeline.warehouse.datasets import OPTIONS as DATASET_OPTIONS
from pipeline.warehouse.datasets import Datasets
from pipeline.warehouse.folder_options import DEFAULT_FOLDER
from pipeline.warehouse.kinds import KINDS, kind_of


def _flag(name: str, text: str) -> Option:
    return Option(name, "false", text, "true|false", is_flag=True, choices=("true", "false"))


OPTIONS = (
    Option(
        "warehouse",
        DEFAULT_FOLDER,
        "Where the tables are: a folder DIR/<dataset>/<table>/*.parquet, or the word bigquery.",
        "DIR|bigquery",
        pattern=r"^.+$",
    ),
    *(option for kind in KINDS.values() for option in kind.options),
    *DATASET_OPTIONS,
    _flag("full_load", "Read everything and replace the tables; otherwise the run is incremental."),
    Option(
        "start_date",
        None,
        "Backfill: recompute the sessions that start from this day on (UTC), as 2026-01-31.",
        "DATE",
        pattern=DATE_PATTERN,
    ),
    Option(
        "end_date",
        None,
        "Backfill: up to this day, exclusive (UTC), as 2026-02-01.",
        "DATE",
        pattern=DATE_PATTERN,
    ),
    Option(
        "limit",
        None,
        "Read at most this many event rows and publish to sessions_sample and persons_sample only.",
        "ROWS",
        pattern=f"^({COUNT.pattern})?$",
    ),
    Option(
        "excluded_users",
        None,
        "Distinct ids to leave out, one a line: a file, gs://BUCKET/OBJECT, or secret://NAME.",
        "REF",
        pattern=r"^.*$",
    ),
    Option(
        "privacy_key",
        None,
        "Key of the hashes that [privacy] of the metrics file asks for: a file, gs://BUCKET/OBJECT, or secret://NAME.",
        "REF",
        pattern=r"^.*$",
    ),
    Option(
        "metrics_file",
        None,
        "TOML file with the metric definitions; by default the packaged one.",
        "PATH",
        pattern=r"^.*$",
    ),
    Option(
        "overlap_hours",
        str(OVERLAP // timedelta(hours=1)),
        "Incremental: what arrived up to this many hours before the watermark is new as well.",
        "HOURS",
        pattern=f"^{WHOLE.pattern}$",
    ),
    Option(
        "lateness_days",
        str(LATENESS.days),
        "Incremental: events may arrive this many days after they happened.",
        "DAYS",
        pattern=f"^{WHOLE.pattern}$",
    ),
    Option(
        "max_rejected_ratio",
        "0.05",
        "A run that rejects a larger share of its rows (0 to 1) publishes nothing and fails.",
        "RATIO",
        pattern=f"^({RATIO.pattern})$",
    ),
    Option(
        "max_filtered_ratio",
        "0.95",
        "A run in which a larger share of the rows is of other libraries, and was not in the last run, fails.",
        "RATIO",
        pattern=f"^({RATIO.pattern})$",
    ),
    _flag("ignore_checks", "Publish although a check of the metrics file fails; the ledger says which."),
    _flag("plan_only", "Print what would be read and written, and stop."),
    _flag("quiet", "No progress lines; the summary stays."),
    _flag("verbose", "Show the traceback of an unexpected failure (it may quote rows, so keep it off in production)."),
)


#: Options that Beam has as well, and parses.
_BEAMS_OWN = frozenset({"project"})


class SessionPipelineOptions(PipelineOptions):
    """The options of this pipeline beside Beam's own."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add_arguments(parser, [option for option in OPTIONS if option.name not in _BEAMS_OWN])


#: Options that say which tables these are, for whoever reads them.
WHICH = ("warehouse", "project", "aggregated_dataset", "metrics_file")


def add_arguments(parser: argparse.ArgumentParser, options: Sequence[Option] = OPTIONS) -> None:
    """Add options to a parser, under both `--full_load` and `--full-load`."""
    group = parser.add_argument_group("session pipeline")
    for option in options:
        fallback = f" (default: {option.default})" if option.default else ""
        env = f" [env {option.env}]" if option.env else ""
        names = [f"--{option.name}"]
        if "_" in option.name:
            names.append(f"--{option.name.replace('_', '-')}")
        # const, not store_true: a template sends --full_load=true
        flag: dict[str, Any] = {"nargs": "?", "const": "true"} if option.is_flag else {}
        group.add_argument(
            *names,
            dest=option.name,
            default=None,
            metavar=option.metavar,
            help=(option.help + fallback + env).replace("%", "%%"),
            **flag,
        )


@dataclass(frozen=True)
class Settings:
    """The validated values."""

    values: Values
    """As given or by default, for whoever opens the warehouse."""
    project: str | None
    credentials_path: str | None
    credentials_secret: str | None
    excluded_users: str | None
    privacy_key: str | None
    metrics_file: Path | None
    max_rejected_ratio: float
    max_filtered_ratio: float
    ignore_checks: bool
    plan_only: bool
    quiet: bool
    verbose: bool
    request: Request
    given: dict[str, str]
    """What was given on the command line, for the ledger (nothing secret is an option value)."""


def settings_of(options: PipelineOptions) -> Settings:
    """Validate the options.

    Raises:
      UsageError: naming the option, the bad value and the allowed ones.
    """
    given = _given(options)
    values = {option.name: given.get(option.name, option.fallback) for option in OPTIONS}
    for option in OPTIONS:
        if option.choices:
            values[option.name] = choice(option, values[option.name])
    Datasets.of(values)
    if values["credentials_path"] and values["credentials_secret"]:
        raise UsageError("--credentials_path and --credentials_secret exclude each other; give one")
    kind_of(values["warehouse"]).check(values, options)
    return Settings(
        values=values | {"warehouse": given.get("warehouse")},
        project=values["project"],
        credentials_path=values["credentials_path"],
        credentials_secret=values["credentials_secret"],
        excluded_users=values["excluded_users"],
        privacy_key=values["privacy_key"],
        metrics_file=Path(values["metrics_file"]) if values["metrics_file"] else None,
        max_rejected_ratio=ratio("max_rejected_ratio", values["max_rejected_ratio"]),
        max_filtered_ratio=ratio("max_filtered_ratio", values["max_filtered_ratio"]),
        ignore_checks=values["ignore_checks"] == "true",
        plan_only=values["plan_only"] == "true",
        quiet=values["quiet"] == "true",
        verbose=values["verbose"] == "true",
        request=_request(values),
        given={name: value for name, value in given.items() if not name.startswith("credentials")},
    )


def _given(options: PipelineOptions) -> dict[str, str]:
    """The values of our options on the command line; an empty one is none."""
    view, cloud = options.view_as(SessionPipelineOptions), options.view_as(GoogleCloudOptions)
    values = {option.name: getattr(cloud if option.name == "project" else view, option.name) for option in OPTIONS}
    return {name: str(value) for name, value in values.items() if value not in (None, "")}


def _request(values: Values) -> Request:
    start, end = (day(name, values[name]) for name in ("start_date", "end_date"))
    limit = count("limit", values["limit"]) if values["limit"] else None
    if (start is None) != (end is None):
        raise UsageError("--start_date and --end_date go together; give both or none")
    if start is not None and end is not None and start >= end:
        raise UsageError(f"--start_date {start} is not before --end_date {end} (which is exclusive)")
    full = values["full_load"] == "true"
    ways = [
        name
        for name, used in (
            ("--full_load", full),
            ("--start_date", start is not None),
            ("--limit", limit is not None),
        )
        if used
    ]
    if len(ways) > 1:
        raise UsageError(f"{' and '.join(ways)} exclude each other; give one")
    return Request(
        full_load=full,
        start_date=start,
        end_date=end,
        limit=limit,
        overlap=timedelta(hours=whole("overlap_hours", values["overlap_hours"])),
        lateness=timedelta(days=whole("lateness_days", values["lateness_days"])),
    )
