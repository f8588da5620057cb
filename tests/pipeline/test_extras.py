"""Extras: they are those of the package, and who lacks one is told a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import extras

ROOT = Path(__file__).parents[2]


def test_the_extras_are_those_of_the_package() -> None:
    declared = (ROOT / "setup.py").read_text()
    for name, packages in extras.EXTRAS.items():
        listed = ", ".join(f'"{package}"' for package in packages.values())
        assert f'"{name}": [{listed}]' in declared


def test_one_module_that_is_not_there_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None if name == "altair" else object())
    assert extras.is_missing("report")
    assert not extras.is_missing("views")


def test_the_command_is_one_that_works_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    assert "run `make .venv/report` and call .venv/bin/python -m pipeline.views" in extras.missing_text("views", "py")
    assert "\n$(VENV)/report: " in (ROOT / "Makefile").read_text()
    monkeypatch.chdir(tmp_path)
    assert extras.missing_text("views", "py").endswith("run `py -m pip install duckdb sqlglot`, then this again")
