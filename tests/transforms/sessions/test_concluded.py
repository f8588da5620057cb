"""What a run concludes of which sessions: by days around a window or the days of a backfill."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from tests.builders import at
from transforms.ids.excluded import Excluded
from transforms.incremental.unsettled import UNSETTLED
from transforms.incremental.window import Window
from transforms.machinery.times import micros
from transforms.sessions.concluded import Choice, choose, excluded_ids
from transforms.sessions.facts import ARRIVAL, MAX_DISTINCT_IDS


def day_micros(day: float) -> int:
    return micros(at(day * 86_400))


TIME = pa.timestamp("us", "UTC")
FACTS = pa.schema([("session_id", pa.string()), ("start_timestamp", TIME), (ARRIVAL, TIME)])
PUBLISHED = pa.schema(
    [
        ("session_id", pa.string()),
        ("start_timestamp", TIME),
        ("end_timestamp", TIME),
        ("distinct_ids", pa.list_(pa.string())),
        ("is_oversized", pa.bool_()),
    ]
)
#: The window begins on day 10, what arrived on day 14 or later is new.
WINDOW = Window(day_micros(10), new_from=day_micros(14), undated_from=day_micros(12))
#: Days 10 and 11, read with a day on either side.
DAYS = Window(day_micros(9), day_micros(13), days=(day_micros(10), day_micros(12)))
#: The same, read to the end.
OPEN = Window(day_micros(9), days=(day_micros(10), day_micros(12)))


def chosen(
    window: Window,
    facts: tuple[float, float] | None = None,
    published: tuple[float, float] | None = None,
    waits: float | None = None,
    *,
    ids: tuple[str, ...] = ("a",),
    excluded: tuple[str, ...] = (),
) -> Choice:
    """What is concluded of one session.

    Args:
      window: of the run.
      facts: days of its first fresh event, and of the greatest arrival.
      published: days of its published start and end.
      waits: day of an event that was left out.
      ids: its published distinct ids.
      excluded: distinct ids.
    """
    fresh = [("s", day_micros(facts[0]), day_micros(facts[1]))] if facts else []
    rows = [("s", day_micros(published[0]), day_micros(published[1]), list(ids), False)] if published else []
    late = [("s", day_micros(waits), day_micros(14.5))] if waits is not None else []
    return choose(window, Excluded(excluded), _table(fresh, FACTS), _table(rows, PUBLISHED), _table(late, UNSETTLED))


def _table(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = [pa.array([row[i] for row in rows], _plain(field.type)) for i, field in enumerate(schema)]
    return pa.table([column.cast(field.type) for column, field in zip(columns, schema, strict=True)], schema=schema)


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.int64() if pa.types.is_timestamp(kind) else kind


def outcome(found: Choice) -> str:
    """In a word."""
    assert not (found.use.any() and found.stay.any())
    listed = " and listed" if found.waiting else ""
    if found.use.any():
        return "made anew" + listed
    return ("stays" if found.stay.any() else "nothing" if not len(found.stay) else "gone") + listed


@pytest.mark.parametrize(
    ("facts", "published", "waits", "expected"),
    [
        ((11, 15), None, None, "made anew"),
        ((11, 15), (11, 11), None, "made anew"),
        ((11, 11), None, None, "made anew"),  # neither published nor touched: it came later than the overlap
        ((11, 11), (11, 11), None, "made anew"),
        ((11, 15), (8, 11), None, "stays and listed"),  # its beginning was not read
        ((11, 11), (8, 11), None, "stays"),  # no news of it
        (None, (8, 8), None, "stays"),
        (None, (11, 11), None, "stays"),
        ((11, 15), None, 9.5, "nothing and listed"),  # across the edge of the window
        ((11, 11), None, 9.5, "nothing and listed"),  # of a run before
        (None, None, 9.5, "nothing and listed"),
        (None, (8, 8), 9.5, "stays and listed"),
        ((11, 15), (11, 11), 9.5, "stays and listed"),
        ((11, 11), None, 10.5, "made anew"),  # the window is longer now
    ],
)
def test_in_a_window(facts: Any, published: Any, waits: float | None, expected: str) -> None:
    assert outcome(chosen(WINDOW, facts, published, waits)) == expected


@pytest.mark.parametrize(
    ("facts", "published", "expected"),
    [
        ((10.5, 10.5), None, "nothing"),  # its event of day 9.8 may be why it has no row
        ((10.5, 15), None, "nothing and listed"),
        ((11, 15), None, "made anew"),  # it can't begin before day 10
        ((10.5, 15), (10.5, 10.5), "made anew"),
    ],
)
def test_where_people_are_excluded_or_many_wait_no_row_may_say_that_a_session_is_one_of_them(
    facts: Any, published: Any, expected: str
) -> None:
    window = replace(WINDOW, whole_from=day_micros(11))
    assert outcome(chosen(window, facts, published)) == expected


@pytest.mark.parametrize(
    ("window", "facts", "published", "waits", "expected"),
    [
        (DAYS, (10, 10), None, None, "made anew"),
        (DAYS, (10, 10), (10, 10), None, "made anew"),
        (DAYS, (12, 12), (11, 12), None, "made anew"),  # as published it starts in these days
        (DAYS, (10, 10), (12, 12), None, "made anew"),  # now it starts in these days
        (DAYS, (9, 9), (9, 9), None, "stays"),
        (DAYS, (12, 12), None, None, "nothing"),
        (DAYS, None, (10, 10), None, "gone"),
        (DAYS, None, (9, 9), None, "stays"),
        (DAYS, (10, 10), (5, 10), None, "stays"),  # it belongs to other days
        (DAYS, (10, 10), (12, 20), None, "stays and listed"),  # it reaches beyond what was read
        (DAYS, (10, 10), (20, 20), None, "stays and listed"),
        (DAYS, None, (10, 20), None, "stays"),
        (DAYS, (10, 10), None, 5, "nothing and listed"),  # a part was left out that is not read now either
        (DAYS, (10, 10), None, 12.5, "nothing and listed"),
        (DAYS, (12, 12), None, 5, "nothing and listed"),
        (OPEN, (10, 10), None, 10, "made anew"),
        (OPEN, (11, 11), (12, 20), 10, "made anew"),
        (OPEN, (12, 12), None, 10, "made anew"),  # the ledger has named these days
        (OPEN, None, None, 10, "nothing"),
        (OPEN, None, (10, 10), 10, "gone"),
        (OPEN, None, None, 20, "nothing and listed"),
        (OPEN, (10, 10), (5, 20), 5, "stays and listed"),
    ],
)
def test_in_a_backfill(window: Window, facts: Any, published: Any, waits: float | None, expected: str) -> None:
    assert outcome(chosen(window, facts, published, waits)) == expected


@pytest.mark.parametrize(
    ("facts", "published", "waits", "day", "newest"),
    [
        ((11, 15), (8.5, 11), None, 8.5, 15),
        ((11, 15), None, 9.5, 9.5, 15),
        ((11, 14), (8.5, 11), 9.5, 8.5, 14.5),
        (None, (8.5, 8.5), 9.5, 8.5, 14.5),
    ],
)
def test_what_waits_is_listed_with_its_beginning_and_the_reason(
    facts: Any, published: Any, waits: float | None, day: float, newest: float
) -> None:
    assert chosen(WINDOW, facts, published, waits).waiting == {"s": (day_micros(day), day_micros(newest))}


@pytest.mark.parametrize(
    ("window", "facts", "published", "ids", "expected"),
    [
        (WINDOW, None, (8, 8), ("x",), "gone"),  # all of its ids: no event is needed to know
        (DAYS, None, (5, 5), ("x",), "gone"),
        (WINDOW, (11, 11), (11, 11), ("a", "x"), "made anew"),
        (WINDOW, None, (8, 8), ("a", "x"), "stays"),  # not read: nothing is concluded
        (DAYS, None, (5, 5), ("a", "x"), "stays"),
        (WINDOW, (11, 11), (8, 11), ("a", "x"), "stays"),  # never from a part of its events
        (WINDOW, None, (11, 11), ("a", "x"), "gone"),  # read whole, and nothing else is left
        (DAYS, None, (10, 10), ("a", "x"), "gone"),
        (WINDOW, None, (8, 8), ("a",), "stays"),
    ],
)
def test_excluded_ids(window: Window, facts: Any, published: Any, ids: tuple[str, ...], expected: str) -> None:
    assert outcome(chosen(window, facts, published, ids=ids, excluded=("x", "y"))) == expected


def test_what_is_later_than_the_overlap() -> None:
    def surprising(*args: Any, **options: Any) -> bool:
        return bool(chosen(WINDOW, *args, **options).surprising.any())

    assert surprising((11, 11), (11, 11))
    assert not surprising((11, 15), (11, 11))
    assert not surprising((11, 11), (11, 11), 10.5)
    assert not surprising((11, 11), (11, 11), ids=("a", "x"), excluded=("x",))
    assert not chosen(DAYS, (10, 10), (10, 10)).surprising.any()


def test_a_full_list_of_ids_and_that_of_a_sample_may_hide_an_excluded_one() -> None:
    def of(*lists: list[str], oversized: bool = False) -> list[tuple[bool, bool]]:
        ids = pa.chunked_array([list(lists)], pa.list_(pa.string()))
        rows = pa.table({"distinct_ids": ids, "is_oversized": [oversized] * len(lists)})
        some, every = excluded_ids(rows, Excluded(["x", "y"]))
        return list(zip(some.tolist(), every.tolist(), strict=True))

    assert of(["a"], ["a", "x"], ["x"], ["x", "y"], []) == [
        (False, False),
        (True, False),
        (True, True),
        (True, True),
        (False, False),
    ]
    assert of([f"id-{n}" for n in range(MAX_DISTINCT_IDS)]) == [(True, False)]
    assert of([f"id-{n}" for n in range(MAX_DISTINCT_IDS - 1)]) == [(False, False)]
    assert of(["a"], ["x"], oversized=True) == [(True, False)] * 2
