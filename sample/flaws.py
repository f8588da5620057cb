"""What goes wrong: the imperfections of single events, on a fixed schedule.

Every flaw comes once in 5,000 events, the first ones of the list within the first 1,000, so that a
sample of 50,000 has all of them several times and a count never depends on luck. Rows of other
libraries are 1 % of all. Flaws of whole sessions (late arrival, several persons) are in `timeline`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import IntEnum, auto

import numpy as np

from sample.dice import Flags, Ints

_PERIOD = 5_000
#: Every event with this remainder (of 100) is exported a second time.
_REPEATED = 42


class Flaw(IntEnum):
    """How an event's row differs from what the SDK and the ingestion made of it."""

    NONE = 0
    # rejected: the row or its session cannot be known
    PROPERTIES_NULL = auto()
    PROPERTIES_TRUNCATED = auto()
    DISTINCT_ID_NULL = auto()
    SESSION_ID_ABSENT = auto()
    TIMESTAMP_NULL = auto()
    TIMESTAMP_2099 = auto()
    UUID_NULL = auto()
    PROPERTIES_NOT_JSON = auto()
    PROPERTIES_ARRAY = auto()
    TIMESTAMP_1970 = auto()
    # kept: one value is unusual
    TOUCH_Y_TEXT = auto()
    SCREEN_LONE_SURROGATE = auto()
    SCREEN_EMOJI = auto()
    TOUCH_Y_BOOLEAN = auto()
    APP_VERSION_NUMBER = auto()
    # the same two groups again: too rare for the first 1,000 events
    PROPERTIES_BLANK = auto()
    DISTINCT_ID_BLANK = auto()
    SESSION_ID_NULL = auto()
    SESSION_ID_NUMBER = auto()
    CLOCK_AHEAD = auto()
    EVENT_NULL = auto()
    SCREEN_HEIGHT_NAN = auto()
    SCREEN_HEIGHT_ZERO = auto()
    TOUCH_BELOW_SCREEN = auto()
    TOUCH_ABOVE_SCREEN = auto()
    SCREEN_LONG = auto()
    SCREEN_NUL = auto()
    CITY_NUMBER = auto()
    # rows of other libraries
    WEB = auto()
    WEB_IN_APP = auto()
    NODE = auto()
    NODE_WITH_SESSION = auto()


OTHER_LIBRARIES = (Flaw.WEB, Flaw.WEB_IN_APP, Flaw.NODE, Flaw.NODE_WITH_SESSION)
#: Flaws of which a pipeline has to keep the row. A bare NaN is not JSON, so it is not among them.
KEPT = (
    Flaw.TOUCH_Y_TEXT,
    Flaw.SCREEN_LONE_SURROGATE,
    Flaw.SCREEN_EMOJI,
    Flaw.TOUCH_Y_BOOLEAN,
    Flaw.APP_VERSION_NUMBER,
    Flaw.SCREEN_HEIGHT_ZERO,
    Flaw.TOUCH_BELOW_SCREEN,
    Flaw.TOUCH_ABOVE_SCREEN,
    Flaw.SCREEN_LONG,
    Flaw.SCREEN_NUL,
    Flaw.CITY_NUMBER,
)
#: Flaws that need a touch, and those that need a screen name: the event is made to have one.
ON_TOUCH = tuple(flaw for flaw in Flaw if flaw.name.startswith(("TOUCH_", "SCREEN_HEIGHT_")))
ON_SCREEN = tuple(flaw for flaw in Flaw if flaw.name.startswith("SCREEN_") and flaw not in ON_TOUCH)


def _schedule() -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    plan = np.zeros(_PERIOD, np.uint8)
    for number, place in enumerate(range(71, _PERIOD, 100)):
        plan[place] = OTHER_LIBRARIES[number % len(OTHER_LIBRARIES)]
    first_place = 60
    for flaw in Flaw:
        if flaw is Flaw.NONE or flaw in OTHER_LIBRARIES:
            continue
        place = first_place + (flaw - 1) * (62 if flaw <= Flaw.APP_VERSION_NUMBER else 99)
        if plan[place] or place % 100 == _REPEATED:
            place += 1
        plan[place] = flaw
    return plan


_PLAN = _schedule()


def flaws(sequence: Ints) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """The flaw of each event by its number."""
    return _PLAN[sequence % _PERIOD]


def is_repeated(sequence: Ints) -> Flags:
    """Which events are exported twice (1 %)."""
    return np.asarray(sequence % 100 == _REPEATED)


def is_lost(flaw: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> Flags:
    """Which events do not count towards their session: rejected, or of another library."""
    return np.isin(flaw, (Flaw.NONE, *KEPT), invert=True)


def _value(key: str, value: str) -> Callable[[str], str]:
    """Put a JSON value in the place of a key's."""
    pattern = re.compile(rf'"{re.escape(key)}":(?:"[^"]*"|[^,}}]+)')
    return lambda text: pattern.sub(lambda _: f'"{key}":{value}', text, count=1)


def _without_session(text: str) -> str:
    return re.sub(r'"\$session_id":"[^"]*",?', "", text, count=1)


def _tail(text: str, key: str) -> str:
    return text[text.index(f'"{key}"') :]


def _session(text: str) -> str:
    found = re.search(r'"\$session_id":"[^"]*",', text)
    return found.group() if found else ""


def _web(text: str) -> str:
    return (
        '{"$os":"Mac OS X","$os_version":"10.15.7","$browser":"Chrome","$device_type":"Desktop",'
        '"$current_url":"https://app.example.com/e/evt_0007","$host":"app.example.com",'
        '"$pathname":"/e/evt_0007","$browser_version":131,"$screen_height":1080,'
        '"$screen_width":1920,"$viewport_height":947,"$viewport_width":1728,"$lib":"web",'
        f'"$lib_version":"1.205.0",{_session(text)}"$lib_custom_api_host":null,{_tail(text, "$ip")}'
    )


def _own_session(text: str) -> str:
    """A browser outside the app has a session of its own: the last group of the id is reversed."""
    session = _session(text)
    head, group = session[:-14], session[-14:-2]
    return _web(text).replace(session, f'{head}{group[::-1]}",')


def _node(session: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: (
        '{"event_id":"evt_0007","channel":"push","$geoip_disable":true,'
        f'{session(text)}"$lib":"posthog-node","$lib_version":"4.2.1"}}'
    )


#: How a flaw changes the text of `properties`; flaws of other columns are not here.
PATCHES: dict[Flaw, Callable[[str], str | None]] = {
    Flaw.PROPERTIES_NULL: lambda _: None,
    Flaw.PROPERTIES_BLANK: lambda _: "",
    Flaw.PROPERTIES_NOT_JSON: lambda text: text.replace('"', "'"),
    Flaw.PROPERTIES_ARRAY: lambda text: f"[{text}]",
    Flaw.PROPERTIES_TRUNCATED: lambda text: text[: len(text) * 2 // 3],
    Flaw.SESSION_ID_ABSENT: _without_session,
    Flaw.SESSION_ID_NULL: _value("$session_id", "null"),
    Flaw.SESSION_ID_NUMBER: _value("$session_id", "1736038811"),
    Flaw.TOUCH_Y_TEXT: _value("$touch_y", '"402.33"'),
    Flaw.TOUCH_Y_BOOLEAN: _value("$touch_y", "true"),
    Flaw.TOUCH_BELOW_SCREEN: _value("$touch_y", "1288.5"),
    Flaw.TOUCH_ABOVE_SCREEN: _value("$touch_y", "-3.3333332538604736"),
    Flaw.SCREEN_LONE_SURROGATE: _value("$screen_name", r'"Chat \ud83d"'),
    Flaw.SCREEN_EMOJI: _value("$screen_name", '"Party 🎉"'),
    Flaw.SCREEN_LONG: _value("$screen_name", f'"Event Details {"é" * 2_000}"'),
    Flaw.SCREEN_NUL: _value("$screen_name", r'"Ho\u0000me"'),
    Flaw.SCREEN_HEIGHT_NAN: _value("$screen_height", "NaN"),
    Flaw.SCREEN_HEIGHT_ZERO: _value("$screen_height", "0"),
    Flaw.APP_VERSION_NUMBER: _value("$app_version", "1.14"),
    Flaw.CITY_NUMBER: _value("$geoip_city_name", "29"),
    Flaw.WEB: _own_session,
    Flaw.WEB_IN_APP: _web,
    Flaw.NODE: _node(lambda _: ""),
    Flaw.NODE_WITH_SESSION: _node(_session),
}
#: The event names of other libraries' rows.
NAMES = {
    Flaw.WEB: "$pageview",
    Flaw.WEB_IN_APP: "$pageview",
    Flaw.NODE: "event_reminder_sent",
    Flaw.NODE_WITH_SESSION: "event_reminder_sent",
}
