"""The log line of a published run: on Dataflow it is the only place where a worker tells how it went."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from unittest.mock import Mock

import pytest

from pipeline import tables
from pipeline.errors import RunError
from pipeline.plan import Plan
from pipeline.publish import publish_run
from pipeline.terms import Terms
from pipeline.warehouse.base import Run, Scan
from tests.builders import METRICS
from transforms.incremental.seen import NOTHING
from transforms.incremental.unsettled import Unsettled
from transforms.incremental.window import EVERYTHING
from transforms.sessions.days import SumDays, schema

RUN = Run(
    run_id="run-2",
    started_at=datetime(2026, 1, 2, tzinfo=UTC),
    plan=Plan("full", EVERYTHING, "", None),
    scan=Scan(0, 0, 0, 0),
    terms=Terms(""),
    max_rejected_ratio=0.5,
    code_version="1",
    options={},
    tables=tables.outputs(METRICS),
)
DAYS = SumDays(schema(())).create_accumulator()
COUNTS = [("read", 1_234), ("kept", 1_230), ("rejected.uuid_missing", 4), ("sessions.inserted", 60)]


def test_it_is_numbers_and_names(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pipeline"):
        publish_run(
            RUN,
            Mock(),
            Mock(),
            [],
            COUNTS,
            (),
            Unsettled(["a session's id"], ["2026-01-01"], '{"2026-01-01": 1}'),
            NOTHING,
            DAYS,
        )
    assert caplog.messages == [
        "published run run-2 (full): rows read 1,234, kept 1,230, duplicate 0, filtered 0, rejected 4; "
        "sessions inserted 60, updated 0, deleted 0, unchanged 0; persons inserted 0, updated 0, deleted 0, unchanged 0"
    ]


@pytest.mark.parametrize("publish", [None, RunError("no")])
def test_what_is_not_published_is_not_told(caplog: pytest.LogCaptureFixture, publish: RunError | None) -> None:
    counts = COUNTS if publish else [("read", 4), ("rejected.uuid_missing", 4)]
    with caplog.at_level(logging.INFO, "pipeline"), pytest.raises(RunError):
        publish_run(RUN, Mock(), Mock(publish=Mock(side_effect=publish)), [], counts, (), Unsettled(), NOTHING, DAYS)
    assert caplog.messages == []
