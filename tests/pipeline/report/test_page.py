"""The page: every number in a table, every text escaped, no script but its own, no address."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, date, datetime
from typing import Any

import pytest

from pipeline.report.page import page
from pipeline.report.section import HIDDEN, TITLES, Section
from pipeline.report.verdict import Verdict

NASTY = "<script>alert(\"1\")</script> & '2'"
RUN: dict[str, Any] = {
    "mode": "incremental",
    "published_at": datetime(2026, 1, 6, 2, 4, tzinfo=UTC),
    "watermark": datetime(2026, 1, 6, 0, 4, tzinfo=UTC),
    "seconds": 12.34,
    "rows_read": 1_234,
    "rows_kept": 1_200,
    "code_version": "1.0.0+abc",
    **{f"{table}_{change}": 0 for table in ("sessions", "persons") for change in ("updated", "deleted", "unchanged")},
    "sessions_inserted": 1_500,
    "persons_inserted": 0,
}
SECTION = Section(
    "entry",
    f"Most begin on {NASTY}.",
    (("screen", "Screen"), ("sessions", "Sessions"), ("share", "Share"), ("seconds", "Seconds"), ("day", "Day")),
    ((NASTY, 1_234, 0.256, 61.25, date(2026, 1, 5)), ("Chat", HIDDEN, None, HIDDEN, None)),
)


def made(
    sections: tuple[Section, ...] = (SECTION,),
    charts: dict[str, list[Any]] | None = None,
    script: str = "draw()",
    run: dict[str, Any] = RUN,
    good: bool = True,
) -> str:
    found = Verdict(good, f"All is {NASTY}.", (f"Because of {NASTY}.",))
    return page(run, found, sections, [f"funnels, which needs {NASTY}."], charts or {}, script)


def cells(text: str) -> list[str]:
    return re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", text)


def test_numbers_dates_and_shares_are_shown_as_people_read_them() -> None:
    assert cells(made())[5:] == [
        *("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#x27;2&#x27;", "1,234", "25.6%", "61.2"),
        *("2026-01-05", "Chat", "&lt;5", "–", "&lt;5", "–"),
    ]


def test_a_share_among_numbers_is_no_zero() -> None:
    """A check that warns of 3 % where 2 % are the most must not read as 0.0 beside 0.0."""
    numbers = Section("checks", "", (("value", "Value"), ("upper", "Upper")), ((0.0314159, 0.00012), (0.0, 1_234.56)))
    assert cells(made((numbers,)))[2:] == ["0.0314", "0.0001", "0.0", "1,234.6"]


def test_no_text_is_markup() -> None:
    found = made(charts={"entry": [{"title": NASTY}]})
    # headline, reason, what the section tells, its label, the chart, a cell, what is not shown
    assert found.count("alert") == 7
    assert "<script>alert" not in found
    assert '"\\u003cscript>alert' in found, "a chart's text cannot end its element"


def test_only_the_pages_own_script_may_run() -> None:
    script = 'const s = "</script><b>"; draw()'
    found = made(script=script)
    inside = re.findall(r"<script>(.*?)</script>", found, re.DOTALL)
    assert inside == ['const s = "<\\/script><b>"; draw()']
    digest = base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()
    [policy] = re.findall(r'Content-Security-Policy" content="(.*?)"', found)
    assert policy.startswith("default-src 'none'; ")
    assert policy.endswith(f"script-src 'sha256-{digest}'")
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)", found), "no network is asked"


def test_a_section_has_its_charts_before_its_numbers_which_are_open_without_one() -> None:
    drawn = made(charts={"entry": [{"mark": "bar"}, {"mark": "line"}]})
    assert re.findall(r'data-chart="(.*?)"', drawn) == ["entry-spec-0", "entry-spec-1"]
    assert re.findall(r'<script type="application/json" id="(.*?)">', drawn) == ["entry-spec-0", "entry-spec-1"]
    assert drawn.index("<figure") < drawn.index("<details>")
    assert "<details open>" in made()
    assert "<figure" not in made()


def test_a_section_without_rows_has_words_alone() -> None:
    found = made(sections=(Section("hours", "No day is over.", (), ()),))
    assert "<p>No day is over.</p>" in found
    assert "<table>" not in found
    assert f'<a href="#hours">{TITLES["hours"]}</a>' in found


@pytest.mark.parametrize(("good", "mark"), [(True, '<div class="verdict good">'), (False, '<div class="verdict">')])
def test_the_head_tells_verdict_and_run(good: bool, mark: str) -> None:
    found = made(good=good)
    assert mark in found
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", found))
    assert facts == {
        "Last run": "incremental, published 2026-01-06 02:04 UTC, in 12.3 s",
        "Watermark": "2026-01-06 00:04 UTC, 2 hours old when the run was published",
        "Rows read": "1,234, of which 1,200 are kept",
        "Sessions": "1,500 inserted",
        "Persons": "none",
        "Pipeline": "version 1.0.0+abc",
    }
    assert "<dt>Watermark</dt>" not in made(run=RUN | {"watermark": None})
