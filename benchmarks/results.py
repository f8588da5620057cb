"""The page of results: a section a part, so that parts can be measured again one by one, and the targets on top."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Measured, table

HEAD = ("what", "events", "seconds", "events/s", "CPU µs an event", "peak MB", "result", "target")
TARGETS = "Targets"
Line = tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """What one part measured."""

    title: str
    text: str
    """When, and the table in Markdown."""


def row(one: Measured, result: str = "", target: str = "") -> Line:
    """A line of the table: whole processes."""
    cpu = f"{one.cpu_seconds / one.events * 1e6:.1f}"
    figures = (f"{one.events:,}", f"{one.seconds:.1f}", f"{one.rate:,.0f}", cpu, f"{one.megabytes:,.0f}")
    return (one.name, *figures, result, target)


def note(name: str, events: int, result: str, target: str = "") -> Line:
    """A line of a figure that is not a whole process."""
    return (name, f"{events:,}", "", "", "", "", result, target)


def section(title: str, took: str, lines: Sequence[Line]) -> Section:
    """The section of a part that has just been measured."""
    return Section(title, f"{took}\n\n{table(HEAD, lines)}")


def read_sections(page: Path) -> list[Section]:
    """The sections of a page, none where there is no page; the summary of the targets is not one."""
    if not page.exists():
        return []
    parts = re.split(r"^## (.+)\n", page.read_text(), flags=re.MULTILINE)[1:]
    found = [Section(title, text.strip()) for title, text in zip(parts[::2], parts[1::2], strict=True)]
    return [one for one in found if one.title != TARGETS]


def write_page(page: Path, environment: str, sections: Sequence[Section]) -> None:
    """Write the page: environment, targets, sections."""
    content = [f"# Results\n\n{environment}", f"## {TARGETS}\n\n{table(*_targets(sections))}"]
    content += [f"## {one.title}\n\n{one.text}" for one in sections]
    page.write_text("\n\n".join(content) + "\n")


def _targets(sections: Sequence[Section]) -> tuple[Line, list[Line]]:
    """Head and lines of all that has a target."""
    found: list[Line] = []
    for one in sections:
        for line in one.text.splitlines():
            cells = tuple(cell.strip() for cell in line.strip("|").split(" | "))
            if line.startswith("| ") and len(cells) == len(HEAD) and cells[-1] and cells[0] not in (HEAD[0], "---"):
                found.append((cells[0], cells[1], cells[-2], cells[-1]))
    return ("what", "events", "result", "target"), found
