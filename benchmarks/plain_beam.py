"""Peer: the plain Beam pipeline that one would write first. Dict rows, `json.loads`, a dict accumulator.

`python -m benchmarks.plain_beam WAREHOUSE`: sessions by key, then persons, with a part of the columns only (which
favours this peer), written as Parquet.
"""

from __future__ import annotations

import json
import sys
import tempfile
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

COLUMNS = ["uuid", "event", "properties", "distinct_id", "timestamp"]


def rows_of(path: str) -> Any:
    """A file's rows as dicts."""
    for batch in pq.ParquetFile(path).iter_batches(columns=COLUMNS):
        yield from batch.to_pylist()


def parse(row: dict[str, Any]) -> Any:
    """(session id, event) of a usable row."""
    try:
        properties = json.loads(row["properties"])
        session = properties["$session_id"]
    except (TypeError, ValueError, KeyError):
        return
    if properties.get("$lib") == "posthog-react-native" and session and row["timestamp"] and row["distinct_id"]:
        yield str(session), {**row, "properties": properties}


class Sessions(beam.CombineFn):
    """Events of a session → a dict of its columns."""

    def create_accumulator(self) -> dict[str, Any]:
        """Nothing yet."""
        return {"ids": set(), "taps": set(), "screens": set(), "start": None, "end": None, "who": None, "reach": 0.0}

    def add_input(self, found: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        """One event."""
        properties = row["properties"]
        found["ids"].add(row["uuid"])
        if row["event"] == "$autocapture":
            found["taps"].add(row["uuid"])
        # without this a lone surrogate in one event crashes the whole pipeline in a coder
        found["screens"].add(str(properties.get("$screen_name")).encode("utf-8", "replace"))
        key = (row["timestamp"], row["uuid"] or "", row["distinct_id"])
        found["start"] = min(found["start"] or key, key)
        found["end"] = max(found["end"] or key, key)
        touch, height = properties.get("$touch_y"), properties.get("$screen_height")
        if isinstance(touch, (int, float)) and isinstance(height, (int, float)) and height:
            found["reach"] = max(found["reach"], min(max(touch / height, 0), 1))
        return found

    def merge_accumulators(self, accumulators: Any) -> dict[str, Any]:
        """The union of all."""
        merged, *others = accumulators
        for other in others:
            for name in ("ids", "taps", "screens"):
                merged[name] |= other[name]
            for name, choose in (("start", min), ("end", max)):
                merged[name] = choose(value for value in (merged[name], other[name]) if value is not None)
            merged["reach"] = max(merged["reach"], other["reach"])
        return merged

    def extract_output(self, found: dict[str, Any]) -> dict[str, Any]:
        """The session's columns."""
        seconds = (found["end"][0] - found["start"][0]).total_seconds()
        counts = {name: len(found[name]) for name in ("ids", "taps", "screens")}
        return {"person": found["start"][2], "seconds": seconds, "reach": found["reach"], **counts}


def by_person(item: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Sessions keyed by person."""
    return item[1]["person"], item[1]


def person(sessions: Any) -> dict[str, Any]:
    """The person's columns."""
    rows = list(sessions)
    seconds = sorted(row["seconds"] for row in rows)
    return {"sessions": len(rows), "median": seconds[len(seconds) // 2], "taps": sum(row["taps"] for row in rows)}


def main(warehouse: str) -> None:
    """Read, aggregate twice, write."""
    files = [match.path for match in FileSystems.match([f"{warehouse}/posthog_etl/events/*.parquet"])[0].metadata_list]
    with tempfile.TemporaryDirectory() as folder, beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as p:
        sessions = (
            p
            | beam.Create(files)
            | "Read" >> beam.FlatMap(rows_of)
            | "Parse" >> beam.FlatMap(parse)
            | "Sessions" >> beam.CombinePerKey(Sessions())
        )
        sessions | "Write sessions" >> beam.io.WriteToText(f"{folder}/sessions")
        persons = (
            sessions | beam.Map(by_person) | beam.GroupByKey() | beam.MapTuple(lambda key, rows: (key, person(rows)))
        )
        persons | "Write persons" >> beam.io.WriteToText(f"{folder}/persons")


if __name__ == "__main__":
    main(sys.argv[1])
