"""What goes wrong: every flaw on its schedule, and what each does to the text of an event."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from sample.flaws import KEPT, NAMES, ON_SCREEN, ON_TOUCH, OTHER_LIBRARIES, PATCHES, Flaw, flaws, is_lost, is_repeated

NUMBERS = np.arange(10_000)
TEXT = (
    '{"$screen_name":"Home","$lib":"posthog-react-native","$app_version":"1.14.2","$screen_height":852,'
    '"$touch_x":11,"$touch_y":402.33,"$session_id":"018f0000-0000-7000-8000-00000000abcd",'
    '"$ip":"192.0.2.1","$geoip_city_name":"Boston"}'
)
SESSION = "018f0000-0000-7000-8000-00000000abcd"


def test_every_flaw_comes_once_in_5000_events_and_other_libraries_are_one_in_a_hundred() -> None:
    found = Counter(flaws(NUMBERS).tolist())
    assert {Flaw(one) for one in found} == {*Flaw}
    assert {found[flaw] for flaw in Flaw if flaw not in (Flaw.NONE, *OTHER_LIBRARIES)} == {2}
    assert sum(found[flaw] for flaw in OTHER_LIBRARIES) == 100
    assert (flaws(NUMBERS[:5_000]) == flaws(NUMBERS[5_000:])).all(), "by the event's number alone"


def test_the_first_ones_are_in_any_small_sample() -> None:
    first = {Flaw(one) for one in flaws(NUMBERS[:1_000]).tolist()}
    assert {flaw for flaw in Flaw if flaw <= Flaw.APP_VERSION_NUMBER} <= first


def test_one_in_a_hundred_is_there_twice_and_without_a_flaw() -> None:
    assert is_repeated(NUMBERS).sum() == 100
    assert set(flaws(NUMBERS[is_repeated(NUMBERS)]).tolist()) == {Flaw.NONE}


def test_what_is_kept_counts_towards_its_session() -> None:
    every = np.array([*Flaw], np.uint8)
    kept = {Flaw(one) for one in every[~is_lost(every)].tolist()}
    assert kept == {Flaw.NONE, *KEPT}
    assert not kept & {*OTHER_LIBRARIES}


def test_a_flaw_of_a_value_is_on_an_event_that_has_it() -> None:
    assert {Flaw.TOUCH_Y_TEXT, Flaw.SCREEN_HEIGHT_ZERO} <= set(ON_TOUCH)
    assert {Flaw.SCREEN_EMOJI, Flaw.SCREEN_NUL} <= set(ON_SCREEN)
    assert not set(ON_TOUCH) & set(ON_SCREEN)


@pytest.mark.parametrize(
    ("flaw", "key", "value"),
    [
        (Flaw.TOUCH_Y_TEXT, "$touch_y", "402.33"),
        (Flaw.TOUCH_Y_BOOLEAN, "$touch_y", True),
        (Flaw.TOUCH_BELOW_SCREEN, "$touch_y", 1288.5),
        (Flaw.TOUCH_ABOVE_SCREEN, "$touch_y", -3.3333332538604736),
        (Flaw.SCREEN_EMOJI, "$screen_name", "Party 🎉"),
        (Flaw.SCREEN_LONE_SURROGATE, "$screen_name", "Chat \ud83d"),
        (Flaw.SCREEN_NUL, "$screen_name", "Ho\0me"),
        (Flaw.SCREEN_HEIGHT_ZERO, "$screen_height", 0),
        (Flaw.APP_VERSION_NUMBER, "$app_version", 1.14),
        (Flaw.CITY_NUMBER, "$geoip_city_name", 29),
        (Flaw.SESSION_ID_NULL, "$session_id", None),
        (Flaw.SESSION_ID_NUMBER, "$session_id", 1736038811),
    ],
)
def test_one_value_is_unusual_and_all_others_stay(flaw: Flaw, key: str, value: object) -> None:
    changed = PATCHES[flaw](TEXT)
    assert changed is not None
    assert json.loads(changed) == json.loads(TEXT) | {key: value}


@pytest.mark.parametrize("flaw", [Flaw.PROPERTIES_NOT_JSON, Flaw.PROPERTIES_TRUNCATED, Flaw.PROPERTIES_BLANK])
def test_properties_that_are_no_json(flaw: Flaw) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(PATCHES[flaw](TEXT) or "")


def test_properties_that_are_no_object() -> None:
    assert json.loads(PATCHES[Flaw.PROPERTIES_ARRAY](TEXT) or "") == [json.loads(TEXT)]


def test_properties_that_are_not_there_or_lack_their_session() -> None:
    assert PATCHES[Flaw.PROPERTIES_NULL](TEXT) is None
    lacking = PATCHES[Flaw.SESSION_ID_ABSENT](TEXT)
    assert lacking is not None
    assert json.loads(lacking) == {key: value for key, value in json.loads(TEXT).items() if key != "$session_id"}


def test_rows_of_other_libraries_have_their_own_names_and_sessions() -> None:
    assert {*NAMES} == {*OTHER_LIBRARIES}
    found = {flaw: json.loads(PATCHES[flaw](TEXT) or "") for flaw in OTHER_LIBRARIES}
    assert [found[flaw]["$lib"] for flaw in OTHER_LIBRARIES] == ["web", "web", "posthog-node", "posthog-node"]
    assert found[Flaw.WEB_IN_APP]["$session_id"] == found[Flaw.NODE_WITH_SESSION]["$session_id"] == SESSION
    assert found[Flaw.WEB]["$session_id"] == "018f0000-0000-7000-8000-dcba00000000", "a browser has its own"
    assert "$session_id" not in found[Flaw.NODE]
