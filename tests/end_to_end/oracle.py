"""An independent oracle: the expected tables in SQL (DuckDB) over the same Parquet files.

It imports nothing of `pipeline` or `transforms`. The SQL of the rules is in `oracle.sql`; the metrics of the
two metrics files are written out here once more, by hand.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

_VERSION = "document_id VARCHAR, etl_loaded_at TIMESTAMPTZ"
_INPUTS = {
    "events": (
        "posthog_etl/events",
        "uuid VARCHAR, event VARCHAR, properties VARCHAR, distinct_id VARCHAR, timestamp TIMESTAMPTZ, "
        "bq_ingested_timestamp TIMESTAMPTZ",
    ),
    "posthog_sessions": (
        "posthog_etl/sessions",
        "session_id VARCHAR, end_timestamp TIMESTAMPTZ, channel_type VARCHAR, is_bounce BOOLEAN",
    ),
    "users": (
        "firebase_etl_prod/users",
        "user_id VARCHAR, fullName VARCHAR, phoneNumber VARCHAR, username VARCHAR, email VARCHAR, "
        f"contactAccessGranted BOOLEAN, businessUser BOOLEAN, createdAt TIMESTAMPTZ, {_VERSION}",
    ),
    "social": (
        "firebase_etl_prod/events",
        "user_id VARCHAR, createdAt TIMESTAMPTZ, type VARCHAR, startTime TIMESTAMPTZ, endTime TIMESTAMPTZ, "
        f"eventDate TIMESTAMPTZ, {_VERSION}",
    ),
    "invites": (
        "firebase_etl_prod/userinvites",
        f"event_id VARCHAR, user_id VARCHAR, createdAt TIMESTAMPTZ, status VARCHAR, {_VERSION}",
    ),
}


@dataclass(frozen=True)
class Rules:
    """What a metrics file says, in SQL."""

    libraries: str
    metrics: str
    marks: str
    """Which events begin or end a pause."""
    engaged: str
    rollups: str
    active: str
    days: dict[str, str]
    """Sums of person_days."""
    step_1: str = "false"
    step_2: str = "false"
    step_3: str = "false"
    inactive_days: int = 14
    reporting_timezone: str = "UTC"
    has_social_events: str = "false"
    """Whether a link is of social events."""
    links: str = ""
    """Rows of `session_links` without the day."""
    dev_build: str = "text_of(props, '$app_namespace') in ('host.exp.exponent', 'host.exp.Exponent')"


def _has(*names: str) -> str:
    quoted = ", ".join(f"'{name}'" for name in names)
    return f"bool_or(event in ({quoted}))"


def _edge(which: str, name: str) -> str:
    value = f"text_of(props, '{name}')"
    return f"{which}({value} order by timestamp, uuid, event, distinct_id) filter ({value} is not null)"


def _awake(pause: str) -> str:
    return f"coalesce(sum(until_next) filter (coalesce(mark, '') <> '{pause}'), 0)::double / 1000000"


def _seconds(name: str) -> str:
    return f"sum(round({name} * 1000000)::bigint)::double / 1000000 as total_{name}"


def _noun(count: str, noun: str) -> str:
    return (
        f"sum({count})::bigint as total_{noun}, sum({count})::double / count(*) as avg_{noun}_per_session, "
        f"max({count}) as max_{noun}_per_session"
    )


def _link(name: str, value: str, limit: int, **actions: tuple[str, ...]) -> str:
    every = [event for events in actions.values() for event in events]
    done = [
        f"min(timestamp) filter (event in {_texts(*events)}) as first_{action}_at, "
        f"count(*) filter (event in {_texts(*events)}) as {action}_count"
        for action, events in actions.items()
    ]
    return f"""select * exclude (comes) replace (is_cut > {limit} as is_cut) from (
        select session_id, '{name}' as link, text_of(props, '{value}') as value,
            count(*) over (partition by session_id) as is_cut,
            row_number() over (partition by session_id order by min(place)) as comes, {", ".join(done)}
        from ordered where event in {_texts(*every)} and text_of(props, '{value}') is not null
        group by session_id, text_of(props, '{value}')
    ) where comes <= {limit}"""


def _texts(*texts: str) -> str:
    return f"({', '.join(repr(text) for text in texts)})"


_FLAGS = {
    "viewed_event": _has("view_event"),
    "joined_event": _has("join_event"),
    "clicked_invite": _has("click_invite_to_event"),
    "started_quiz": _has("start_quiz"),
    "completed_quiz": _has("finish_quiz"),
    "invited_someone": _has("invite_friends", "send_invite_to_event", "invite_friends_for_report"),
    "enabled_contacts": "bool_or(event ilike '%contact%' and event ilike '%enable%')",
    "visited_discover": "coalesce(bool_or(text_of(props, '$screen_name') = 'Discover'), false)",
}


def _day_flags(*names: str) -> dict[str, str]:
    return {f"{name}_sum": f"count(*) filter ({name})" for name in ("created_event", *names)}


def _day_seconds(name: str) -> str:
    return f"sum(round({name} * 1000000)::bigint)::double / 1000000"


_TOUCHES = "count(*) filter (number_of(props, '$touch_y') is not null)"
_REACH = """max(case
    when number_of(props, '$screen_height') > 0 and number_of(props, '$touch_y') is not null then
    least(greatest(number_of(props, '$touch_y') / number_of(props, '$screen_height'), 0.0), 1.0) end)"""
APP = Rules(
    libraries="lib = 'posthog-react-native'",
    metrics=", ".join(
        [
            "count(*) filter (event = '$autocapture') as autocapture_count",
            "count(*) filter (event = '$screen') as screen_count",
            "count(distinct text_of(props, '$screen_name')) as unique_screen_count",
            f"{_edge('first', '$screen_name')} as entry_screen",
            f"{_edge('last', '$screen_name')} as exit_screen",
            f"{_TOUCHES} as scroll_event_count, {_TOUCHES} > 0 as scrolled, {_REACH} as scroll_depth",
            *[f"{sql} as {name}" for name, sql in _FLAGS.items()],
            f"{_edge('first', '$geoip_city_name')} as city",
            f"{_edge('first', '$geoip_country_name')} as country",
            f"{_edge('first', '$os_name')} as os_name",
            f"{_edge('first', '$app_version')} as app_version",
            f"{_awake('Application Backgrounded')} as foreground_duration",
            "coalesce(min(steps), 0) as quiz_step, count(*) filter (event = 'start_quiz') as quiz_attempts",
            "min(timestamp) filter (place = at_1) as quiz_started_at",
            "min(timestamp) filter (place = at_2) as quiz_finished_at",
            "(min(us) filter (place = at_2) - min(us) filter (place = at_1))::double / 1000000 as quiz_duration",
        ]
    ),
    marks="event in ('Application Backgrounded', 'Application Opened', 'Application Became Active')",
    step_1="event = 'start_quiz'",
    step_2="event = 'finish_quiz'",
    engaged="autocapture_count > 0",
    rollups=", ".join(
        [
            *[f"count(*) filter ({name}) as {name}_sum" for name in (*_FLAGS, "scrolled")],
            _noun("scroll_event_count", "scrolls"),
            _noun("autocapture_count", "autocaptures"),
            _noun("screen_count", "screens"),
            *[
                f"last({name} order by start_us, session_id) filter ({name} is not null) as {name}"
                for name in ("city", "country")
            ],
            _seconds("foreground_duration"),
            "count(quiz_started_at) as quiz_started_sum, count(quiz_finished_at) as quiz_finished_sum",
        ]
    ),
    active="created_event or viewed_event or joined_event or scrolled",
    has_social_events="true",
    links=_link(
        "social_event",
        "event_id",
        100,
        viewed=("view_event",),
        joined=("join_event",),
        invited=("send_invite_to_event",),
        opened_invite=("click_invite_to_event",),
    ),
    days={
        **_day_flags(*_FLAGS, "scrolled"),
        **{name: f"sum({name})::bigint" for name in ("scroll_event_count", "autocapture_count", "screen_count")},
        "foreground_duration": _day_seconds("foreground_duration"),
    },
)
_WAVES_KINDS = [
    "min(timestamp) filter (event = 'SUCCEED.0') as first_success",
    "max(timestamp) filter (event = 'FAIL.0' and text_of(props, 'level') in ('9', '15')) as last_hard_fail",
    "min(number_of(props, 'closeness')) filter (event in ('SUCCEED.0', 'FAIL.0')) as least_closeness",
    "max(number_of(props, 'begin_val')) filter (text_of(props, 'slider') = 'AMPLITUDE') as highest_amplitude",
    "sum(round_even(number_of(props, 'drag_length_ticks') * 100, 0)::hugeint)::double / 100 as moved_ticks",
    "coalesce(list_sort(list(distinct text_of(props, 'slider')) filter (text_of(props, 'slider') is not null))[:2], [])"
    " as sliders",
    "count(distinct text_of(props, 'slider')) > 2 as sliders_is_cut",
    "list_sort(list(distinct event))[:20] as names, count(distinct event) > 20 as names_is_cut",
    "max(steps) as solving_step, count(*) filter (event = 'BEGIN.0') as solving_attempts",
    "min(timestamp) filter (place = at_1) as solving_started_at",
    "min(timestamp) filter (place = at_3) as solving_finished_at",
    "(min(us) filter (place = at_3) - min(us) filter (place = at_1))::double / 1000000 as solving_duration",
    f"{_awake('CUSTOM.5')} as playing",
]
WAVES = Rules(
    libraries="true",
    metrics=", ".join(
        [
            f"{_has('SUCCEED.0')} as succeeded, {_has('FAIL.0')} as failed, {_has('CUSTOM.6')} as skipped",
            "bool_or(event ilike '%custom%' and event like '%5%') as used_menu",
            "count(*) filter (event = 'CUSTOM.1') as slider_moves",
            "count(*) filter (json_type(props, '$.level') <> 'NULL') as event_count_with_level",
            "count(distinct text_of(props, 'event_custom')) as unique_events",
            "max(number_of(props, 'closeness')) as max_closeness",
            """max(case
                when number_of(props, 'correct_val') > 0 and number_of(props, 'begin_closeness') is not null
                then least(greatest(
                number_of(props, 'begin_closeness') / number_of(props, 'correct_val'), 0.0), 1.0) end) as best_fit""",
            f"{_edge('first', '$app_version')} as app_version",
            f"{_edge('first', 'slider')} as first_slider, {_edge('last', 'slider')} as last_slider",
            *_WAVES_KINDS,
        ]
    ),
    marks="event in ('CUSTOM.5', 'BEGIN.0', 'CUSTOM.7')",
    inactive_days=1,
    reporting_timezone="America/Los_Angeles",
    dev_build="text_of(props, 'event_custom') = 'RESET_BTN_PRESS'",
    step_1="event = 'BEGIN.0'",
    step_2="event in ('CUSTOM.1', 'CUSTOM.2') and text_of(props, 'slider') is not null",
    step_3="event = 'SUCCEED.0' and number_of(props, 'level') in (1, 9, 15)",
    engaged="false",
    rollups=", ".join(
        [
            *[f"count(*) filter ({name}) as {name}_sum" for name in ("succeeded", "failed", "used_menu", "skipped")],
            _noun("slider_moves", "slider_moves"),
            "min(first_success) as first_success, max(last_hard_fail) as last_hard_fail",
            "min(least_closeness) as least_closeness, max(highest_amplitude) as highest_amplitude",
            "sum(round(moved_ticks * 100)::hugeint)::double / 100 as total_moved_ticks",
            "count(solving_started_at) as solving_started_sum, count(solving_finished_at) as solving_finished_sum",
            _seconds("playing"),
        ]
    ),
    active="created_event or succeeded",
    links=" union all by name ".join(
        [
            _link("level", "level", 3, begun=("BEGIN.0",), ended=("SUCCEED.0", "FAIL.0"), solved=("SUCCEED.0",)),
            _link("slider", "slider", 100, begun=("CUSTOM.1", "CUSTOM.2")),
        ]
    ),
    days={
        **_day_flags("succeeded", "failed", "used_menu", "skipped"),
        "slider_moves": "sum(slider_moves)::bigint",
        "playing": _day_seconds("playing"),
    },
)


@dataclass(frozen=True)
class Expected:
    """The expected tables, sorted by key, without run columns, and the rows by outcome."""

    sessions: pa.Table
    persons: pa.Table
    session_links: pa.Table
    person_days: pa.Table
    social_events: pa.Table
    counts: dict[str, int]


def expected(
    warehouse: Path,
    rules: Rules = APP,
    *,
    excluded: Collection[str] = (),
    max_events_per_session: int = 100_000,
) -> Expected:
    """What a full load of this warehouse must publish.

    In sessions above `max_events_per_session` the counts by kind are exact here, while the pipeline's saturate.
    """
    db = duckdb.connect()
    db.execute("set TimeZone = 'UTC'")
    for view, (folder, columns) in _INPUTS.items():
        _load(db, view, warehouse / folder, columns)
    db.execute("create table excluded(id varchar)")
    db.executemany("insert into excluded values (?)", [[value] for value in (*excluded, "\0")])
    _mend_odd_json(db)
    script = Path(__file__).with_name("oracle.sql").read_text()
    placeholders = vars(rules) | {
        "limit": max_events_per_session,
        "day_sums": ", ".join(f"{sql} as {name}" for name, sql in rules.days.items()),
        "day_names": ", ".join(f"coalesce({name}, 0) as {name}" for name in rules.days),
    }
    for name, value in placeholders.items():
        script = script.replace(f"{{{name}}}", str(value))
    db.execute(script)
    counts = dict(db.execute("select outcome, count(*) from settled group by 1").fetchall())
    usable, kept = counts.pop("usable", 0), db.execute("select count(*) from used").fetchall()[0][0]
    counts |= {"read": usable + sum(counts.values()), "kept": kept, "duplicates": usable - kept}
    sessions = db.sql("select * exclude (duration_us, start_us) from sessions order by session_id")
    persons = db.sql("select * from persons order by person_id")
    links = db.sql("select * from session_links order by all")
    days = db.sql("select * from person_days order by all")
    social = db.sql("select * from social_event_rows order by all")
    return Expected(*(found.to_arrow_table() for found in (sessions, persons, links, days, social)), counts)


def _load(db: duckdb.DuckDBPyConnection, view: str, folder: Path, columns: str) -> None:
    """A table of the files' columns, those that are not there null."""
    db.execute(f"create table {view} ({columns})")
    if list(folder.glob("*.parquet")):
        source = f"read_parquet('{folder}/*.parquet', union_by_name = true)"
        there = {row[0] for row in db.execute(f"describe select * from {source}").fetchall()}
        names = [part.split()[0] for part in columns.split(", ")]
        shared = ", ".join(name for name in names if name in there)
        db.execute(f"insert into {view} ({shared}) select {shared} from {source}")


_SURROGATE = re.compile("[\ud800-\udfff]")


def _mend_odd_json(db: duckdb.DuckDBPyConnection) -> None:
    """Texts that Python's json reads and DuckDB's does not (NaN, lone surrogates), rewritten as it reads them."""
    odd = "properties is not null and (not json_valid(properties) or properties like '%\\ud%')"
    for (text,) in db.execute(f"select distinct properties from events where {odd}").fetchall():
        try:
            content = json.loads(text, parse_constant=lambda name: name)
        except (ValueError, RecursionError):
            continue
        mended = _SURROGATE.sub("�", json.dumps(content, ensure_ascii=False))
        db.execute("update events set properties = ? where properties = ?", [mended, text])


def _same(name: str, left: object, right: object) -> bool:
    if name == "std_session_duration" and isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-12)  # DuckDB rounds once more before its root
    return left == right


def differences(actual: pa.Table, wanted: pa.Table, *more_of_key: str) -> list[str]:
    """What differs between two tables, in words; empty when they are equal.

    The key is the first column of the actual table, and others that are named.
    """
    if set(actual.schema.names) != set(wanted.schema.names):
        return [f"columns: {sorted(set(actual.schema.names) ^ set(wanted.schema.names))}"]
    key = (actual.schema.names[0], *more_of_key)
    left = {tuple(row[name] for name in key): row for row in actual.to_pylist()}
    right = {tuple(row[name] for name in key): row for row in wanted.to_pylist()}
    found = [f"{key} {value!r} is on one side only" for value in sorted(left.keys() ^ right.keys())]
    for value in sorted(left.keys() & right.keys()):
        found += [
            f"{key} {value!r}: {name} is {left[value][name]!r}, expected {right[value][name]!r}"
            for name in actual.schema.names
            if not _same(name, left[value][name], right[value][name])
        ]
    if not found and actual.num_rows != wanted.num_rows:
        found.append(f"{actual.num_rows} rows, expected {wanted.num_rows}")
    return found
