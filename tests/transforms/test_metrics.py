"""A wrong metrics file gets one line that names the entry, the bad value and the allowed ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import tables
from tests.builders import METRICS, WAVES_METRICS
from transforms.metrics import MetricsError, load_metrics, parse_metrics

GOOD = '[metrics.taps]\nkind = "count"\nevents = ["tap"]\ndescription = "Taps."\n'


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
        (GOOD + 'property = "x"', ["'taps'", "exactly one of events, name_contains, screens, property"]),
        (GOOD.replace('description = "Taps."', ""), ["'taps'", "description is missing"]),
        (GOOD + "[metrics.f]\nkind = 'flag'\ncount = 'typo'\ndescription = 'x'", ["'f'", "'typo'", "taps"]),
        ("engaged_by = ['typo']\n" + GOOD, ["engaged_by", "'typo'", "taps"]),
        ("engagement_flags = ['typo']\n" + GOOD, ["engagement_flags", "'typo'", "created_event"]),
        ("max_events_per_session = 0\n" + GOOD, ["max_events_per_session", "0", "1 to 1000000"]),
        ("max_events_per_session = true\n" + GOOD, ["True"]),
        (
            GOOD + "[metrics.m]\nkind = 'max'\nproperty = 'y'\nclip = [1, 0]\ndescription = 'x'",
            ["'m'", "[1, 0]", "[0.0, 1.0]"],
        ),
        (
            GOOD
            + "[metrics.m]\nkind = 'max'\nproperty = 'y'\ndescription = 'x'\n"
            + "[metrics.d]\nkind = 'distinct'\nproperty = 'y'\ndescription = 'x'",
            ["'d'", "'y'", "text here and as number"],
        ),
        (
            GOOD + "[metrics.e]\nkind = 'first'\nproperty = 'y'\nperson = 'last'\ndescription = 'x'",
            ["'e'", "'last'", "latest"],
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
        tables.sessions(metrics)


def test_the_digest_is_of_definitions_not_of_words() -> None:
    assert parse_metrics(GOOD.replace("Taps.", "Other words.")).digest == parse_metrics(GOOD).digest
    assert parse_metrics(GOOD.replace('"tap"', '"tip"')).digest != parse_metrics(GOOD).digest
    assert METRICS.digest != load_metrics(WAVES_METRICS).digest


def test_adding_an_entry_adds_the_columns() -> None:
    text = GOOD + 'person_noun = "taps"\n'
    assert "taps" in tables.sessions(parse_metrics(text)).schema.names
    names = tables.persons(parse_metrics(text)).schema.names
    assert {"total_taps", "avg_taps_per_session", "max_taps_per_session"} <= set(names)
