"""The README tells the truth: its option table, its tree, its dependencies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.option import Option
from pipeline.options import OPTIONS
from transforms.metrics.kinds import KINDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def option_row(option: Option) -> str:
    """The row of the option table."""
    env = f"env `{option.env}`" if option.env else ""
    default = f"`{option.default}`" if option.default else ""
    return f"| `--{option.name}` | {', '.join(filter(None, (env, default))) or 'none'} | {option.help} |"


def test_every_option_is_in_the_table_and_nothing_else() -> None:
    rows = re.findall(r"^\| `--.*$", README, re.MULTILINE)
    assert rows == [option_row(option) for option in OPTIONS]


def test_every_module_is_in_the_tree() -> None:
    told: dict[str, str] = {}
    folders: list[str] = []
    for line in README.split("## Where things are")[1].split("## Options")[0].splitlines():
        if line.strip().strip("`"):
            depth = (len(line) - len(line.lstrip())) // 2
            name = line.split()[0]
            folders[depth:] = [name] if name.endswith("/") else []
            told["".join(folders)] = told.get("".join(folders), "") + line
    for package in ("pipeline", "transforms"):
        for module in (ROOT / package).rglob("[a-z]*.py"):
            if "kinds" in module.parts:
                continue  # its folder has one line
            folder = f"{module.parent.relative_to(ROOT)}/"
            assert re.search(rf"\b{module.name}\b", told.get(folder, "")), f"{folder} lacks {module.name}"


def test_every_kind_of_metric_has_its_row() -> None:
    rows = re.findall(r"^\| (`.*?) \|", README.split("\n| kind | keys")[1].split("\n\n")[0], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == {*KINDS}


def test_every_direct_dependency_has_its_line() -> None:
    for line in (ROOT / "requirements.in").read_text().splitlines():
        name = re.split(r"==|\s|#", line)[0]
        assert not name or f"| {name} |" in README


def test_the_speed_table_is_that_of_the_last_results() -> None:
    quoted = README.split("## Speed")[1].split("## Dependencies")[0]
    measured = (ROOT / "benchmarks" / "results.md").read_text().split("## Targets")[1].split("\n## ")[0]
    rows = [line for line in quoted.splitlines() if line.startswith("|")]
    assert rows == [line for line in measured.splitlines() if line.startswith("|")]


@pytest.mark.parametrize(
    "page", [path for folder in (ROOT, ROOT / "docs", ROOT / "benchmarks") for path in folder.glob("*.md")], ids=str
)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), link
