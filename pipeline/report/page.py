"""Sections and charts → one HTML file that asks no network and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from html import escape
from pathlib import Path
from typing import Any

from pipeline.report.questions import FEWEST
from pipeline.report.section import HIDDEN, Section
from pipeline.report.verdict import Verdict, told_age

#: Columns whose numbers are shares.
_SHARES = ("share", "week_")
_STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def page(
    run: Mapping[str, Any],
    found: Verdict,
    sections: Sequence[Section],
    left_out: Sequence[str],
    charts: Mapping[str, Sequence[Any]],
    script: str,
) -> str:
    """The report.

    Args:
      run: the newest row of the ledger.
      found: what to think of it.
      sections: in the order of the page.
      left_out: sentences about what is not shown, and why.
      charts: specs of Vega-Lite by section.
      script: what draws them.
    """
    script = script.replace("</script", "<\\/script")  # in a text or a pattern it means the same
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    body = "\n".join([*_head(run, found, sections), *(_section(one, charts) for one in sections), *_foot(left_out)])
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sessions and persons</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
{body}
<script>{script}</script>
</body>
</html>
"""


def _head(run: Mapping[str, Any], found: Verdict, sections: Sequence[Section]) -> Iterator[str]:
    yield '<a class="skip" href="#content">To the content</a>'
    yield "<header><h1>Sessions and persons</h1>"
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in found.reasons)
    good = " good" if found.good else ""
    yield f'<div class="verdict{good}"><strong>{escape(found.headline)}</strong><ul>{reasons}</ul></div>'
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _facts(run))
    yield f"<dl>{facts}</dl>"
    links = "".join(f'<li><a href="#{one.name}">{escape(one.title)}</a></li>' for one in sections)
    yield f'<nav aria-label="Sections"><ul>{links}</ul></nav></header>\n<main id="content">'


def _facts(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Last run", f"{run['mode']}, published {run['published_at']:%Y-%m-%d %H:%M} UTC, in {run['seconds']:,.1f} s"
    if run["watermark"] is not None:
        age = told_age(run["published_at"] - run["watermark"])
        yield "Watermark", f"{run['watermark']:%Y-%m-%d %H:%M} UTC, {age} old when the run was published"
    yield "Rows read", f"{run['rows_read']:,}, of which {run['rows_kept']:,} are kept"
    for table in ("sessions", "persons"):
        changes = ((change, run[f"{table}_{change}"]) for change in ("inserted", "updated", "deleted", "unchanged"))
        yield table.capitalize(), ", ".join(f"{number:,} {change}" for change, number in changes if number) or "none"
    yield "Pipeline", f"version {run['code_version']}"


def _section(section: Section, charts: Mapping[str, Sequence[Any]]) -> str:
    name, title = section.name, escape(section.title)
    parts = [f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>']
    parts.append(f"<p>{escape(section.told)}</p>")
    drawn = charts.get(name, ())
    if drawn:
        label = f"Chart: {section.title}. {section.told} The table below has its numbers."
        ids = [f"{name}-spec-{number}" for number in range(len(drawn))]
        places = "".join(f'<div data-chart="{one}"></div>' for one in ids)
        parts.append(f'<figure role="img" aria-label="{escape(label)}">{places}</figure>')
        for one, spec in zip(ids, drawn, strict=True):
            text = json.dumps(spec, sort_keys=True, ensure_ascii=False).replace("<", "\\u003c")
            parts.append(f'<script type="application/json" id="{one}">{text}</script>')
    if section.rows:
        opened = "" if drawn else " open"
        parts.append(f"<details{opened}><summary>The numbers: {title}</summary>{_table(section)}</details>")
    return "\n".join([*parts, "</section>"])


def _table(section: Section) -> str:
    title = escape(section.title)
    head = "".join(f'<th scope="col">{escape(label)}</th>' for _, label in section.columns)
    shown = [_shown(name) for name, _ in section.columns]
    rows = []
    for row in section.rows:
        texts = [show(value) for show, value in zip(shown, row, strict=True)]
        first, *others = map(escape, texts)
        rows.append(f'<tr><th scope="row">{first}</th>{"".join(f"<td>{text}</td>" for text in others)}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}"><table><caption>{title}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _shown(name: str) -> Callable[[Any], str]:
    def show(value: Any) -> str:
        if value is None:
            return "–"
        if isinstance(value, date | datetime):
            return value.isoformat()
        if value == HIDDEN or isinstance(value, str):
            return str(value)
        if name.startswith(_SHARES):
            return f"{value:.1%}"
        if isinstance(value, int):
            return f"{value:,}"
        return f"{value:,.1f}" if abs(value) >= 1 or not value else f"{round(value, 4):g}"  # 0.0 would be no share

    return show


def _foot(left_out: Sequence[str]) -> Iterator[str]:
    yield "</main><footer>"
    yield "<p>Finished days and weeks only; of sequences all that has arrived. "
    yield f"Groups of fewer than {FEWEST} persons are hidden; nobody is named. "
    yield "All numbers are of the published tables and their views, at the watermark above.</p>"
    if left_out:
        yield f"<p>Not shown: {escape(' '.join(left_out))}</p>"
    yield "</footer>"
