"""Records of outputs: what follows from one, and that a table under some metrics keeps its promises."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipeline import tables
from pipeline.tables import OUTPUTS, Output, Table
from tests.builders import METRICS, SMALL_METRICS
from transforms.metrics.definitions import Metrics, MetricsError
from transforms.metrics.file import parse_metrics
from transforms.published.changes import CHANGES
from transforms.schemas.fields import INTEGER, TEXT, TIMESTAMP

RUN_COLUMNS = ["_loaded_at", "_run_id"]


@pytest.mark.parametrize("metrics", [METRICS, SMALL_METRICS], ids=["packaged", "of every kind"])
@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.name)
def test_keys_partitions_and_clusters_are_columns_that_will_do(output: Output, metrics: Metrics) -> None:
    schema = output.under(metrics).schema
    assert schema.names[-2:] == RUN_COLUMNS
    assert all(not schema.field(name).nullable for name in output.key), "a key is never null"
    assert schema.field(output.key[0]).type == TEXT, "its first column says which rows are compared together"
    if output.partition_by is not None:
        assert schema.field(output.partition_by).type in (TIMESTAMP, pa.date32())
    assert {schema.field(name).type for name in output.cluster_by} <= {TEXT}


def test_a_table_is_told_apart_by_source_and_name() -> None:
    assert tables.EVENTS != tables.FIREBASE_EVENTS
    assert len({*tables.INPUTS}) == len(tables.INPUTS) == 6
    found = {tables.SESSIONS.under(METRICS): "sessions"}
    assert found[tables.SESSIONS.under(METRICS)] == "sessions", "made again it is the same table"
    assert tables.SESSIONS.under(SMALL_METRICS) not in found


def test_what_travels_has_names_and_types_only() -> None:
    table = tables.SESSIONS.under(METRICS)
    assert not table.schema.field("session_id").nullable
    assert table.bare.field("session_id").nullable
    assert table.bare.field("session_id").metadata is None
    assert table.bare.names == table.schema.names == [*table.content.names, *RUN_COLUMNS]
    assert (table.target.name, table.target.key) == ("sessions", ("session_id",))
    assert table.target.schema == table.bare


@pytest.mark.parametrize("name", ["event_count", "start_date", "fullname"])
def test_a_metric_with_the_name_of_a_column_is_named(name: str) -> None:
    metrics = parse_metrics(f'[metrics.{name}]\nkind = "count"\nevents = ["tap"]\ndescription = "Taps."')
    with pytest.raises(MetricsError, match=r"^metric '\w+': sessions has a column of this name already"):
        tables.outputs(metrics)


def test_a_sample_has_the_tables_that_are_for_a_look() -> None:
    assert [table.name for table in tables.outputs(METRICS)] == [output.name for output in OUTPUTS]
    assert [table.name for table in tables.outputs(METRICS, sample=True)] == ["sessions", "persons"]


def test_changes_are_columns_of_the_ledger_or_among_its_notes() -> None:
    counts = {"sessions.inserted": 3, "sessions.deleted": 1, "person_days.updated": 2, "sessions.other": 9}
    assert tables.SESSIONS.changes(counts) == {"inserted": 3, "updated": 0, "deleted": 1, "unchanged": 0}
    assert tables.PERSON_DAYS.changes(counts)["updated"] == 2
    assert list(tables.SESSIONS.ledger_columns) == list(CHANGES)
    assert tables.PERSON_DAYS.ledger_columns == {}
    for output in OUTPUTS:
        for column in output.ledger_columns.values():
            assert tables.RUNS.schema.field(column).type == INTEGER
    told = [name for name in tables.RUNS.schema.names if name.endswith("_unchanged")]
    assert told == ["sessions_unchanged", "persons_unchanged"]


def test_the_rule_of_a_column_is_where_the_record_says() -> None:
    assert tables.SESSIONS.rule("event_count") == "transforms/sessions/facts.py"
    assert tables.SESSIONS.rule("session_duration") == "transforms/sessions/rows.py"
    assert tables.PERSONS.rule("email") == "transforms/users/users.py"
    assert tables.PERSONS.rule("days_to_first_event") == "transforms/sessions/rows.py"
    assert tables.REJECTED_EVENTS.rule("_run_id") == "transforms/published/changes.py"


def test_what_is_personal_is_a_column_of_some_table() -> None:
    names = {name for table in (*tables.outputs(METRICS), tables.RUNS) for name in table.schema.names}
    assert names >= tables.PERSONAL
    assert isinstance(tables.RUNS, Table)
    assert tables.RUNS_KEY in tables.RUNS.schema.names
