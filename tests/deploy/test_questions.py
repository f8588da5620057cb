"""The page of questions: each has one query, and the answer that it gives on the packaged sample."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.question_page import PAGE
from deploy.questions import answered


@pytest.mark.slow
def test_the_answers_are_what_the_queries_give_on_the_sample(published_sample: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert answered(page, published_sample) == page
    asked, *_ = re.findall(r"^```sql\n.*?^```$", page, re.MULTILINE | re.DOTALL)
    wrong = page.replace(asked + "\n\n", asked + "\n\n| made up |\n", 1)
    assert answered(wrong, published_sample) == page
