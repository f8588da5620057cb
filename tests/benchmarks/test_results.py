"""The page of results: what is read is what was written, and the targets are those of its sections."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import Measured
from benchmarks.results import HEAD, note, read_sections, row, section, write_page

WHOLE = Measured("one worker", 1_800_000, 12.34, 17.1, 1_234.4)
FOUND = [
    section("Random order", "2026-01-05", [row(WHOLE, "1.01 × its time", "at most 1.1 ×"), row(WHOLE)]),
    section("Shuffle", "2026-01-06", [note("bytes of an event", 1_776_466, "33.0", "at most 40")]),
]


def test_figures_are_rounded_as_they_are_told() -> None:
    assert dict(zip(HEAD, row(WHOLE, "r", "t"), strict=True)) == {
        "what": "one worker",
        "events": "1,800,000",
        "seconds": "12.3",
        "events/s": "145,867",
        "CPU µs an event": "9.5",
        "peak MB": "1,234",
        "result": "r",
        "target": "t",
    }
    assert len(note("a", 1, "r")) == len(HEAD)


def test_a_page_is_read_as_it_was_written_without_its_summary(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    assert read_sections(page) == []
    write_page(page, "2 cores", FOUND)
    assert read_sections(page) == FOUND
    again = tmp_path / "again.md"
    write_page(again, "2 cores", read_sections(page))
    assert again.read_text() == page.read_text()


def test_what_has_a_target_is_on_top(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    write_page(page, "2 cores", FOUND)
    head, targets, *_ = page.read_text().split("\n## ")
    assert head == "# Results\n\n2 cores\n"
    assert targets.splitlines()[2:6] == [
        "| what | events | result | target |",
        "| --- | --- | --- | --- |",
        "| one worker | 1,800,000 | 1.01 × its time | at most 1.1 × |",
        "| bytes of an event | 1,776,466 | 33.0 | at most 40 |",
    ]
