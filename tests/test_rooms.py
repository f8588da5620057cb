"""Imports go one way: `transforms` knows nothing of `pipeline`, and a room of it only the rooms above it."""

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


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in sorted((ROOT / "transforms").rglob("*.py"))
        if path.name != "__init__.py" and path.parent.name != "kinds"
    ],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_every_module_of_a_room_has_its_test_file_and_every_kind_has_one_in_theirs(path: Path) -> None:
    place = ROOT / "tests" / path.relative_to(ROOT).parent / f"test_{path.name}"
    assert place.exists(), place
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    named = {name for one in imports(place.read_text()) for name in (one, one.rpartition(".")[0])}
    for name in [name for name in named if name.startswith("tests.transforms.")]:  # what tests of a room share
        shared = (ROOT / name.replace(".", "/")).with_suffix(".py")
        named |= {one.rpartition(".")[0] for one in (imports(shared.read_text()) if shared.exists() else ())}
    assert module in named, "it tests another module"
