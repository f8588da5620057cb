"""Two nights of a small app, for the tests in the cloud: a first run, then a third of the events as news."""

from __future__ import annotations

import secrets
import shutil
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.references import write_below
from sample import write_sample
from tests.builders import assert_adds_up, ledger, run
from transforms.metrics.file import load_metrics

_FUTURE = pa.scalar(datetime(2030, 1, 1, tzinfo=UTC), pa.timestamp("us", "UTC"))


def run_two_nights(warehouse: Path, *options: str, valid_json: bool = False) -> None:
    """A full run and an incremental one, compared with those of a local warehouse (`builders.run`).

    Args:
      warehouse: an empty folder.
      options: of both runs.
      valid_json: leave out rows that a column of type JSON cannot hold.
    """
    write_sample(warehouse, events=1_000)
    folder = warehouse / "posthog_etl" / "events"
    events = pq.read_table(folder)
    # a row of the far future is rejected anew by each run that reads it; a folder may skip its row group
    events = events.filter(pc.less(events["timestamp"], _FUTURE).fill_null(True)).sort_by("bq_ingested_timestamp")
    if valid_json:
        events = events.filter(pa.array([_is_json(text) for text in events["properties"].to_pylist()]))
    shutil.rmtree(folder)
    folder.mkdir()
    for name, part in (("part-0", events.slice(0, 700)), ("part-1", events.slice(700))):
        pq.write_table(part, folder / f"{name}.parquet")
        assert run(warehouse, *options) == 0
    rows = ledger(warehouse)
    assert [row["mode"] for row in rows] == ["full", "incremental"]
    assert rows[1]["sessions_inserted"]
    for row in rows:
        assert_adds_up(row)


def key_options(folder: str) -> tuple[str, ...]:
    """`--privacy_key` with a key that nobody has, where the packaged metrics hash; nothing where they do not.

    Args:
      folder: where the key is written, seen by all machines of both runs.
    """
    if not load_metrics().privacy.hashes:
        return ()
    key, name = secrets.token_hex(32).encode(), f"proof-key-{secrets.token_hex(4)}"
    return (f"--privacy_key={write_below(folder, name, key, 'the key', mime_type='application/octet-stream')}",)


def _is_json(text: str | None) -> bool:
    """Whether BigQuery surely parses a text: NaN and half a surrogate pair are no JSON, and what it does with the
    character that is zero it does not say."""
    try:
        msgspec.json.decode(text or "")
    except (msgspec.MsgspecError, RecursionError):
        return False
    return r"\u0000" not in (text or "")
