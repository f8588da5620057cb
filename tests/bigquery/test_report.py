"""The report on BigQuery is the page that a local warehouse with the same data gives."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.report import questions
from pipeline.report.command import ask
from pipeline.report.page import page
from pipeline.report.readers import BigQueryReader, LocalReader, Rows
from pipeline.report.section import TITLES
from pipeline.report.sections import sections
from pipeline.report.verdict import verdict
from pipeline.views.declarations import views
from sample import write_sample
from tests.bigquery.emulators import PROJECT, Emulators
from tests.builders import METRICS, run

#: What no two runs share.
_OF_A_RUN = ("run_id", "previous_run_id", "published_at", "seconds")


def page_of(answers: dict[str, Rows]) -> str:
    """All of the report but the charts, which are made of the same sections."""
    return page(answers["runs"][0], verdict(answers), sections(answers), [], {}, "")


def day_of(value: Any) -> Any:
    """The emulator makes a DATETIME of a day that was added to, which is a DATE in BigQuery."""
    return value.date() if isinstance(value, datetime) and value.tzinfo is None else value


@pytest.mark.emulator
@pytest.mark.views
def test_it_is_the_page_of_the_local_warehouse(tmp_path: Path, bigquery: Emulators) -> None:
    write_sample(tmp_path, events=6_000)
    assert run(tmp_path) == 0  # of an incremental run each place reads other rows too, which are left out
    local = ask(LocalReader((tmp_path / "posthog_aggregated").resolve(), views(METRICS)))
    there = ask(BigQueryReader(PROJECT, bigquery.datasets(tmp_path)["posthog_aggregated"]))
    assert set(local) == set(there) == set(questions.ALL)
    there = {
        name: [{column: day_of(value) for column, value in row.items()} for row in rows] for name, rows in there.items()
    }
    for ours, theirs in zip(local["runs"], there["runs"], strict=True):
        theirs |= {name: ours[name] for name in _OF_A_RUN}
    found = page_of(there)
    assert found == page_of(local)
    assert {name for name in TITLES if f'<section id="{name}"' in found} == set(TITLES)
    assert found.count("<tr>") > 60
