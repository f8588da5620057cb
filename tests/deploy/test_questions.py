"""The page of questions: each has one query, and the answer that it gives on the packaged sample."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.dictionary import run_on_sample
from deploy.question_page import PAGE
from deploy.questions import answered


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with run_on_sample() as published:
        return Path(published.resolve()).rename(tmp_path_factory.mktemp("published") / "tables")


@pytest.mark.slow
def test_the_answers_are_what_the_queries_give_on_the_sample(sample: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert answered(page, sample) == page
    asked, *_ = re.findall(r"^```sql\n.*?^```$", page, re.MULTILINE | re.DOTALL)
    wrong = page.replace(asked + "\n\n", asked + "\n\n| made up |\n", 1)
    assert answered(wrong, sample) == page
