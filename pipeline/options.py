"""The options of a run: one PipelineOptions class, environment fallbacks, validation.

All values may arrive as strings, as a Flex Template sends them; an empty string means "not given".
Nothing is required at the argparse level: a required Beam option would break every other pipeline of
the process.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, StandardOptions

from pipeline.errors import UsageError
from pipeline.plan import LATENESS, OVERLAP, Request

DEFAULT_WAREHOUSE = "./warehouse"
BIGQUERY = "bigquery"
#: BigQuery allows 1,024, but the form of a launch is checked by RE2, which counts to 1,000.
DATASET = re.compile(r"[A-Za-z0-9_]{1,1000}")


@dataclass(frozen=True)
class Option:
    """One option: what argparse, the README's table and `flex_template.json` say of it."""

    name: str
    default: str | None
    help: str
    metavar: str
    env: str | None = None
    is_flag: bool = False
    choices: tuple[str, ...] = ()
    pattern: str = ""
    """Regular expression of the values that the parser accepts, where `choices` do not say it."""

    @property
    def fallback(self) -> str | None:
        """The value when the option is not given: from the environment, else the default."""
        return (os.environ.get(self.env) if self.env else None) or self.default


_PROJECT = re.compile(r"([a-z0-9.-]{1,100}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_PROJECT_PATTERN = rf"^({_PROJECT.pattern})?$"
_DATASET_PATTERN = f"^{DATASET.pattern}$"
_INPUT = re.compile(rf"({_PROJECT.pattern}\.)?{DATASET.pattern}")
_INPUT_PATTERN = f"^{_INPUT.pattern}$"
#: The days of this century: exact, so that a launch form refuses 2026-02-30 as well.
_DATE_PATTERN = (
    r"^(20([0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    r"|02-(0[1-9]|1[0-9]|2[0-8]))|(0[048]|[2468][048]|[13579][26])-02-29))?$"
)
_COUNT = re.compile(r"[1-9][0-9]{0,11}")
_WHOLE = re.compile(r"[0-9]{1,4}")
_RATIO = re.compile(r"0(\.[0-9]+)?|1(\.0+)?")
OPTIONS = (
    Option(
        "warehouse",
        DEFAULT_WAREHOUSE,
        "Where the tables are: a folder DIR/<dataset>/<table>/*.parquet, or the word bigquery.",
        "DIR|bigquery",
        pattern=r"^.+$",
    ),
    Option(
        "project",
        None,
        "Google Cloud project; needed with bigquery.",
        "PROJECT",
        env="GOOGLE_CLOUD_PROJECT_ID",
        pattern=_PROJECT_PATTERN,
    ),
    Option(
        "read_method",
        "DIRECT_READ",
        "How BigQuery is read: DIRECT_READ and EXPORT are Beam's ReadFromBigQuery, ARROW needs less CPU time.",
        "METHOD",
        choices=("DIRECT_READ", "EXPORT", "ARROW"),
        pattern="^(DIRECT_READ|EXPORT|ARROW)$",
    ),
    Option(
        "credentials_path",
        None,
        "Service account key (JSON) for a run on this machine against BigQuery; by default Google's own rules.",
        "PATH",
        env="BIGQUERY_CREDENTIALS_PATH",
        pattern=r"^.*$",
    ),
    Option(
        "credentials_secret",
        None,
        "The same from Secret Manager: a name, a full resource name, or a pinned version.",
        "SECRET",
        env="BIGQUERY_SECRET_NAME",
        pattern=r"^.*$",
    ),
    Option(
        "posthog_dataset",
        "posthog_etl",
        "Dataset of PostHog's tables events and sessions; with bigquery also PROJECT.DATASET.",
        "DATASET",
        env="POSTHOG_DATASET_ID",
        pattern=_INPUT_PATTERN,
    ),
    Option(
        "firebase_dataset",
        "firebase_etl_prod",
        "Dataset of Firebase's tables users, events and userinvites; with bigquery also PROJECT.DATASET.",
        "DATASET",
        env="FIREBASE_DATASET_ID",
        pattern=_INPUT_PATTERN,
    ),
    Option(
        "aggregated_dataset",
        "posthog_aggregated",
        "Dataset of the output tables; created when missing.",
        "DATASET",
        env="POSTHOG_AGGREGATED_DATASET_ID",
        pattern=_DATASET_PATTERN,
    ),
    Option(
        "full_load",
        "false",
        "Read everything and replace the tables; otherwise the run is incremental.",
        "true|false",
        is_flag=True,
        choices=("true", "false"),
    ),
    Option(
        "start_date",
        None,
        "Backfill: recompute the sessions that start from this day on (UTC), as 2026-01-31.",
        "DATE",
        pattern=_DATE_PATTERN,
    ),
    Option(
        "end_date",
        None,
        "Backfill: up to this day, exclusive (UTC), as 2026-02-01.",
        "DATE",
        pattern=_DATE_PATTERN,
    ),
    Option(
        "limit",
        None,
        "Read at most this many event rows and publish to sessions_sample and persons_sample only.",
        "ROWS",
        pattern=f"^({_COUNT.pattern})?$",
    ),
    Option(
        "excluded_users",
        None,
        "Distinct ids to leave out, one a line: a file, gs://BUCKET/OBJECT, or secret://NAME.",
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
        pattern=f"^{_WHOLE.pattern}$",
    ),
    Option(
        "lateness_days",
        str(LATENESS.days),
        "Incremental: events may arrive this many days after they happened.",
        "DAYS",
        pattern=f"^{_WHOLE.pattern}$",
    ),
    Option(
        "max_rejected_ratio",
        "0.05",
        "A run that rejects a larger share of its rows (0 to 1) publishes nothing and fails.",
        "RATIO",
        pattern=f"^({_RATIO.pattern})$",
    ),
    Option(
        "max_filtered_ratio",
        "0.95",
        "A run in which a larger share of the rows is of other libraries, and was not in the last run, fails.",
        "RATIO",
        pattern=f"^({_RATIO.pattern})$",
    ),
    Option(
        "plan_only",
        "false",
        "Print what would be read and written, and stop.",
        "true|false",
        is_flag=True,
        choices=("true", "false"),
    ),
    Option(
        "quiet",
        "false",
        "No progress lines; the summary stays.",
        "true|false",
        is_flag=True,
        choices=("true", "false"),
    ),
    Option(
        "verbose",
        "false",
        "Show the traceback of an unexpected failure (it may quote rows, so keep it off in production).",
        "true|false",
        is_flag=True,
        choices=("true", "false"),
    ),
)


#: Options that Beam has as well, and parses.
_BEAMS_OWN = frozenset({"project"})


class SessionPipelineOptions(PipelineOptions):
    """The options of this pipeline beside Beam's own."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add_arguments(parser, [option for option in OPTIONS if option.name not in _BEAMS_OWN])


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

    warehouse: str
    is_default_warehouse: bool
    project: str | None
    temp_location: str | None
    read_method: str
    credentials_path: str | None
    credentials_secret: str | None
    posthog_dataset: str
    firebase_dataset: str
    aggregated_dataset: str
    excluded_users: str | None
    metrics_file: Path | None
    max_rejected_ratio: float
    max_filtered_ratio: float
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
            values[option.name] = _choice(option, values[option.name])
    datasets = _datasets(values)
    if values["credentials_path"] and values["credentials_secret"]:
        raise UsageError("--credentials_path and --credentials_secret exclude each other; give one")
    _check_cloud(options, values)
    return Settings(
        warehouse=values["warehouse"] or DEFAULT_WAREHOUSE,
        is_default_warehouse="warehouse" not in given,
        project=values["project"],
        temp_location=options.view_as(GoogleCloudOptions).temp_location,
        read_method=str(values["read_method"]),
        credentials_path=values["credentials_path"],
        credentials_secret=values["credentials_secret"],
        **datasets,
        excluded_users=values["excluded_users"],
        metrics_file=Path(values["metrics_file"]) if values["metrics_file"] else None,
        max_rejected_ratio=_ratio("max_rejected_ratio", values["max_rejected_ratio"]),
        max_filtered_ratio=_ratio("max_filtered_ratio", values["max_filtered_ratio"]),
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


def _check_cloud(options: PipelineOptions, values: dict[str, str | None]) -> None:
    """What BigQuery and Dataflow need beside our own options; hands the project on to Beam."""
    runner = options.view_as(StandardOptions).runner or ""
    if values["warehouse"] != BIGQUERY:
        if "Dataflow" in runner:
            raise UsageError(f"--runner {runner} works on --warehouse {BIGQUERY} only; its workers see no local folder")
        return
    cloud = options.view_as(GoogleCloudOptions)
    project = values["project"]
    if not project or not _PROJECT.fullmatch(project):
        raise UsageError(f"--project {project!r} is no project id; --warehouse {BIGQUERY} needs one")
    cloud.project = project
    if values["plan_only"] != "true" and not (cloud.temp_location or "").startswith("gs://"):
        raise UsageError(f"--temp_location {cloud.temp_location!r} is not gs://BUCKET/FOLDER; load files go there")


def _request(values: dict[str, str | None]) -> Request:
    start, end = (_date(name, values[name]) for name in ("start_date", "end_date"))
    limit = _count("limit", values["limit"]) if values["limit"] else None
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
        overlap=timedelta(hours=_whole("overlap_hours", values["overlap_hours"])),
        lateness=timedelta(days=_whole("lateness_days", values["lateness_days"])),
    )


def _choice(option: Option, value: Any) -> str:
    folded = str(value).lower() if option.is_flag else str(value).upper()
    if folded not in option.choices:
        raise UsageError(f"--{option.name} {value!r} is not one of {', '.join(option.choices)}")
    return folded


def _datasets(values: dict[str, str | None]) -> dict[str, str]:
    """The datasets by option; inputs may be of another project, and then they are not what is written."""
    found = {name: _dataset(name, values[name], _INPUT) for name in ("posthog_dataset", "firebase_dataset")}
    output = _dataset("aggregated_dataset", values["aggregated_dataset"], DATASET)
    for name, value in found.items():
        if "." in value and values["warehouse"] != BIGQUERY:
            raise UsageError(f"--{name} {value!r} names a project, which only --warehouse {BIGQUERY} has")
        found[name] = value.removeprefix(f"{values['project']}.")
    if output in found.values():
        raise UsageError(f"--aggregated_dataset {output!r} is an input dataset; choose another")
    return found | {"aggregated_dataset": output}


def _dataset(name: str, value: str | None, pattern: re.Pattern[str]) -> str:
    if value is None or not pattern.fullmatch(value):
        also = ", or PROJECT.DATASET" if pattern is _INPUT else ""
        raise UsageError(f"--{name} {value!r} is not a dataset name: letters, digits and _ only{also}")
    return value


def _date(name: str, value: str | None) -> date | None:
    if not value:
        return None
    try:
        return date.fromisoformat(value) if re.fullmatch(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}", value) else _bad()
    except ValueError as error:
        raise UsageError(f"--{name} {value!r} is not a day of 2000 to 2099 such as 2026-01-31") from error


def _bad() -> date:
    raise ValueError


def _count(name: str, value: str) -> int:
    if not _COUNT.fullmatch(value):
        raise UsageError(f"--{name} {value!r} is not a whole number from 1 on")
    return int(value)


def _whole(name: str, value: str | None) -> int:
    if value is None or not _WHOLE.fullmatch(value):
        raise UsageError(f"--{name} {value!r} is not a whole number from 0 to 9999")
    return int(value)


def _ratio(name: str, value: str | None) -> float:
    if value is None or not _RATIO.fullmatch(value):
        raise UsageError(f"--{name} {value!r} is not a number from 0 to 1 such as 0.05")
    return float(value)
