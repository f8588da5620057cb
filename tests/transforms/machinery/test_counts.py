"""Numbers of a run: summed by name over the whole graph, and shown as Beam counters of the same names."""

from __future__ import annotations

import apache_beam as beam
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to

from transforms.machinery.counts import NAMESPACE, Count, SumCounts


def test_sums_are_data_and_counters() -> None:
    counts = [("read", 3), ("kept", 2), ("read", 4), ("users.duplicates", 0)]
    pipeline = test_pipeline.TestPipeline()
    summed = pipeline | beam.Create(counts).with_output_types(Count) | SumCounts()
    assert_that(summed, equal_to([("read", 7), ("kept", 2), ("users.duplicates", 0)]))
    result = pipeline.run()
    result.wait_until_finish()
    shown = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    assert {counter.key.metric.name: counter.result for counter in shown if counter.result} == {"read": 7, "kept": 2}
