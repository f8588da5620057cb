"""CPU time of an event out of BigQuery by read method, over the wire from the emulator (its own time is not counted).

`python -m benchmarks.read_methods WAREHOUSE` copies the warehouse's events into the emulator, reads them by each method
into record batches, and prints a line a method: name, µs of CPU an event.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import apache_beam as beam

from pipeline import tables
from pipeline.warehouse.bigquery.read import ReadTable, Selection
from pipeline.warehouse.binding import Binding
from pipeline.warehouse.reading import OnlyRows
from tests.bigquery.emulators import running

METHODS = ("DIRECT_READ", "ARROW")
_NOTHING = "uuid = 'none'"
_PAIRS = 5


def cpu_per_event(warehouse: Path) -> dict[str, float]:
    """Read method → µs of CPU time an event; a read of no row is taken off, medians of some pairs after a warm-up."""
    found = {}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as emulators:
        emulators.copy(warehouse)
        dataset = emulators.datasets(warehouse)["posthog_etl"]
        rows = emulators.client().get_table(f"{emulators.project}.{dataset}.events").num_rows
        options = _options(emulators.options(warehouse))
        names, types = tables.EVENTS.bare.names, tables.EVENTS.bare.types
        binding = Binding(
            tables.EVENTS, "events", dict(zip(names, names, strict=True)), {}, dict(zip(names, types, strict=True))
        )
        for method in METHODS:

            def read(condition: str | None, method: str = method) -> float:
                source = Selection(emulators.project, dataset, "events", tuple(tables.EVENTS.schema.names), condition)
                started = time.process_time()
                with beam.Pipeline(runner="FnApiRunner", options=options) as pipeline:
                    _ = (
                        pipeline
                        | OnlyRows(ReadTable(source, binding, method, dataset))
                        | beam.Map(lambda batch: batch.num_rows)
                        | beam.CombineGlobally(sum)
                    )
                return time.process_time() - started

            read(_NOTHING)
            found[method] = statistics.median(read(None) - read(_NOTHING) for _ in range(_PAIRS)) / rows * 1e6
    return found


def _options(arguments: list[str]) -> beam.options.pipeline_options.PipelineOptions:
    wanted = [argument for argument in arguments if argument.startswith(("--project", "--temp_location"))]
    return beam.options.pipeline_options.PipelineOptions(wanted)


if __name__ == "__main__":
    for name, micros in cpu_per_event(Path(sys.argv[1])).items():
        print(name, round(micros, 2))
