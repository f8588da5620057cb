"""The tables of a run on a sample, published once for all tests of the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.launcher import main
from sample import write_sample
from transforms.metrics.file import PACKAGED

#: One sequence more than the packaged file may have, so that there is a funnel.
QUIZ = """
[metrics.quiz_in_order]
kind = "sequence"
steps = ["start_quiz", "finish_quiz"]
description = "A quiz from its start to its end."
"""


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local warehouse with a full load and a night after it."""
    folder = tmp_path_factory.mktemp("report")
    write_sample(folder, events=20_000)
    metrics = metrics_of(folder)
    metrics.write_text(PACKAGED.read_text() + QUIZ)
    for _ in range(2):
        assert main(["--warehouse", str(folder), "--metrics_file", str(metrics), "--quiet"]) == 0
    return folder


def metrics_of(warehouse: Path) -> Path:
    """The metrics file of its runs."""
    return warehouse / "metrics.toml"
