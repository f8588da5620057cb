"""A wrong metrics file gets one line that names the entry, the bad value and the allowed ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import tables
from tests.builders import METRICS, WAVES_METRICS
from transforms.metrics import definitions
from transforms.metrics.definitions import MetricsError
from transforms.metrics.file import load_metrics, parse_metrics

GOOD = '[metrics.taps]\nkind = "count"\nevents = ["tap"]\ndescription = "Taps."\n'


def entry(kind: str, keys: str) -> str:
    """A metrics file with an entry of a kind."""
    return f"[metrics.new]\nkind = '{kind}'\ndescription = 'New.'\n{keys}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nope", ["not TOML"]),
        ("", ["no metrics"]),
        ("x = 1\n" + GOOD, ["unknown key 'x'", "libraries"]),
        (GOOD.replace("count", "cuont"), ["'taps'", "'cuont'", "flag, count, distinct, first, last, max"]),
        (GOOD.replace("taps]", "Taps]"), ["'Taps'", "lower-case"]),
        (GOOD + "screen = 1", ["'taps'", "unknown key 'screen'", "screens"]),
        (GOOD.replace('["tap"]', '"tap"'), ["'taps'", "events 'tap'", "list of texts"]),
        (
            GOOD.replace('events = ["tap"]', ""),
            ["'taps'", "count needs at least one of events, name_contains, screens, property, where"],
        ),
        (GOOD + "where = {}", ["'taps'", "where {}", "a table of properties"]),
        (GOOD + "where = { a = [] }", ["'taps'", "where {'a': []}", "or a list of them"]),
        (GOOD + "where = { a = nan }", ["'taps'", "where {'a': nan}", "a number"]),
        (GOOD + "where = { a = 2026-01-05 }", ["'taps'", "where", "a text, a number, true or false"]),
        (
            GOOD + "[metrics.f]\nkind = 'flag'\ncount = 'taps'\nevents = ['x']\ndescription = 'x'",
            ["'f'", "count or conditions, not both"],
        ),
        (GOOD.replace('description = "Taps."', ""), ["'taps'", "description is missing"]),
        (GOOD + "[metrics.f]\nkind = 'flag'\ncount = 'typo'\ndescription = 'x'", ["'f'", "'typo'", "taps"]),
        ("engaged_by = ['typo']\n" + GOOD, ["engaged_by", "'typo'", "taps"]),
        ("engagement_flags = ['typo']\n" + GOOD, ["engagement_flags", "'typo'", "created_event"]),
        ("max_events_per_session = 0\n" + GOOD, ["max_events_per_session", "0", "1 to 1000000"]),
        ("max_events_per_session = true\n" + GOOD, ["True"]),
        ("reporting_timezone = 'Chicago'\n" + GOOD, ["reporting_timezone: 'Chicago'", "as America/Chicago is"]),
        ("reporting_timezone = ['UTC']\n" + GOOD, ["reporting_timezone: ['UTC']"]),
        ("dev_builds = {}\n" + GOOD, ["dev_builds: {}", "a table of properties"]),
        ("dev_builds = { a = nan }\n" + GOOD, ["dev_builds: {'a': nan}", "a table of properties"]),
        ("inactive_days = 0\n" + GOOD, ["inactive_days: 0 is not a whole number from 1 to 36500"]),
        (
            GOOD + "[metrics.m]\nkind = 'max'\nproperty = 'y'\nclip = [1, 0]\ndescription = 'x'",
            ["'m'", "[1, 0]", "[0.0, 1.0]"],
        ),
        (
            GOOD + "[metrics.e]\nkind = 'first'\nproperty = 'y'\nperson = 'last'\ndescription = 'x'",
            ["'e'", "'last'", "latest"],
        ),
        (entry("max", "property = 'event'"), ["'new'", "'event' is the event's name, a text, no number"]),
        (entry("max", "property = 'y'\nperson = 'latest'"), ["'new'", "person 'latest' is not one of max"]),
        (entry("min", "property = 'y'\nperson = 'max'"), ["'new'", "person 'max' is not one of min"]),
        (entry("min", "property = 'y'\nclip = [1, 1]"), ["'new'", "clip [1, 1] is not two ascending numbers"]),
        (entry("sum", "property = 'y'"), ["'new'", "decimals is missing; it is a whole number from 0 to 9"]),
        (entry("sum", "property = 'y'\ndecimals = 10"), ["'new'", "decimals 10 is not a whole number from 0 to 9"]),
        (entry("values", "property = 'y'\nlimit = 0"), ["'new'", "limit 0 is not a whole number from 1 to 1000"]),
        (entry("first_time", ""), ["'new'", "first_time needs at least one of events"]),
        (entry("first_time", "events = ['x']\nperson = 'max'"), ["'new'", "person 'max' is not one of min"]),
        (entry("last_time", "events = ['x']\nperson = 'min'"), ["'new'", "person 'min' is not one of max"]),
        (entry("sequence", "steps = ['a']"), ["'new'", "steps ['a'] is not a list of 2 to 20 steps"]),
        (entry("sequence", "steps = ['a', {}]"), ["'new'", "steps", "an event name or a table of conditions"]),
        (entry("sequence", "steps = ['a', { where = { b = inf } }]"), ["'new'", "steps", "a table of conditions"]),
        (entry("sequence", "steps = ['a', { event = 'b' }]"), ["'new'", "steps", "a table of conditions"]),
        (entry("duration", "pauses = ['x']"), ["'new'", "resumes is missing"]),
        (
            entry("duration", "pauses = ['x', 'y']\nresumes = ['y']"),
            ["'new'", "resumes ['y'] is not a non-empty list of event names, none of them in pauses"],
        ),
    ],
)
def test_errors(text: str, told: list[str], tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text(text)
    with pytest.raises(MetricsError) as caught:
        load_metrics(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    for part in told:
        assert part in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MetricsError, match=r"nowhere\.toml: No such file"):
        load_metrics(tmp_path / "nowhere.toml")


def test_the_name_of_another_column_is_refused() -> None:
    metrics = parse_metrics(GOOD.replace("taps", "user_id"))
    with pytest.raises(MetricsError, match="'user_id'"):
        tables.SESSIONS.under(metrics)


def test_a_property_is_decoded_as_all_that_it_is_used_as() -> None:
    used = {
        "present": entry("count", "property = 'y'").replace("new", "a"),
        "text": entry("distinct", "property = 'y'").replace("new", "b"),
        "number": entry("max", "property = 'y'").replace("new", "c"),
    }
    for uses, kind in (
        (["present"], "present"),
        (["present", "text"], "text"),
        (["number", "present"], "number"),
        (["text", "number", "present"], "both"),
        (["number", "text"], "both"),
    ):
        assert parse_metrics("".join(used[use] for use in uses)).properties["y"] == kind


def test_the_digest_is_of_definitions_not_of_words() -> None:
    assert parse_metrics(GOOD.replace("Taps.", "Other words.")).digest == parse_metrics(GOOD).digest
    assert parse_metrics(GOOD.replace('"tap"', '"tip"')).digest != parse_metrics(GOOD).digest
    assert METRICS.digest != load_metrics(WAVES_METRICS).digest
    for key in ('reporting_timezone = "America/Chicago"', 'dev_builds = { build = "dev" }'):
        assert parse_metrics(f"{key}\n{GOOD}").digest != parse_metrics(GOOD).digest


def test_other_zones_are_other_definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    before = parse_metrics(GOOD).digest
    monkeypatch.setattr(definitions, "ZONES_VERSION", "2015.1")
    assert parse_metrics(GOOD).digest != before


def test_adding_an_entry_adds_the_columns() -> None:
    text = GOOD + 'person_noun = "taps"\n'
    assert "taps" in tables.SESSIONS.under(parse_metrics(text)).schema.names
    names = tables.PERSONS.under(parse_metrics(text)).schema.names
    assert {"total_taps", "avg_taps_per_session", "max_taps_per_session"} <= set(names)


def test_an_entry_may_give_several_columns() -> None:
    metrics = parse_metrics(entry("sequence", "steps = ['a', 'b']"))
    suffixes = ["step", "started_at", "finished_at", "duration", "attempts"]
    assert [column.name for column in metrics.columns] == [f"new_{suffix}" for suffix in suffixes]
    assert {"new_started_sum", "new_finished_sum"} <= set(tables.PERSONS.under(metrics).schema.names)
    with pytest.raises(MetricsError, match="'new_step'"):
        tables.SESSIONS.under(
            parse_metrics(entry("sequence", "steps = ['a', 'b']") + GOOD.replace("taps]", "new_step]"))
        )


def test_equal_conditions_are_kept_once_and_those_of_all_events_not_at_all() -> None:
    one = entry("flag", "where = { event = ['b', 'a', 'a'] }\nproperty = 'event'")
    metrics = parse_metrics(
        one + GOOD.replace('"tap"', '"a", "b"') + entry("count", "property = 'event'").replace("new", "all")
    )
    other = parse_metrics(GOOD)
    assert len(set(metrics.needs.conditions) - set(other.needs.conditions)) == 1
    assert metrics.properties == other.properties
