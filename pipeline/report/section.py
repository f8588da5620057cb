"""A section of the report, and what it may not tell: numbers of so few persons that it could be somebody. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.questions import FEWEST
from pipeline.report.readers import Rows

#: What each section is called, in the order of the page.
TITLES = {
    "days": "Sessions and active persons by day",
    "weeks": "Where persons come from and go to",
    "retention": "Who comes back",
    "funnels": "How far persons come",
    "links": "Viewed and joined: the same object",
    "entry": "Where sessions begin",
    "exit": "Where sessions end",
    "versions": "How long sessions are, by app version",
    "hours": "When sessions start, in local time",
    "quality": "Data quality of the last runs",
    "reasons": "Why rows were rejected",
    "posthog": "What PostHog's own sessions say otherwise",
    "checks": "Checks of the last run",
}
#: Stands for a number of persons that could be somebody.
HIDDEN = f"<{FEWEST}"
Cell = Any
#: Name and label of each column.
Columns = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Section:
    """A part of the report."""

    name: str
    told: str
    """What it shows, in a sentence or two."""
    columns: Columns
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def title(self) -> str:
        """What it is called."""
        return TITLES[self.name]

    @property
    def records(self) -> list[dict[str, Cell]]:
        """The rows by name of column; what is hidden is None."""
        names = [name for name, _ in self.columns]
        return [dict(zip(names, (None if c == HIDDEN else c for c in row), strict=True)) for row in self.rows]


def picked(rows: Rows, columns: Columns) -> tuple[tuple[Cell, ...], ...]:
    """The columns of an answer, as rows of a section."""
    return tuple(tuple(row[name] for name, _ in columns) for row in rows)


def guarded(number: int | None) -> Cell:
    """A number of persons, or that it is hidden."""
    return HIDDEN if number is not None and 0 < number < FEWEST else number
