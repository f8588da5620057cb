"""Imports go one way, and tests have the folders of the code.

`transforms` knows nothing of `pipeline`, and a room of it only the rooms above it. Every module has its test file.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import transforms

ROOT = Path(__file__).parents[1]
ROOMS = re.findall(r"^    (\w+)/ ", transforms.__doc__ or "", re.MULTILINE)
#: Which of the top-level packages each may import.
MAY_IMPORT = {"transforms": {"transforms"}, "pipeline": {"pipeline", "transforms"}, "sample": {"sample"}}
#: The one place where the generator is asked for, inside a function, because it is not installed with the package.
ASKS_FOR_THE_SAMPLE = ("pipeline/warehouse/folder_options.py", "sample")


def imports(text: str) -> Iterator[str]:
    """The full names of the modules that a source imports, wherever in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            yield from (f"{module}.{name.name}" for name in node.names)


def forbidden(path: str, text: str) -> list[str]:
    """The imports of a source that go up or sideways."""
    package, *inner = path.split("/")
    wrong = []
    for name in imports(text):
        top, *parts = name.split(".")
        if top in MAY_IMPORT and top not in MAY_IMPORT[package] and (path, top) != ASKS_FOR_THE_SAMPLE:
            wrong.append(name)
        elif top == package == "transforms":
            above = ROOMS[: ROOMS.index(inner[0]) + 1] if inner[0] in ROOMS else []
            if not parts or parts[0] not in above:
                wrong.append(name)
    return wrong


@pytest.mark.parametrize(
    "path", [str(path.relative_to(ROOT)) for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))]
)
def test_imports_go_down(path: str) -> None:
    assert forbidden(path, (ROOT / path).read_text()) == []


def test_an_import_that_goes_up_is_found() -> None:
    assert forbidden("transforms/events/decode.py", "from transforms.sessions import facts") == [
        "transforms.sessions.facts"
    ]
    assert forbidden("transforms/persons/rows.py", "def f():\n    import pipeline.tables") == ["pipeline.tables"]
    assert forbidden("pipeline/graph.py", "from sample import write_sample") == ["sample.write_sample"]
    assert forbidden("transforms/persons/rows.py", "from transforms.events.decode import Blocks") == []


def test_every_module_has_a_room_and_every_room_a_line_in_both_lists() -> None:
    found = {path.name for path in (ROOT / "transforms").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert found == set(ROOMS)
    assert [path.name for path in (ROOT / "transforms").glob("*.py")] == ["__init__.py"]
    tree = (ROOT / "README.md").read_text().split("\ntransforms/ ")[1].split("\nsample/ ")[0]
    assert re.findall(r"^  (\w+)/ ", tree, re.MULTILINE) == ROOMS


#: Modules whose tests are not in a file of their name, and where they are.
ELSEWHERE = {
    "pipeline/__main__.py": "end_to_end/test_signals.py",  # starts a process and no more, which is tried as one
    "pipeline/report/__main__.py": "end_to_end/test_asking.py",  # and so do these
    "pipeline/views/__main__.py": "end_to_end/test_asking.py",
    "pipeline/report/charts.py": "pipeline/report/check_page.py",  # what draws is an extra: `make test-report`
}
MIRRORED = ("transforms", "pipeline", "sample", "deploy")


def place_of_tests(path: Path) -> Path | None:
    """Where the tests of a module are; None for a module that does nothing: a docstring, names that it passes on.

    `tests` has the folders of the code: `pipeline/plan.py` is tested by `tests/pipeline/test_plan.py`. A command
    (`__main__`) is tested by `test_command.py`, a package's own functions (`__init__`) by a file of the package's name.
    The kinds of metrics have one test file, which asks all of them the same. Benchmarks are programs that measure; what
    they compare and write has its tests in `tests/benchmarks`.
    """
    name = str(path.relative_to(ROOT))
    if not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.parse(path.read_text()).body):
        return None
    if name in ELSEWHERE:
        return ROOT / "tests" / ELSEWHERE[name]
    if path.parent.name == "kinds":
        return ROOT / "tests" / path.parent.relative_to(ROOT).parent / "test_kinds.py"
    stem = {"__main__": "command", "__init__": path.parent.name}.get(path.stem, path.stem)
    return ROOT / "tests" / path.parent.relative_to(ROOT) / f"test_{stem}.py"


def modules_named(place: Path) -> set[str]:
    """The modules that a test file imports, or that what it imports from other files of tests does."""
    named = {name for one in imports(place.read_text()) for name in (one, one.rpartition(".")[0])}
    for name in [name for name in named if name.startswith("tests.")]:
        shared = (ROOT / name.replace(".", "/")).with_suffix(".py")
        named |= {one.rpartition(".")[0] for one in (imports(shared.read_text()) if shared.exists() else ())}
    return named


@pytest.mark.parametrize(
    "path",
    [path for package in MIRRORED for path in sorted((ROOT / package).rglob("*.py")) if place_of_tests(path)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_module_has_its_test_file(path: Path) -> None:
    place = place_of_tests(path)
    assert place is not None
    assert place.exists(), place
    parts = path.relative_to(ROOT).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    if path.parent.name != "kinds" and place.parent.name != "end_to_end":
        assert module in modules_named(place), f"{place} tests another module"


def test_what_is_tested_elsewhere_is_there() -> None:
    assert all((ROOT / name).exists() for name in ELSEWHERE)
