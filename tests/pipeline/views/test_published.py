"""Views and the report are of the metrics that the tables were made with."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import RunError
from pipeline.views.published import metrics_of
from tests.builders import METRICS, event, run, write_events
from transforms.metrics.definitions import MetricsError
from transforms.metrics.file import PACKAGED


def test_the_metrics_are_those_of_the_last_run(tmp_path: Path) -> None:
    write_events(tmp_path, [event(1)])
    snapshot = tmp_path / "posthog_aggregated"
    with pytest.raises(RunError, match="holds no published run"):
        metrics_of(snapshot, None)
    assert run(tmp_path) == 0
    assert metrics_of(snapshot.resolve(), None).digest == METRICS.digest
    other = tmp_path / "metrics.toml"
    other.write_text(PACKAGED.read_text().replace('"UTC"', '"Asia/Kolkata"', 1))
    with pytest.raises(MetricsError, match="made with another metrics file"):
        metrics_of(snapshot.resolve(), other)
    with pytest.raises(MetricsError, match=r"none\.toml"):
        metrics_of(snapshot.resolve(), tmp_path / "none.toml")
    assert run(tmp_path, f"--metrics_file={other}", "--full_load") == 0
    assert metrics_of(snapshot.resolve(), other).reporting_timezone == "Asia/Kolkata"
