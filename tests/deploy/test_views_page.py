"""docs/views.md says what the files of the views say."""

from __future__ import annotations

from deploy.views_page import MARK, PAGE, sections


def test_the_page_says_what_the_files_say() -> None:
    assert PAGE.read_text().split(MARK)[1] == sections(), "run `make docs`"
