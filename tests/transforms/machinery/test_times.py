"""Times as whole microseconds: exact in both directions, whatever the year."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from transforms.machinery.times import column_micros, dates, from_micros, micros, micros_or_null

TIME = pa.timestamp("us", "UTC")
MOMENTS = st.datetimes(timezones=st.just(UTC))


@given(MOMENTS)
def test_a_moment_comes_back(moment: datetime) -> None:
    assert from_micros(micros(moment)) == moment


@given(st.lists(MOMENTS, max_size=5))
def test_a_column_has_the_micros_of_its_moments(moments: list[datetime]) -> None:
    column = pa.array(moments, TIME)
    expected = [micros(moment) for moment in moments]
    assert column_micros(column).tolist() == column_micros(pa.chunked_array([column])).tolist() == expected


@given(st.lists(st.one_of(st.none(), MOMENTS), max_size=5), st.integers(0, 3))
def test_nulls_are_told_and_zero(moments: list[datetime | None], begin: int) -> None:
    values, missing = micros_or_null(pa.array(moments, TIME).slice(begin))
    left = moments[begin:]
    assert missing.tolist() == [moment is None for moment in left]
    assert values.tolist() == [0 if moment is None else micros(moment) for moment in left]


def test_days_are_dates() -> None:
    days = np.array([0, -1, 20_000])
    expected = [date(1970, 1, 1) + timedelta(days=int(day)) for day in days]
    assert dates(days).to_pylist() == expected
