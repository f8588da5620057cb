"""A section hides numbers of so few persons that they could be somebody, in its table and in what charts draw."""

from __future__ import annotations

import pytest

from pipeline.report.questions import FEWEST
from pipeline.report.section import HIDDEN, TITLES, WITHHELD, Section, guarded, picked


@pytest.mark.parametrize(
    ("number", "shown"),
    [(None, None), (0, 0), (1, HIDDEN), (FEWEST - 1, HIDDEN), (FEWEST, FEWEST), (1_000_000, 1_000_000)],
)
def test_nobody_and_enough_persons_may_be_told(number: int | None, shown: object) -> None:
    assert guarded(number) == shown


def test_charts_draw_nothing_of_what_is_hidden() -> None:
    found = Section(
        "entry", "", (("screen", "Screen"), ("persons", "Persons")), (("Home", HIDDEN), ("Chat", 9), ("Me", WITHHELD))
    )
    assert [record["persons"] for record in found.records] == [None, 9, None]
    assert found.records[1] == {"screen": "Chat", "persons": 9}
    assert found.title == TITLES["entry"]


def test_columns_are_picked_by_name_in_the_sections_order() -> None:
    rows = [{"a": 1, "b": 2, "c": 3}]
    assert picked(rows, (("c", "C"), ("a", "A"))) == ((3, 1),)
    with pytest.raises(KeyError):
        picked(rows, (("d", "D"),))
