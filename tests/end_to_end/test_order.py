"""The tables do not depend on files, order, batching, repetition, threads or processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.metrics.metric import MetricsFilter

from sample import write_sample
from tests.builders import run, tables_of

EVENTS = "posthog_etl/events"


def ipc(table: pa.Table) -> bytes:
    """The bytes of a table's rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    warehouse = tmp_path_factory.mktemp("source")
    write_sample(warehouse, events=3_000)
    return warehouse


@pytest.fixture(scope="module")
def events(source: Path) -> pa.Table:
    return pq.read_table(source / EVENTS)


@pytest.fixture(scope="module")
def wanted(source: Path) -> dict[str, bytes]:
    assert run(source, "--full_load") == 0
    return {name: ipc(table) for name, table in tables_of(source).items()}


def warehouse_of(tmp_path: Path, source: Path, files: list[pa.Table], **options: int) -> Path:
    """The other tables of a warehouse with these events, a file each."""
    (tmp_path / EVENTS).mkdir(parents=True)
    for number, content in enumerate(files):
        pq.write_table(content, tmp_path / EVENTS / f"part-{number:05d}.parquet", **options)
    for table in ("posthog_etl/sessions", "firebase_etl_prod"):
        (tmp_path / table).symlink_to(source / table)
    return tmp_path


def shuffled(events: pa.Table, seed: int = 1) -> pa.Table:
    return events.take(pa.array(np.random.default_rng(seed).permutation(events.num_rows)))


@pytest.mark.parametrize("case", ["one file", "shuffled", "repeated", "small row groups", "types"])
def test_files_and_order(case: str, source: Path, events: pa.Table, wanted: dict[str, bytes], tmp_path: Path) -> None:
    files, options = [events], {}
    if case == "shuffled":
        files = [shuffled(events)]
    elif case == "repeated":
        files = [events, shuffled(events), events]
    elif case == "small row groups":
        options = {"row_group_size": 100}
    elif case == "types":
        schema = events.schema
        for name, kind in (
            ("properties", pa.large_string()),
            ("event", pa.dictionary(pa.int32(), pa.string())),
            ("timestamp", pa.timestamp("ns", "America/New_York")),
        ):
            schema = schema.set(schema.get_field_index(name), pa.field(name, kind))
        # years that nanoseconds cannot hold are broken rows in any unit
        within = [stamp is None or stamp.year < 2090 for stamp in events["timestamp"].to_pylist()]
        files = [events.filter(pa.array(within)).cast(schema)]
    warehouse = warehouse_of(tmp_path, source, files, **options)
    assert run(warehouse, "--full_load", "--max_rejected_ratio", "0.5") == 0
    assert {name: ipc(table) for name, table in tables_of(warehouse).items()} == wanted


def test_one_row_a_file(source: Path, events: pa.Table, tmp_path: Path) -> None:
    few = events.slice(0, 400)
    whole = warehouse_of(tmp_path / "whole", source, [few])
    single = warehouse_of(tmp_path / "single", source, [few.slice(i, 1) for i in range(few.num_rows)])
    assert run(whole, "--full_load") == run(single, "--full_load") == 0
    assert tables_of(single) == tables_of(whole)


def test_the_session_shuffle_in_parts(
    source: Path, events: pa.Table, wanted: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.command_line._SHUFFLE_ROWS", 1_000)
    warehouse = warehouse_of(tmp_path, source, [shuffled(events)])
    assert run(warehouse, "--full_load") == 0
    assert {name: ipc(table) for name, table in tables_of(warehouse).items()} == wanted


@pytest.mark.parametrize(
    "workers",
    [
        ("--direct_running_mode=multi_threading", "--direct_num_workers=4"),
        ("--direct_running_mode=multi_processing", "--direct_num_workers=2"),
    ],
)
def test_threads_and_processes(
    workers: tuple[str, ...],
    source: Path,
    events: pa.Table,
    wanted: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows of a session are spread over many shards, so that accumulators of several workers are merged."""
    monkeypatch.setattr("pipeline.warehouse.parquet.SHARD_ROWS", 50)
    widths: dict[str, int] = {}

    def remember(run: object, result: object, *_: object) -> str:
        found = result.metrics().query(MetricsFilter().with_namespace("sessions"))  # type: ignore[attr-defined]
        for distribution in found["distributions"]:
            name = distribution.key.metric.name
            widths[name] = max(widths.get(name, 0), distribution.result.max or 0)
        return ""

    monkeypatch.setattr("pipeline.launcher.summary_text", remember)
    rows = shuffled(events)
    warehouse = warehouse_of(tmp_path, source, [rows.slice(i, 300) for i in range(0, rows.num_rows, 300)])
    assert run(warehouse, "--full_load", *workers) == 0
    assert {name: ipc(table) for name, table in tables_of(warehouse).items()} == wanted
    assert widths["session_merge_width"] > 1
