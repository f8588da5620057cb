"""What slim rows have of an event: what the declared metrics need, and of the events of which they need it."""

from __future__ import annotations

import numpy as np

from tests.builders import METRICS, event, events_batch, facts_of_slices, slices_of
from transforms.events.decoder import EventDecoder
from transforms.events.needed import NeededColumns
from transforms.events.properties import PropertyDecoder
from transforms.machinery.columns import dictionary
from transforms.metrics.definitions import SESSION_PROPERTY
from transforms.metrics.file import parse_metrics


def test_more_conditions_than_one_word_holds() -> None:
    entries = [f'[metrics.f{n}]\nkind = "flag"\nevents = ["e{n}"]\ndescription = "E."' for n in range(130)]
    metrics = parse_metrics("\n".join(['libraries = ["*"]', *entries]))
    kept = EventDecoder(metrics).decode(events_batch([event(n, name=f"e{n}") for n in range(130)])).kept
    [slice_] = slices_of(kept, metrics)
    [row] = facts_of_slices([slice_], metrics).to_pylist()
    assert all(row[f"f{n}"] for n in range(130))
    [row] = facts_of_slices(slices_of(kept.take(np.array([64, 129])), metrics), metrics).to_pylist()
    assert [n for n in range(130) if row[f"f{n}"]] == [64, 129]


def test_how_many_rows_match_a_metric_is_told_also_when_it_is_none() -> None:
    rows = [event(1, name="view_event"), event(2, name="view_event"), event(3, lib="web", name="join_event")]
    matches = EventDecoder(METRICS).decode(events_batch(rows)).matches
    assert (matches["viewed_event"], matches["joined_event"], matches["screen_count"]) == (2, 0, 0)
    of_some = {"autocapture_count", "screen_count", "scroll_event_count", "foreground_duration", "social_event", "quiz"}
    assert {*METRICS.flags, *of_some} - {"created_event"} <= set(matches)
    assert not {"created_event", "entry_screen", "unique_screen_count", "city"} & set(matches)  # of all events, or none


def test_a_text_or_number_travels_only_with_events_of_which_it_is_needed() -> None:
    metrics = parse_metrics(
        """
        libraries = ["*"]
        [metrics.first_level]
        kind = "first"
        property = "level"
        events = ["begin"]
        description = "L."
        [metrics.most]
        kind = "max"
        property = "points"
        events = ["win", "lose"]
        description = "P."
        [metrics.lang]
        kind = "last"
        property = "lang"
        where = { level = 1 }
        description = "T."
        [links.level]
        property = "level"
        actions = { won = ["win"] }
        description = "L."
        """
    )
    properties = {"level": "a", "points": 3, "lang": "en"}
    rows = [event(number, name=name, properties=properties) for number, name in enumerate(["begin", "win", "x"])]
    kept = EventDecoder(metrics).decode(events_batch(rows)).kept
    assert kept.texts["text level"].texts().to_pylist() == ["a", "a", None]
    assert kept.texts["text lang"].texts().to_pylist() == ["en"] * 3
    assert np.nan_to_num(kept.numbers["number 0"], nan=-1).tolist() == [-1, 3, -1]


def test_a_ratio_by_nothing_is_none_and_one_beyond_its_bounds_is_at_the_bound() -> None:
    metrics = parse_metrics(
        """
        libraries = ["*"]
        [metrics.depth]
        kind = "max"
        property = "y"
        divided_by = "height"
        clip = [0, 1]
        description = "D."
        """
    )
    given = [{"y": 1, "height": 2}, {"y": 5, "height": 2}, {"y": -1, "height": 2}, {"y": 3, "height": 0}, {"height": 2}]
    rows = [event(number, properties=properties) for number, properties in enumerate(given)]
    found = EventDecoder(metrics).decode(events_batch(rows)).kept.numbers["number 0"]
    assert np.nan_to_num(found, nan=-1).tolist() == [0.5, 1.0, 0.0, -1.0, -1.0]
    assert not np.signbit(found[2])  # equal numbers must be equal bytes


def test_properties_are_needed_once_whatever_asks_for_them() -> None:
    needed = NeededColumns(METRICS)
    batch = events_batch([event(1), event(2, name="view_event")])
    names = dictionary(batch.column("event"))
    columns = PropertyDecoder(METRICS.properties, required=SESSION_PROPERTY).decode(batch.column("properties"))
    both, second = (needed.numbers(names, columns, rows) for rows in (slice(None), np.array([1])))
    assert {name: values[1:].tolist() for name, values in both.items() if name.startswith("bits")} == {
        name: values.tolist() for name, values in second.items() if name.startswith("bits")
    }
    assert set(needed.texts(names, columns, slice(None))) == {f"text {name}" for name in METRICS.needs.texts}
