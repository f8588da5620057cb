"""The outputs: the columns of metrics stand between the others, and the run columns come last."""

from __future__ import annotations

import pyarrow as pa

from tests.builders import SMALL_METRICS
from transforms.schemas.fields import bare
from transforms.schemas.inputs import ACQUISITION, PROFILE
from transforms.schemas.outputs import (
    LOADED_AT,
    RUN_COLUMNS,
    RUN_ID,
    SESSION,
    person_columns,
    rejected_columns,
    session_columns,
    without_run_columns,
)


def names(fields: object) -> list[str]:
    return [field.name for field in fields]  # type: ignore[attr-defined]


def test_sessions_have_the_columns_of_metrics_between_their_own() -> None:
    found = names(session_columns(SMALL_METRICS))
    assert [name for name in found if name in names(SESSION)] == names(SESSION)
    between = found[found.index("event_count") + 1 : found.index("created_event")]
    assert {column.name for column in SMALL_METRICS.columns} <= set(between)
    assert set(between) & set(names(SESSION)) == set()
    assert found[0] == "session_id"
    assert set(names([*PROFILE, *ACQUISITION])) <= set(found)


def test_persons_have_numbers_before_values_that_may_be_null() -> None:
    found = {field.name: field for field in person_columns(SMALL_METRICS)}
    order = list(found)
    numbers = [column.name for column in SMALL_METRICS.rollups if column.required]
    values = [column.name for column in SMALL_METRICS.rollups if not column.required]
    assert max(map(order.index, numbers)) < order.index("first_session_date") < min(map(order.index, values))
    assert not any(found[name].nullable for name in numbers)
    assert set(names(PROFILE)) <= set(found)


def test_run_columns_are_taken_off() -> None:
    content = bare(rejected_columns(SMALL_METRICS))
    assert names(RUN_COLUMNS) == [LOADED_AT, RUN_ID]
    assert without_run_columns(pa.schema([*content, *bare(RUN_COLUMNS)])) == content
