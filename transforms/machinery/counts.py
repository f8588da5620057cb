"""Numbers about a run: a `Count` is (name, number), summed by name over the whole graph.

They travel as data, not as Beam counters, because the publish step inside the graph needs them (a Flex
Template launcher never sees the job's end). The same numbers are also Beam counters, for the console.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics as BeamMetrics
from apache_beam.pvalue import PCollection

#: Namespace of all counters and distributions of this pipeline.
NAMESPACE = "sessions"
Count = tuple[str, int]


def some_of(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts that are not 0: what never happens is not told."""
    return {name: number for name, number in counts.items() if number}


@beam.typehints.with_input_types(Count)
@beam.typehints.with_output_types(Count)
class _Publish(beam.DoFn):
    """Counts → the same, also added to the Beam counter of that name."""

    def process(self, count: Count) -> Any:
        BeamMetrics.counter(NAMESPACE, count[0]).inc(count[1])
        yield count


class SumCounts(beam.PTransform):
    """PCollection[Count] → PCollection[Count], one a name, and Beam counters of the same names."""

    def expand(self, counts: PCollection[Count]) -> PCollection[Count]:
        """One tiny shuffle by name."""
        return (
            counts
            | "Sum by name" >> beam.CombinePerKey(sum).with_output_types(Count)
            | "Show as counters" >> beam.ParDo(_Publish())
        )
