"""The graph as it is built, without a run: what it reads and writes, and that every step fits the next.

Beam compares the types of a step with those of the step before while a graph is built, so building is a test.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor

from pipeline import graph, tables
from pipeline.plan import LastRun, Plan
from pipeline.runners.signatures import signatures_once
from pipeline.terms import Terms
from pipeline.warehouse.base import Run, Scan
from pipeline.warehouse.datasets import Datasets
from pipeline.warehouse.local import LocalWarehouse
from tests.builders import METRICS, event, write_events
from transforms.ids.excluded import LeftOut
from transforms.ids.pseudonyms import PLAIN
from transforms.incremental.window import EVERYTHING

NOW = datetime(2026, 1, 2, tzinfo=UTC)
FULL = Run("run-1", NOW, Plan("full", EVERYTHING, "", None), Scan(9, 9, 1, 1), Terms(""), 0.5, "1", {}, ())
READS = {"Read events", "Read PostHog sessions", "Read users", "Read Firebase events", "Read invites"}


class Steps(PipelineVisitor):
    """The top-level steps of a graph by label, and which steps each takes from."""

    def __init__(self) -> None:
        self.labels, self.takes, self._made = list[str](), dict[str, set[str]](), dict[Any, str]()

    def enter_composite_transform(self, step: AppliedPTransform) -> None:
        self.visit_transform(step)

    def visit_transform(self, step: AppliedPTransform) -> None:
        label = step.full_label.split("/")[0]
        if not label:
            return
        if step.full_label == label:
            self.labels.append(label)
        came = [*step.main_inputs.values(), *(side.pvalue for side in step.side_inputs)]
        self.takes.setdefault(label, set()).update(self._made[one] for one in came if one in self._made)
        self._made |= {one: label for one in step.outputs.values() if one not in self._made}

    def before(self, label: str) -> set[str]:
        """All steps from which something comes to this one."""
        found, waiting = set[str](), [label]
        while waiting:
            new = self.takes[waiting.pop()] - found
            found |= new
            waiting += new
        return found


def built(root: Path, run: Run, shuffles: int = 1) -> Steps:
    warehouse = LocalWarehouse(root, Datasets("posthog_etl", "firebase_etl_prod", "out", "privacy"))
    pipeline, steps = beam.Pipeline("FnApiRunner"), Steps()
    with contextlib.closing(warehouse), signatures_once():
        warehouse.acquire()
        warehouse.begin(run)
        graph.build(pipeline, warehouse, warehouse, run, METRICS, LeftOut(), shuffles, PLAIN)
    pipeline.visit(steps)
    return steps


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_events(tmp_path_factory.mktemp("graph"), [event(1)])


@pytest.fixture(scope="module")
def full(root: Path) -> Steps:
    return built(root, replace(FULL, tables=tables.outputs(METRICS)))


def test_every_input_is_read_once_and_every_output_is_memory_and_staged(full: Steps) -> None:
    assert max(Counter(full.labels).values()) == 1
    assert {label for label in full.labels if label.startswith("Read ") and "published" not in label} == READS
    for output in tables.OUTPUTS:
        assert f"Read published {output.name}" in full.before(f"Stage {output.name}"), output.name


def test_publishing_waits_for_every_other_step(full: Steps) -> None:
    assert full.before("Publish") == {*full.labels} - {"Publish"}


def test_events_and_published_sessions_meet_where_the_fate_of_sessions_is_decided(full: Steps) -> None:
    fate = full.before("Conclude sessions")
    assert fate >= {"Decode events", "Aggregate sessions", "Match users", "Read published sessions", "All unsettled"}
    assert "Conclude sessions" in full.before("Make session rows")
    assert "Read users" not in full.takes["Aggregate sessions"]
    assert "Aggregate persons" not in full.before("Stage sessions"), "a session follows from no person's sum"


def test_a_sample_stages_what_is_for_a_look(root: Path) -> None:
    plan = Plan("sample", EVERYTHING, "", LastRun("run-0", NOW, "", ""), limit=1)
    steps = built(root, replace(FULL, plan=plan, tables=tables.outputs(METRICS, sample=True)), shuffles=3)
    staged = {label for label in steps.labels if label.startswith("Stage ")}
    assert staged == {"Stage sessions", "Stage persons"}
    assert staged <= steps.before("Publish")
