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
#: Stands for what would tell it, which need not be less itself: their sessions, a share, the rest of a known sum.
WITHHELD = "(hidden)"
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
        return [dict(zip(names, (None if is_hidden(c) else c for c in row), strict=True)) for row in self.rows]


def picked(rows: Rows, columns: Columns) -> tuple[tuple[Cell, ...], ...]:
    """The columns of an answer, as rows of a section."""
    return tuple(tuple(row[name] for name, _ in columns) for row in rows)


def guarded(number: int | None) -> Cell:
    """A number of persons, or that it is hidden."""
    return HIDDEN if number is not None and 0 < number < FEWEST else number


def counted(number: float, noun: str) -> str:
    """A whole number with its noun, of which there is one or are several."""
    text = f"{number:,.0f}"
    return f"{text} {noun}{'' if text == '1' else 's'}"


def is_hidden(cell: Cell) -> bool:
    """Whether it stands for a number that is not told."""
    return cell in (HIDDEN, WITHHELD)
