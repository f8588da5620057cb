"""Sections → charts in Vega-Lite, made with Vega-Altair; and the one script that draws them without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from pipeline.report.section import Section
from pipeline.report.sections import WEEKDAYS

#: A chart in Vega-Lite's words.
Spec = dict[str, Any]
_HEIGHT, _LOW, _LINE = 240, 170, 28
#: Charts with a line a row.
_BY_LINE = {"retention", "funnels", "links", "entry", "exit", "reasons", "posthog"}
#: A bar is no wider, however few there are.
_BAR = {"expr": "min(44, 0.8 * bandwidth('x'))"}
#: So many days are told apart by a point each.
_POINTS = 60
#: Colours of Okabe and Ito, which people with any colour vision tell apart, in light and in dark.
_COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"]
_FAINT = "#8c8c8c"
_LIFECYCLE = ["New", "Returning", "Resurrecting", "Dormant"]
#: A day as `5 Jan`, of a text as `2026-01-05`; a day has no zone, so the reader's must not move it.
_DAY, _DAY_OF_TEXT = "%-d %b", "utcFormat(toDate(datum.value), '%-d %b')"
_DRAW = Path(__file__).with_name("draw.js").read_text(encoding="utf-8")


def script() -> str:
    """Vega, Vega-Lite and what draws with them, as one text."""
    return str(vl_convert.javascript_bundle(_DRAW))


def charts(section: Section) -> list[Spec]:
    """The charts of a section, from top to bottom; none where its table says all."""
    draw = _CHARTS.get(section.name)
    if draw is None or not section.rows:
        return []
    drawn = draw(section)
    made = drawn if isinstance(drawn, list) else [drawn]
    tall = _LOW if len(made) > 1 else _LINE * max(3, len(section.rows)) if section.name in _BY_LINE else _HEIGHT
    return [_spec(one, tall) for one in made]


def _spec(drawn: Any, tall: int) -> Spec:
    spec: Spec = drawn.properties(height=tall, width="container").to_dict()
    return spec | {"autosize": {"type": "fit-x", "contains": "padding"}}


def _data(section: Section) -> alt.Data:
    """Its records as they are in the page: dates as text."""
    return _values(section.records)


def _values(records: list[dict[str, Any]]) -> alt.Data:
    return alt.Data(values=json.loads(json.dumps(records, default=_text)))


def _text(value: Any) -> str | float:
    return value.isoformat() if isinstance(value, date) else float(value)


def _days(section: Section) -> list[Any]:
    """Sessions and persons, each with the same weekday of a week before, fainter."""
    numbers = (("sessions", "Sessions"), ("dau", "Active persons"))
    return [_days_of(section, name, title, colour) for (name, title), colour in zip(numbers, _COLOURS, strict=False)]


def _days_of(section: Section, name: str, title: str, colour: str) -> Any:
    words = ["That day", "A week before"]
    records = [
        {"date": record["date"], "when": when, "number": record[column]}
        for record in section.records
        for column, when in zip((name, f"{name}_before"), words, strict=True)
    ]
    scale = alt.Scale(domain=words, range=[colour, _FAINT])
    return (
        alt.Chart(_values(records))
        .mark_line(point={"size": 22} if len(section.rows) <= _POINTS else False)
        .encode(
            x=alt.X("utcyearmonthdate(date):T", title=None, axis=alt.Axis(format=_DAY, labelOverlap=True)),
            y=alt.Y("number:Q", title=title),
            color=alt.Color("when:N", title=None, scale=scale),
            strokeDash=alt.StrokeDash("when:N", title=None, scale=alt.Scale(domain=words, range=[[], [5, 4]])),
            tooltip=[
                alt.Tooltip("utcyearmonthdate(date):T", title="Day", format="%A, %-d %B"),
                alt.Tooltip("when:N", title="When"),
                alt.Tooltip("number:Q", title=title, format=","),
            ],
        )
    )


def _weeks(section: Section) -> Any:
    records = [
        {"week": record["week"], "kind": label, "number": -n if label == "Dormant" else n, "persons": n}
        for record in section.records
        for (name, label) in section.columns[1:]
        if (n := record[name]) is not None
    ]
    colour = alt.Color("kind:N", title=None, scale=alt.Scale(domain=_LIFECYCLE, range=_COLOURS))
    return (
        alt.Chart(_values(records))
        .mark_bar(width=_BAR)
        .encode(
            x=alt.X(
                "week:O", title="Week from", axis=alt.Axis(labelAngle=0, labelOverlap=True, labelExpr=_DAY_OF_TEXT)
            ),
            y=alt.Y("number:Q", title="Persons (below 0: went)"),
            color=colour,
            tooltip=["week:O", "kind:N", alt.Tooltip("persons:Q", format=",")],
        )
    )


def _retention(section: Section) -> Any:
    records = [
        {"cohort": record["cohort_week"], "week": int(name.removeprefix("week_")), "share": record[name]}
        for record in section.records
        for name, _ in section.columns[2:]
        if record[name] is not None
    ]
    base = alt.Chart(_values(records)).encode(
        x=alt.X("week:O", title="Weeks since the week of the first session", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("cohort:O", title="From", axis=alt.Axis(labelExpr=_DAY_OF_TEXT)),
        tooltip=["cohort:O", "week:O", alt.Tooltip("share:Q", format=".1%")],
    )
    cells = base.mark_rect().encode(
        color=alt.Color("share:Q", scale=alt.Scale(scheme="blues", domain=[0, 1]), legend=None)
    )
    ink = alt.condition("datum.share > 0.55", alt.value("#fff"), alt.value("#1b1b1b"))
    return cells + base.mark_text(fontSize=11).encode(text=alt.Text("share:Q", format=".0%"), color=ink)


def _funnels(section: Section) -> Any:
    records = [{**record, "label": f"{record['funnel']}, step {record['step']}"} for record in section.records]
    return (
        alt.Chart(_values(records))
        .mark_bar()
        .encode(
            x=alt.X("persons:Q", title="Persons"),
            y=alt.Y("label:N", title=None, sort=None),
            color=alt.Color("funnel:N", legend=None, scale=alt.Scale(range=_COLOURS)),
            tooltip=["label:N", "persons:Q", alt.Tooltip("share:Q", format=".0%"), "median_seconds:Q"],
        )
    )


def _bars(name: str, value: str, title: str) -> Callable[[Section], Any]:
    def draw(section: Section) -> Any:
        return (
            alt.Chart(_data(section))
            .mark_bar(color=_COLOURS[0])
            .encode(
                x=alt.X(f"{value}:Q", title=title),
                y=alt.Y(f"{name}:N", title=None, sort=None),
                tooltip=[f"{name}:N", alt.Tooltip(f"{value}:Q", format=",")],
            )
        )

    return draw


def _long(section: Section, key: str, column: str, labels: dict[str, str], value: str) -> list[dict[str, Any]]:
    """A record for each row and each of its labelled columns: `key` of the row's `column`, `what`, and `value`."""
    return [
        {key: record[column], "what": label, value: record[name]}
        for record in section.records
        for name, label in labels.items()
    ]


def _what(labels: dict[str, str]) -> Any:
    return alt.Color("what:N", title=None, scale=alt.Scale(domain=[*labels.values()], range=_COLOURS))


def _pairs(
    labels: dict[str, str], key: str, column: str, value: str, title: str, number: str
) -> Callable[[Section], Any]:
    """A line a row, with a bar for each of its labelled columns."""

    def draw(section: Section) -> Any:
        return (
            alt.Chart(_values(_long(section, key, column, labels, value)))
            .mark_bar()
            .encode(
                x=alt.X(f"{value}:Q", title=title),
                y=alt.Y(f"{key}:N", title=None, sort=None),
                yOffset=alt.YOffset("what:N", sort=[*labels.values()]),
                color=_what(labels),
                tooltip=[f"{key}:N", "what:N", alt.Tooltip(f"{value}:Q", format=number)],
            )
        )

    return draw


def _hours(section: Section) -> Any:
    return (
        alt.Chart(_data(section))
        .mark_rect()
        .encode(
            x=alt.X("hour:O", title="Hour", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("weekday:O", title=None, sort=[*WEEKDAYS]),
            color=alt.Color("sessions:Q", scale=alt.Scale(scheme="blues"), title="Sessions"),
            tooltip=["weekday:O", "hour:O", "sessions:Q"],
        )
    )


def _quality(section: Section) -> Any:
    labels = {"rejected": "Rejected", "duplicates": "Duplicates", "late": "Late", "nulled": "Values nulled"}
    when = "utcFormat(toDate(replace(datum.value, ' ', 'T') + 'Z'), '%-d %b %H:%M')"
    return (
        alt.Chart(_values(_long(section, "run", "published_at", labels, "number")))
        .mark_bar(width=_BAR)
        .encode(
            x=alt.X(
                "run:O", title="Run published at", axis=alt.Axis(labelAngle=-45, labelOverlap=True, labelExpr=when)
            ),
            y=alt.Y("number:Q", title="Rows"),
            color=_what(labels),
            tooltip=[
                alt.Tooltip("run:O", title="Run"),
                alt.Tooltip("what:N", title="What"),
                alt.Tooltip("number:Q", title="Rows", format=","),
            ],
        )
    )


_CHARTS: dict[str, Callable[[Section], Any]] = {
    "days": _days,
    "weeks": _weeks,
    "retention": _retention,
    "funnels": _funnels,
    "links": _pairs(
        {"viewed": "Viewed", "joined": "Joined by who viewed"}, "link", "link", "number", "Persons × objects", ","
    ),
    "entry": _bars("screen", "sessions", "Sessions"),
    "exit": _bars("screen", "sessions", "Sessions"),
    "versions": _pairs(
        {"median_duration": "In all", "median_foreground": "In the foreground"},
        *("version", "app_version", "seconds", "Median seconds of a session", ",.0f"),
    ),
    "hours": _hours,
    "quality": _quality,
    "reasons": _bars("reason", "rows", "Rows"),
    "posthog": _bars("column", "sessions", "Sessions that differ"),
}
