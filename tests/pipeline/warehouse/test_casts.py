"""Every physical type that an exporter may choose: read as the declared type, or not at all; a bad value is null."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.warehouse.casts import CASTS, cast_for
from tests.pipeline.warehouse.exported import read
from transforms.schemas.fields import BOOLEAN, DATE, FLOAT, INTEGER, TEXT, TEXTS, TIMESTAMP


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (pa.struct([("a", pa.int64())]), TEXT),
        (pa.list_(pa.string()), TEXT),
        (pa.bool_(), TEXT),
        (pa.struct([("a", pa.int64())]), TIMESTAMP),
        (pa.time64("us"), TIMESTAMP),
        (pa.list_(pa.bool_()), BOOLEAN),
        (pa.binary(), INTEGER),
        (pa.map_(pa.string(), pa.string()), INTEGER),
    ],
)
def test_what_nothing_can_be_made_of(kind: pa.DataType, wanted: pa.DataType) -> None:
    assert cast_for(kind, wanted, needed=False) is None


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [(pa.int64(), TEXT), (pa.string(), TIMESTAMP), (pa.int64(), TIMESTAMP), (pa.date32(), TIMESTAMP)],
)
def test_of_the_events_the_kind_of_a_value_does_not_change(kind: pa.DataType, wanted: pa.DataType) -> None:
    assert cast_for(kind, wanted, needed=True) is None
    assert cast_for(kind, wanted, needed=False) is not None


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text()), min_size=1))
def test_no_value_of_an_optional_table_is_an_error(values: list[Any]) -> None:
    for kind in (pa.int64(), pa.float64(), pa.string(), pa.timestamp("s"), pa.timestamp("ns")):
        fitting = str if pa.types.is_string(kind) else (float if pa.types.is_floating(kind) else int)
        column = pa.array([value if type(value) is fitting else None for value in values], kind)
        for wanted in (TEXT, BOOLEAN, INTEGER, TIMESTAMP):
            if cast_for(kind, wanted, needed=False):
                assert len(read(column, wanted)) == len(values)


def test_every_declared_type_has_casts() -> None:
    assert {cast.to for cast in CASTS} == {TEXT, BOOLEAN, INTEGER, FLOAT, TIMESTAMP, DATE, TEXTS}
