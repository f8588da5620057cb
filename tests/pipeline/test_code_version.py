"""The version of the code follows from the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import __version__
from pipeline.code_version import code_version, digest_of, sources
from tests.builders import event, ledger, run, write_events

FILES = [("a.py", b"x = 1"), ("b.py", b"y = 2")]


def test_any_change_of_a_source_changes_it_and_nothing_else_does() -> None:
    known = digest_of(FILES)
    assert digest_of(reversed(FILES)) == known
    for other in (
        [("a.py", b"x = 2"), FILES[1]],
        [("c.py", b"x = 1"), FILES[1]],
        [FILES[0]],
        [("a.py", b"x = 1y"), ("b.py", b" = 2")],
    ):
        assert digest_of(other) != known


def test_what_makes_rows_is_in_it() -> None:
    names = {name for name, _ in sources()}
    root = Path(__file__).parents[2]
    assert names >= {str(path.relative_to(root)) for path in (root / "transforms").rglob("*.py")}
    assert "pipeline/warehouse/cast_times.py" in names
    assert not any("summary" in name for name in names)
    assert code_version() == f"{__version__}+{digest_of(sources())}"


@pytest.mark.slow
def test_the_ledger_has_it(tmp_path: Path) -> None:
    write_events(tmp_path, [event(1)])
    assert run(tmp_path) == 0
    assert ledger(tmp_path)[-1]["code_version"] == code_version()
