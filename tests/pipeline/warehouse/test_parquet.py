"""Reading Parquet as it comes: damaged pages, long texts, old types; in bounded batches."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import tables
from pipeline.errors import RunError
from pipeline.warehouse import batches, parquet
from pipeline.warehouse.parquet import problems_in, read_shard, table_shards
from tests.builders import event

LABEL = "in.events"


def events(*numbers: int, **columns: Any) -> pa.Table:
    content = pa.Table.from_pylist([event(number) for number in numbers], tables.EVENTS.bare)
    for name, column in columns.items():
        content = content.set_column(content.schema.names.index(name), name, column)
    return content


def read(*paths: Path, table: tables.Table = tables.EVENTS) -> list[pa.RecordBatch]:
    return [batch for shard in table_shards(paths, LABEL) for batch in read_shard(shard, table, LABEL)]


@pytest.mark.parametrize("column", ["properties", "distinct_id", "timestamp"])
@pytest.mark.parametrize("checksums", [True, False])
def test_a_corrupt_page_names_table_file_and_column(tmp_path: Path, column: str, checksums: bool) -> None:
    path = tmp_path / "part-0.parquet"
    content = events(*range(2_000))
    options: dict[str, Any] = {"compression": "zstd", "use_dictionary": False, "write_page_checksum": checksums}
    pq.write_table(content, path, **options)
    place = content.schema.names.index(column)
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(place)
    raw = bytearray(path.read_bytes())
    # without checksums only a damage that breaks the format can be seen: here of the page's header
    place = chunk.data_page_offset + (chunk.total_compressed_size // 2 if checksums else 0)
    raw[place : place + 40] = b"\xff" * 40
    path.write_bytes(raw)
    with pytest.raises(RunError) as caught:
        read(path)
    assert str(caught.value).startswith(f"in.events: column '{column}' of {path} (row group 0) cannot be read")
    assert "\n" not in str(caught.value)


def test_no_parquet_at_all_is_named(tmp_path: Path) -> None:
    path = tmp_path / "part-0.parquet"
    path.write_bytes(b"not parquet")
    with pytest.raises(RunError, match=rf"^in.events: {path} cannot be read as Parquet: "):
        read(path)


def test_a_file_whose_name_is_no_text_is_named(tmp_path: Path) -> None:
    path = Path(os.fsdecode(bytes(tmp_path / "part-") + b"\xff.parquet"))
    path.write_bytes(b"")
    with pytest.raises(RunError, match=r"^in.events: '.*part-\\udcff.parquet' cannot be read: its name is not UTF-8"):
        read(path)


def test_a_file_without_rows_refuses_nothing(tmp_path: Path) -> None:
    empty, full = tmp_path / "empty.parquet", tmp_path / "full.parquet"
    pq.write_table(pa.table({"timestamp": pa.array([], pa.float64()), "index": pa.array([], pa.null())}), empty)
    pq.write_table(events(1, 2), full)
    assert problems_in([empty, full], tables.EVENTS, LABEL) == []
    assert sum(batch.num_rows for batch in read(empty, full)) == 2
    assert read(empty) == []


def test_files_of_one_table_may_differ(tmp_path: Path) -> None:
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pq.write_table(events(1).drop_columns(["bq_ingested_timestamp"]), first)
    nanos = events(2, 3)["timestamp"].cast(pa.timestamp("ns"))
    loud = [name.upper() for name in tables.EVENTS.schema.names]
    pq.write_table(events(2, 3, timestamp=nanos).rename_columns(loud), second)
    found = pa.Table.from_batches(read(first, second))
    assert found.schema == tables.EVENTS.bare
    assert found["timestamp"].to_pylist() == events(1, 2, 3)["timestamp"].to_pylist()
    assert found["bq_ingested_timestamp"].null_count == 1


@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("rows", [3, 300])
def test_batches_are_bounded_by_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dictionary: bool, rows: int
) -> None:
    for module in (batches, parquet):
        monkeypatch.setattr(module, "BATCH_BYTES", 100_000)
    text = json.dumps({"$session_id": "s", "pad": "x" * 10_000})
    content = events(*range(rows), properties=pa.array([text] * rows))
    pq.write_table(content, tmp_path / "part-0.parquet", use_dictionary=dictionary)
    found = read(tmp_path / "part-0.parquet")
    assert pa.Table.from_batches(found) == content
    assert all(batch.nbytes <= 100_000 for batch in found)
    assert len(found) < rows


def test_long_texts_that_repeat_are_never_resolved_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps({"$session_id": "s", "pad": "x" * 1_000_000})
    content = events(*range(2_500), properties=pa.DictionaryArray.from_arrays(pa.array([0] * 2_500), pa.array([text])))
    pq.write_table(content, tmp_path / "part-0.parquet")
    before = pa.total_allocated_bytes()
    most = rows = 0
    [shard] = table_shards([tmp_path / "part-0.parquet"], LABEL)
    for batch in read_shard(shard, tables.EVENTS, LABEL):
        assert batch.nbytes <= batches.BATCH_BYTES
        rows += batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows == 2_500
    assert most < 5 * batches.BATCH_BYTES  # 2.5 GB in all


def test_text_that_is_no_utf8_is_mended_but_for_json_which_its_decoder_checks(tmp_path: Path) -> None:
    raw = pa.array([b"caf\xc3", b"ok"], pa.binary())
    bad = pa.StringArray.from_buffers(2, *raw.buffers()[1:])
    pq.write_table(events(1, 2, event=bad, uuid=bad, distinct_id=bad), tmp_path / "part-0.parquet")
    [found] = read(tmp_path / "part-0.parquet")
    for name in ("event", "uuid", "distinct_id"):
        assert found.column(name).to_pylist() == ["caf�", "ok"]
