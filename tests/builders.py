"""The vocabulary of the tests: events, warehouses, runs, and the tables they publish."""

from __future__ import annotations

import contextlib
import io
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import tables
from pipeline.launcher import main
from tests.bigquery.place import Place
from tests.merging import Folder, read
from tests.same import assert_same, plain
from transforms.events.slim_rows import layout
from transforms.machinery.columns import Columns
from transforms.metrics.definitions import Metrics
from transforms.metrics.file import load_metrics, parse_metrics
from transforms.sessions.facts import SessionCombineFn, fact_schema

METRICS = load_metrics()
WAVES_METRICS = Path(__file__).with_name("waves_metrics.toml")
#: When the events of the tests begin.
START = datetime(2025, 1, 5, 12, 0, tzinfo=UTC)
#: What runs publish; beside it samples, of any rows that come first.
OUTPUTS = (*(output.name for output in tables.OUTPUTS), tables.RUNS.name)
#: The BigQuery that they go to instead, or None for local warehouses; set by the fixture `place`.
PLACE: Place | None = None
#: What holds runs on local warehouses against merges of their changes; set by the fixture `place`.
FOLDER: Folder | None = None

#: A small metrics file with one entry of every kind.
SMALL_METRICS_FILE = """
    libraries = ["*"]
    max_events_per_session = 5
    reporting_timezone = "Pacific/Auckland"
    dev_builds = { build = ["dev", 0] }
    engaged_by = ["taps"]
    engagement_flags = ["created_event", "bought"]
    [metrics.taps]
    kind = "count"
    events = ["tap"]
    person_noun = "taps"
    description = "Taps."
    [metrics.touches]
    kind = "count"
    property = "y"
    description = "Events with y."
    [metrics.bought]
    kind = "flag"
    events = ["buy"]
    description = "Bought."
    [metrics.tapped]
    kind = "flag"
    count = "taps"
    description = "Tapped."
    [metrics.screens]
    kind = "distinct"
    property = "$screen_name"
    description = "Screens."
    [metrics.entry]
    kind = "first"
    property = "$screen_name"
    description = "First screen."
    person = "latest"
    [metrics.exit]
    kind = "last"
    property = "$screen_name"
    description = "Last screen."
    [metrics.reach]
    kind = "max"
    property = "y"
    divided_by = "h"
    clip = [0, 1]
    description = "Reach."
    [metrics.first_buy]
    kind = "first_time"
    events = ["buy"]
    person = "min"
    description = "First purchase."
    [metrics.last_tap]
    kind = "last_time"
    events = ["tap"]
    screens = ["Home", "Chat"]
    person = "max"
    description = "Last tap on two screens."
    [metrics.chosen]
    kind = "flag"
    name_contains = ["u"]
    where = { mode = 1 }
    description = "An event with u in its name and mode 1."
    [metrics.tap_top]
    kind = "max"
    property = "y"
    events = ["tap"]
    where = { mode = ["x", 1] }
    person = "max"
    description = "Highest y of taps in two modes."
    [metrics.lowest]
    kind = "min"
    property = "y"
    person = "min"
    description = "Lowest y."
    [metrics.amount]
    kind = "sum"
    property = "y"
    decimals = 1
    person_noun = "amount"
    description = "Sum of y."
    [metrics.modes]
    kind = "values"
    property = "mode"
    limit = 2
    description = "Modes."
    [metrics.names]
    kind = "values"
    property = "event"
    where = { event = ["tap", "buy"] }
    description = "Names of two kinds of events."
    [metrics.last_mode]
    kind = "last"
    property = "mode"
    events = ["look"]
    description = "Mode of the last look."
    [metrics.language]
    kind = "last"
    property = "lang"
    events = ["look"]
    description = "Language of the last look, a property that is needed of no other event."
    [metrics.checkout]
    kind = "sequence"
    steps = ["tap", { events = ["buy"], where = { mode = ["x", true] } }, { property = "y" }]
    description = "Checkout."
    [links.thing]
    property = "mode"
    actions = { tapped = ["tap"], joined = ["tap", "buy"] }
    limit = 2
    description = "What is tapped and bought."
    [links.social_event]
    property = "$screen_name"
    actions = { viewed = ["look", "tap"], joined = ["buy"] }
    limit = 2
    description = "A social event, which has its own screen."
    [metrics.awake]
    kind = "duration"
    pauses = ["tap"]
    resumes = ["buy"]
    description = "Seconds awake."
    """
SMALL_METRICS: Metrics = parse_metrics(SMALL_METRICS_FILE)


def at(seconds: float) -> datetime:
    """A moment, counted from `START`."""
    return START + timedelta(seconds=seconds)


def event_id(number: int) -> str:
    """A UUID that sorts like its number."""
    return str(uuid.UUID(int=number + (7 << 76) + (2 << 62)))


def event(
    number: int,
    session: str | None = "s1",
    *,
    name: str = "$screen",
    distinct_id: str | None = "anon-1",
    seconds: float | None = None,
    arrives: float | None = None,
    properties: Mapping[str, Any] | str | None = None,
    lib: str | None = "posthog-react-native",
) -> dict[str, Any]:
    """A row of `posthog.events`; by default it happens `number` seconds after `START` and arrives a minute later."""
    seconds = number if seconds is None else seconds
    if properties is None or not isinstance(properties, str):
        content = {"$session_id": session, "$lib": lib, **(properties or {})}
        text: str | None = json.dumps({key: value for key, value in content.items() if value is not None})
    else:
        text = properties
    return {
        "uuid": event_id(number),
        "event": name,
        "properties": text,
        "distinct_id": distinct_id,
        "timestamp": at(seconds),
        "bq_ingested_timestamp": at(seconds + 60 if arrives is None else arrives),
    }


def slices_of(kept: Columns, metrics: Metrics) -> list[bytes]:
    """Slim event rows as one slice, as the session shuffle carries it; none for no row."""
    rows = Columns.concat([kept])
    return [packed for _, packed in rows.slices(np.array([0, len(rows)]), layout(metrics))] if len(rows) else []


def facts_of_slices(slices: Sequence[bytes], metrics: Metrics) -> pa.RecordBatch:
    """The facts of all sessions in some slices."""
    schema = fact_schema(metrics, tables.SESSIONS.under(metrics).bare)
    return SessionCombineFn(metrics, schema).output(slices)


def events_batch(rows: Iterable[Mapping[str, Any]]) -> pa.RecordBatch:
    """Rows of `posthog.events` as the source gives them."""
    return pa.RecordBatch.from_pylist(list(rows), schema=tables.EVENTS.bare)


def write_table(
    warehouse: Path,
    dataset: str,
    table: tables.Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    name: str = "part-0",
    row_group_size: int | None = None,
    without: Sequence[str] = (),
) -> None:
    """Add a Parquet file to a table of a local warehouse."""
    folder = warehouse / dataset / table.name
    folder.mkdir(parents=True, exist_ok=True)
    content = pa.Table.from_pylist(list(rows), schema=table.bare)
    content = content.drop_columns([column for column in without if column in content.schema.names])
    pq.write_table(content, folder / f"{name}.parquet", row_group_size=row_group_size)


def put_users(warehouse: Path, *users: Mapping[str, Any]) -> None:
    """Add users to a local warehouse."""
    write_table(warehouse, "firebase_etl_prod", tables.USERS, users)


def write_events(warehouse: Path, rows: Sequence[Mapping[str, Any]], name: str = "part-0") -> Path:
    """Add a file of events; gives the warehouse."""
    write_table(warehouse, "posthog_etl", tables.EVENTS, rows, name=name)
    return warehouse


def run(warehouse: Path, *options: str) -> int:
    """Run the pipeline in this process; its exit code.

    On BigQuery (`PLACE`) the same run is made on the folder as well, and both must end alike and publish the same:
    whatever a test runs there is a comparison with the local warehouse too. In a `FOLDER` the tables must be what a
    merge of the run's changes makes of those of before.
    """
    if PLACE is None:
        with FOLDER.held(warehouse) if FOLDER else contextlib.nullcontext():
            return _main("--warehouse", str(warehouse), *options)
    PLACE.copy(warehouse)
    code = _main(*PLACE.options(warehouse), *options)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
        wanted = _main("--warehouse", str(warehouse), *options)
    assert code == wanted, f"{code} on BigQuery, on the folder {wanted}: {told.getvalue()}"
    for table in OUTPUTS:
        found, there = PLACE.read(warehouse, table), read(warehouse, table)
        assert_same(table, found, there, keeps_properties_text=not PLACE.json_properties)
    return code


def _main(*options: str) -> int:
    return main(["--runner", "DirectRunner", "--quiet", *options])


def published(warehouse: Path, table: str, *, run_columns: bool = False) -> pa.Table:
    """A published table, sorted by its key (its first column), without the run columns by default."""
    found = PLACE.read(warehouse, table) if PLACE else read(warehouse, table)
    assert found is not None, f"{table} is not published"
    return plain(found, run_columns=run_columns)


def has_published(warehouse: Path) -> bool:
    """Whether a run was ever published there."""
    found = PLACE.read(warehouse, "runs") if PLACE else read(warehouse, "runs")
    return found is not None and found.num_rows > 0


def tables_of(warehouse: Path) -> dict[str, pa.Table]:
    """All tables but dead letters and the ledger, to be compared with those of another warehouse."""
    return {output.name: published(warehouse, output.name) for output in tables.OUTPUTS if not output.append_only}


def ledger(warehouse: Path) -> list[dict[str, Any]]:
    """The rows of `runs`, oldest first."""
    rows: list[dict[str, Any]] = published(warehouse, "runs").to_pylist()
    return rows


def notes(warehouse: Path) -> dict[str, int]:
    """The counts of the last run that have no column of their own."""
    return dict(json.loads(ledger(warehouse)[-1]["notes"]))


def changes_of(warehouse: Path, table: str) -> dict[str, int]:
    """What the last run did to a table: change → rows."""
    return {
        name.removeprefix(f"{table}."): number
        for name, number in notes(warehouse).items()
        if name.startswith(f"{table}.")
    }


def assert_adds_up(row: Mapping[str, Any]) -> None:
    """Every row read is kept, a duplicate, filtered or rejected."""
    parts = ("rows_kept", "rows_duplicate", "rows_filtered", "rows_rejected")
    assert row["rows_read"] == sum(row[part] for part in parts)
