"""The page of questions as values: each question has one query and one answer."""

from __future__ import annotations

import re

from deploy.question_page import PAGE, questions


def test_there_are_twelve_questions_with_a_query_and_an_answer_each() -> None:
    page = PAGE.read_text(encoding="utf-8")
    parts = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    assert [one.number for one in questions(page)] == [*range(1, 13)]
    for question, one in zip(parts, questions(page), strict=True):
        assert question.startswith(f"{one.number}. {one.title}\n\n{one.told}\n\n```sql\n{one.query}```\n")
        assert len(re.findall(r"^```sql$", question, re.MULTILINE)) == 1
        assert len(re.findall(r"^\| ---", question, re.MULTILINE)) == 1
        assert question.split("\n")[0].endswith("?")
        assert "now()" not in question.lower()
        assert "current_" not in question.lower()
