"""The notebook gives the answers of docs/questions.md, in an environment of its own (`make test`), or NOTEBOOK=DIR."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from deploy.dictionary import markdown_table
from deploy.question_page import PAGE

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "twelve_questions.py"
PYTHON = Path(os.environ.get("NOTEBOOK", ROOT / ".venv-notebook")).absolute() / "bin" / "python"
#: Runs all cells, as marimo does, and tells what is in `answers`.
ASK = """
import json, sys
sys.path.insert(0, "examples")
from twelve_questions import app
shown, defined = app.run()
print(json.dumps({number: [[str(v) for v in row.values()] for row in rows]
                  for number, rows in defined["answers"].items()}))
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def warehouse(published_sample: Path) -> Path:
    return published_sample.parent


def ran(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PYTHON, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def test_every_answer_is_that_of_the_page(warehouse: Path) -> None:
    told = ran("-c", ASK, "--warehouse", warehouse)
    assert told.returncode == 0, told.stderr
    answers = json.loads(told.stdout)
    assert [*answers] == [str(number) for number in range(1, 13)]
    page = PAGE.read_text(encoding="utf-8")
    for number, rows in answers.items():
        written = page.split(f"\n## {number}. ")[1].split("\n## ")[0]
        texts = [[{"None": "", "True": "true", "False": "false"}.get(text, text) for text in row] for row in rows]
        table = markdown_table([], texts).split("\n", 2)[2]
        assert written.strip().endswith(table.strip())


def test_it_is_a_script_too_and_says_what_is_missing(warehouse: Path, tmp_path: Path) -> None:
    assert ran(NOTEBOOK, "--warehouse", warehouse).returncode == 0
    told = ran("-c", ASK.replace('["answers"]', '.get("answers", {})'), "--warehouse", tmp_path)
    assert "{}" in told.stdout, told.stderr


def test_marimo_finds_nothing_to_mend() -> None:
    told = ran("-m", "marimo", "check", "--strict", NOTEBOOK)
    assert told.returncode == 0, told.stdout + told.stderr
