"""The files of the views: each is told of, and asks only for what is there."""

from __future__ import annotations

import pickle
import re

import duckdb
import pytest

from pipeline import tables
from pipeline.views.declarations import NAMES, View, missing, views
from tests.builders import METRICS, SMALL_METRICS, WAVES_METRICS
from tests.deploy.dockerfile import ROOT
from tests.pipeline.views.place import contents, in_duckdbs_words
from transforms.metrics.definitions import Metrics
from transforms.metrics.file import load_metrics, parse_metrics

#: No flag, no count, no sequence.
ONE_METRIC = parse_metrics('[metrics.sessions]\nkind = "last"\nproperty = "runs"\ndescription = "Named like a table."')
DEFINITIONS = {
    "packaged": METRICS,
    "of every kind": SMALL_METRICS,
    "waves": load_metrics(WAVES_METRICS),
    "one": ONE_METRIC,
}
FOLDER = ROOT / "pipeline/views"
OLD_NAMES = """
    session_id, distinct_id, city, country, created_event, viewed_event, joined_event, invited_someone,
    enabled_contacts, clicked_invite, scrolled, visited_discover, scroll_event_count, started_quiz, completed_quiz,
    start_timestamp, end_timestamp, autocapture_count, screen_count, session_duration, user_id, fullName, phoneNumber,
    username, email, contactAccessGranted, businessUser, createdAt, etl_loaded_at
"""


def test_every_file_is_a_view() -> None:
    assert sorted(NAMES) == sorted(path.stem for path in FOLDER.glob("*.sql"))
    made = {view.name for metrics in DEFINITIONS.values() for view in views(metrics)}
    assert made == set(NAMES)


@pytest.mark.parametrize("view", views(METRICS) + views(SMALL_METRICS), ids=lambda view: view.name)
def test_a_view_is_described_and_so_is_every_column(view: View) -> None:
    assert view.description.endswith(".")
    assert all(column.description.endswith(".") for column in view.columns)
    assert len({column.name.lower() for column in view.columns}) == len(view.columns)
    assert "CURRENT" not in view.template.upper(), "now is the watermark, never the clock"
    assert pickle.loads(pickle.dumps(view)) == view, "it travels with the run"


@pytest.mark.parametrize("metrics", DEFINITIONS.values(), ids=list(DEFINITIONS))
def test_a_view_reads_tables_that_are_published_and_earlier_views(metrics: Metrics) -> None:
    there = {table.name for table in (*tables.outputs(metrics), tables.RUNS)}
    for view in views(metrics):
        assert view.reads <= there, view.name
        there.add(view.name)


@pytest.mark.parametrize("metrics", DEFINITIONS.values(), ids=list(DEFINITIONS))
def test_duckdb_gives_the_declared_columns(metrics: Metrics) -> None:
    """Whatever the metrics file declares: what depends on it is left to be filled in."""
    types = {"INT64": "BIGINT", "FLOAT64": "DOUBLE", "STRING": "VARCHAR", "BOOL": "BOOLEAN"}
    types |= {"TIMESTAMP": "TIMESTAMP WITH TIME ZONE"}
    with duckdb.connect() as connection:
        for name, (_, content) in contents(metrics, {}).items():
            connection.register(name, content)
        for view in views(metrics):
            connection.execute(f"CREATE VIEW {view.name} AS {in_duckdbs_words(view)}")
            found = connection.sql(f"FROM {view.name}")
            wanted = [(column.name, types.get(column.type, column.type)) for column in view.columns]
            assert list(zip(found.columns, map(str, found.types), strict=True)) == wanted


def test_views_of_other_metrics_are_left_out() -> None:
    assert missing(views(METRICS)) == ()
    assert missing(views(SMALL_METRICS)) == ("sessions_aggregated", "people_aggregated")
    assert missing(views(ONE_METRIC)) == (
        *("person_funnels", "person_links", "sessions_aggregated", "people_aggregated"),
    )


def test_the_columns_of_the_earlier_job_are_its_own() -> None:
    made = {view.name: [column.name for column in view.columns] for view in views(METRICS)}
    assert made["sessions_aggregated"] == re.findall(r"\w+", OLD_NAMES)
    left_out = {"person_id", "engaged_sessions", "clicked_invite_sum", "_loaded_at", "_run_id"}
    earlier = {"etl_loaded_at", "user_id", *made["people_aggregated"]}
    assert len(made["people_aggregated"]) == 41
    assert earlier - {"etl_loaded_at"} <= set(tables.PERSONS.under(METRICS).schema.names) - left_out
