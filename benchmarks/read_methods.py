"""CPU time of an event out of BigQuery by read method, over the wire from the emulator (its own time is not counted).

`python -m benchmarks.read_methods WAREHOUSE` copies the warehouse's events into the emulator, reads them by each method
into record batches, and prints a line a method: name, µs of CPU an event.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import apache_beam as beam

from pipeline import tables
from pipeline.warehouse.bigquery.read import ReadTable, Source
from tests.bigquery.emulators import running

METHODS = ("DIRECT_READ", "ARROW")


def cpu_per_event(warehouse: Path) -> dict[str, float]:
    """Read method → µs of CPU time an event, Beam's fixed costs taken off by a read of nothing."""
    found = {}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as emulators:
        emulators.copy(warehouse)
        dataset = emulators.datasets(warehouse)["posthog_etl"]
        rows = emulators.client().get_table(f"{emulators.project}.{dataset}.events").num_rows
        for method in METHODS:
            seconds = []
            for condition in (None, "uuid = 'none'"):
                source = Source(emulators.project, dataset, "events", tuple(tables.EVENTS.schema.names), condition)
                started = time.process_time()
                with beam.Pipeline(runner="FnApiRunner", options=_options(emulators.options(warehouse))) as pipeline:
                    _ = (
                        pipeline
                        | ReadTable(source, tables.EVENTS.bare, method, dataset)
                        | beam.Map(lambda batch: batch.num_rows)
                        | beam.CombineGlobally(sum)
                    )
                seconds.append(time.process_time() - started)
            found[method] = (seconds[0] - seconds[1]) / rows * 1e6
    return found


def _options(arguments: list[str]) -> beam.options.pipeline_options.PipelineOptions:
    wanted = [argument for argument in arguments if argument.startswith(("--project", "--temp_location"))]
    return beam.options.pipeline_options.PipelineOptions(wanted)


if __name__ == "__main__":
    for name, micros in cpu_per_event(Path(sys.argv[1])).items():
        print(name, round(micros, 2))
