"""BigQuery schemas from the one definition of the tables, and what of existing tables does not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline import tables
from pipeline.errors import RunError
from pipeline.warehouse.bigquery.schema import (
    about,
    binding_of,
    described,
    fields_of,
    missing_fields,
    staging_fields,
)
from tests.builders import METRICS

SESSIONS = tables.SESSIONS.under(METRICS)


def changed(name: str, **values: Any) -> list[dict[str, Any]]:
    return [field | values if field["name"] == name else field for field in fields_of(SESSIONS)]


def test_types_modes_and_descriptions() -> None:
    fields = {field["name"]: field for field in fields_of(SESSIONS)}
    assert list(fields) == SESSIONS.schema.names
    assert (fields["session_id"]["type"], fields["session_id"]["mode"]) == ("STRING", "REQUIRED")
    assert (fields["distinct_ids"]["type"], fields["distinct_ids"]["mode"]) == ("STRING", "REPEATED")
    kinds = ["session_duration", "event_count", "scrolled", "start_timestamp", "start_date"]
    assert [fields[name]["type"] for name in kinds] == ["FLOAT", "INTEGER", "BOOLEAN", "TIMESTAMP", "DATE"]
    assert all(field["description"] for field in fields.values())
    staged = staging_fields(SESSIONS)
    assert [field["name"] for field in staged] == [*fields, "_change"]
    assert {field["mode"] for field in staged} == {"NULLABLE", "REPEATED"}


def test_what_a_target_lacks_is_added_as_nullable() -> None:
    lacking = [field for field in fields_of(SESSIONS) if field["name"] not in ("scrolled", "distinct_ids")]
    added = missing_fields(SESSIONS, lacking, "out.sessions")
    assert [(field["name"], field["mode"]) for field in added] == [
        ("distinct_ids", "REPEATED"),
        ("scrolled", "NULLABLE"),
    ]
    assert missing_fields(SESSIONS, changed("event_count", type="INT64"), "out.sessions") == []


def test_a_table_says_what_it_is_once() -> None:
    wanted = about(SESSIONS)
    assert wanted.description == tables.SESSIONS.description
    assert wanted.key == ("session_id",)
    assert wanted.labels["personal_data"] == "yes"
    assert about(tables.RUNS).key == ("run_id",)
    fields = fields_of(SESSIONS)
    others = {**wanted.labels, "team": "growth"}  # somebody's own label is no reason to say it again
    assert described(SESSIONS, fields, replace(wanted, labels=others)) is None
    assert described(SESSIONS, fields, None) == fields
    assert described(SESSIONS, fields, replace(wanted, key=())) == fields
    assert described(SESSIONS, fields, replace(wanted, labels={})) == fields
    assert described(SESSIONS, changed("city", description="Town."), wanted) == fields


@pytest.mark.parametrize(
    ("existing", "told"),
    [
        (changed("event_count", type="STRING"), "out.sessions: column 'event_count' is STRING, expected INTEGER"),
        (changed("city", mode="REPEATED"), "column 'city' is STRING"),
        ([*fields_of(SESSIONS), {"name": "mine", "type": "STRING"}], "column 'mine' is none of this pipeline's"),
    ],
)
def test_what_does_not_fit_is_named(existing: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(RunError) as caught:
        missing_fields(SESSIONS, existing, "out.sessions")
    assert told in str(caught.value)


def events(**types: str | None) -> list[dict[str, Any]]:
    kinds = {field["name"]: field["type"] for field in fields_of(tables.EVENTS)} | types | {"team_id": "INTEGER"}
    return [{"name": name, "type": kind, "mode": "NULLABLE"} for name, kind in kinds.items() if kind]


def test_inputs_may_have_json_and_other_columns_and_lack_optional_ones() -> None:
    present = binding_of(tables.EVENTS, events(properties="JSON", bq_ingested_timestamp=None), "in.events")
    assert present.names == ("uuid", "event", "properties", "distinct_id", "timestamp")


@pytest.mark.parametrize(
    ("existing", "told"),
    [
        (events(uuid=None), "in.events: required column 'uuid' is missing"),
        (events(timestamp="STRING"), "in.events: column 'timestamp' is STRING, expected TIMESTAMP"),
        (events(properties="RECORD"), "column 'properties' is RECORD, expected STRING or JSON"),
    ],
)
def test_inputs_that_do_not_fit_are_named(existing: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(RunError) as caught:
        binding_of(tables.EVENTS, existing, "in.events")
    assert told in str(caught.value)
