"""What an event looks like: `properties` as the React Native SDK sends them and ingestion adds to.

Keys, their order and the types of values are those of two SDK generations, 3.x and 4.x, whose
payloads differ in order (3.x puts an event's own properties first) and in five keys. A payload is
eight pieces of text, all but the session id from a pool made once: an event is a row of indices
into the pool, and joining the pieces is Arrow's work. No event is formatted as JSON on its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sample.dice import Dice, Flags, Ints
from sample.timeline import (
    AUTOCAPTURE,
    IDENTIFY,
    INSTALLED,
    NAMES,
    OPENED,
    SCREENS,
    Events,
)

#: Stand in the text of `$identify` for what is filled in for each one.
ANON_MARK, EMAIL_MARK = "@anonymous@", "@email@"

#: version, build, SDK
_APPS = (
    ("1.12.0", "208", "3.16.1"),
    ("1.13.1", "219", "3.16.1"),
    ("1.14.2", "231", "4.78.0"),
    ("1.15.0", "240", "4.78.0"),
    ("54.0.6", "54000006", "4.78.0"),  # of Expo Go, in which developers run what they work on
)
EXPO_GO = len(_APPS) - 1
_EXPO_GO_IDS = {"Android": "host.exp.exponent", "iOS": "host.exp.Exponent"}
#: Which of `_APPS` run the 4.x SDK.
_IS_4 = np.array([app[2].startswith("4") for app in _APPS])
_APP_MIX = np.repeat(np.arange(EXPO_GO), (1, 3, 4, 2))

#: manufacturer, name, OS, version, height and width in points
_DEVICES = (
    ("Apple", "iPhone 15", "iOS", "18.3", 852, 393),
    ("Apple", "iPhone 14 Pro Max", "iOS", "17.6.1", 932, 430),
    ("Apple", "iPhone 13", "iOS", "18.1", 844, 390),
    ("Apple", "iPhone 11", "iOS", "17.4", 896, 414),
    ("Apple", "iPhone SE", "iOS", "16.7", 667, 375),
    ("Google", "Pixel 8", "Android", "14", 914.2857142857143, 411.42857142857144),
    ("samsung", "SM-S911U", "Android", "15", 780, 360),
    ("samsung", "SM-A546E", "Android", "14", 891.4285888671875, 411.4285583496094),
    ("OnePlus", "CPH2449", "Android", "13", 919.6363636363636, 411.6363636363636),
    ("motorola", "moto g power", "Android", "13", 866.2857142857143, 411.42857142857144),
    ("Google", "sdk_gphone64_arm64", "Android", "16", 914.2857142857143, 411.42857142857144),
)
EMULATOR = len(_DEVICES) - 1

#: city, region, its code, postal code, country code, latitude, longitude, time zone, locale
_PLACES = (
    "New York|New York|NY|10001|US|40.7503|-73.9967|America/New_York|en-US",
    "Philadelphia|Pennsylvania|PA|19104|US|39.9597|-75.2024|America/New_York|en-US",
    "Atlanta|Georgia|GA|30303|US|33.7525|-84.3888|America/New_York|en-US",
    "Boston|Massachusetts|MA|02118|US|42.3388|-71.0765|America/New_York|en-US",
    "Chicago|Illinois|IL|60602|US|41.8835|-87.6305|America/Chicago|en-US",
    "Austin|Texas|TX|78701|US|30.2713|-97.7426|America/Chicago|en-US",
    "Denver|Colorado|CO|80202|US|39.7521|-104.9981|America/Denver|en-US",
    "Los Angeles|California|CA|90012|US|34.0614|-118.2385|America/Los_Angeles|en-US",
    "San Francisco|California|CA|94107|US|37.7697|-122.3933|America/Los_Angeles|es-US",
    "Toronto|Ontario|ON|M5V|CA|43.6429|-79.3963|America/Toronto|en-CA",
    "Montréal|Quebec|QC|H2Y|CA|45.5057|-73.5550|America/Toronto|fr-CA",
    "Ciudad de México|Mexico City|CMX|06000|MX|19.4285|-99.1277|America/Mexico_City|es-MX",
    "São Paulo|São Paulo|SP|01000|BR|-23.5475|-46.6361|America/Sao_Paulo|pt-BR",
    "London|England|ENG|EC1A|GB|51.5128|-0.0638|Europe/London|en-GB",
    "Zürich|Zurich|ZH|8001|CH|47.3729|8.5410|Europe/Zurich|de-CH",
    "|||||||Europe/Madrid|es-ES",  # an address that is in no database
)
_COUNTRIES = {
    "US": ("United States", "NA", "North America"),
    "CA": ("Canada", "NA", "North America"),
    "MX": ("Mexico", "NA", "North America"),
    "BR": ("Brazil", "SA", "South America"),
    "GB": ("United Kingdom", "EU", "Europe"),
    "CH": ("Switzerland", "EU", "Europe"),
}
_ADDRESSES = 12  # of each place

_FLAGS: dict[str, object] = {"new-discover": "treatment", "quiz-v2": True}
_FLAG_SETS: tuple[dict[str, object] | None, ...] = (None, {}, _FLAGS)
_VARIANTS = 16  # of an event's own properties
_TOUCHES = 1_024  # on each device

_VIEW = {"tag_name": "View", "attr__style": "flex:1"}
_ELEMENTS: tuple[list[dict[str, str]], ...] = (
    [
        {"tag_name": "Pressable", "attr__testID": "join-btn", "attr__accessibilityLabel": "Join"},
        {"tag_name": "EventCard", "attr__style": "flex:1"},
        {"tag_name": "HomeScreen"},
    ],
    [{"tag_name": "Text", "$el_text": "See who is going"}, {"tag_name": "Pressable"}],
    [{"tag_name": "ScrollView", "attr__style": "flex:1"}, {"tag_name": "DiscoverScreen"}],
    [
        {
            "tag_name": "Image",
            "attr__accessibilityLabel": "Avatar",
        },
        {"tag_name": "Row", "attr__style": "flexDirection:row;padding:12"},
        {"tag_name": "ProfileScreen"},
    ],
    [
        {
            "tag_name": "special-text",
            "attr__testID": "rsvp-label",
            "attr__ph-label": "special-text",
            "$el_text": 'Tap "Going" and everyone on the list hears that you will be there',
        },
        {"tag_name": "higher-level-element", "attr__ph-label": "higher-level-element"},
        {"tag_name": "ScrollView", "attr__style": "flex:1"},
        {"tag_name": "EventDetailsScreen"},
        {"tag_name": "StaticContainer"},
        {"tag_name": "EnsureSingleNavigator"},
        {"tag_name": "SceneView"},
        _VIEW,
        {"tag_name": "View", "attr__style": "flex:1;flexDirection:column-reverse"},
        {"tag_name": "Background", "attr__style": "flex:1;flexDirection:column-reverse"},
        {"tag_name": "Screen"},
        {
            "tag_name": "AnimatedComponent",
            "attr__style": "position:absolute;left:0;right:0;top:0;bottom:0;zIndex:0",
        },
        {"tag_name": "MaybeFreeze"},
        {"tag_name": "Screen", "attr__style": "position:absolute;left:0;right:0;top:0;bottom:0"},
        {"tag_name": "ScreenContainer", "attr__style": "flex:1;overflow:hidden"},
        {"tag_name": "MaybeScreenContainer", "attr__style": "flex:1;overflow:hidden"},
    ],
)
_ELEMENT_MIX = np.repeat(np.arange(len(_ELEMENTS)), (5, 5, 3, 2, 1))


def _fields(values: dict[str, object]) -> str:
    """The members of a JSON object as JavaScript writes them, with a comma after each."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))[1:-1]
    return text and f"{text},"


@dataclass(frozen=True)
class Appearance:
    """What the events of a session have in common, one entry a session."""

    app: Ints
    device: Ints
    flags: Ints
    place: Ints
    address: Ints

    @classmethod
    def of(cls, dice: Dice, session: Ints, person: Ints) -> Appearance:
        """A person's phone and home stay the same; apps are updated, one session in 16 is away.

        One session in 60 is in Expo Go, one in 90 on an emulator.
        """
        home = dice.below("person/place", person, len(_PLACES) * 4)
        home = np.where(home < len(_PLACES), home, home % 8)  # most in the United States
        away = dice.below("session/away", session, 16 * len(_PLACES))
        return cls(
            np.where(session % 60 == 7, EXPO_GO, _APP_MIX[dice.below("session/app", session, len(_APP_MIX))]),
            np.where(session % 90 == 7, EMULATOR, dice.below("person/device", person, EMULATOR)),
            1 + (dice.below("person/flags", person, 4) == 0),
            np.where(away < len(_PLACES), away, home),
            dice.below("session/address", session, _ADDRESSES),
        )

    @property
    def is_4(self) -> Flags:
        """Whether the SDK is of the 4.x generation."""
        return np.asarray(_IS_4[self.app])

    def take(self, rows: Ints) -> Appearance:
        """These sessions, in this order."""
        columns = (self.app, self.device, self.flags, self.place, self.address)
        return Appearance(*(column[rows] for column in columns))


class Payloads:
    """The pool of text pieces, and where in it each one is."""

    def __init__(self) -> None:
        self._pieces = [""]
        names = [f'"$screen_name":"{name}",' if name else "" for name in SCREENS]
        self._screen = self._add(names)
        self._opening = self._add("{" + name for name in names)
        self._body = self._add(
            _body(app, device, place, flags)
            for app in _APPS
            for device in _DEVICES
            for place in _PLACES
            for flags in _FLAG_SETS
        ).reshape(len(_APPS), len(_DEVICES), len(_PLACES), len(_FLAG_SETS))
        touches = [touch for device in _DEVICES for touch in _touches(device[4], device[5])]
        self._touch = self._add(touches).reshape(len(_DEVICES), _TOUCHES)
        own = product((False, True), NAMES, range(_VARIANTS))
        self._own = self._add(_own(*event) for event in own).reshape(2, len(NAMES), _VARIANTS)
        self._profile = self._add(
            _fields({"$process_person_profile": known, "$is_identified": known}) for known in (False, True)
        )
        self._elements = self._add(_fields({"$event_type": "touch", "$elements": elements}) for elements in _ELEMENTS)
        addresses = list(product(range(len(_PLACES)), range(_ADDRESSES)))
        self._location = self._add(_location(*address) for address in addresses)
        self._ip = pa.array([_ip(*address) for address in addresses])
        self._pool = pa.array(self._pieces, pa.string())

    def _add(self, pieces: Iterable[str]) -> Ints:
        start = len(self._pieces)
        self._pieces.extend(pieces)
        return np.arange(start, len(self._pieces))

    def ip(self, look: Appearance) -> pa.StringArray:
        """The `ip` column for events that look like this."""
        return self._ip.take(look.place * _ADDRESSES + look.address)

    def properties(
        self, dice: Dice, events: Events, look: Appearance, session_member: pa.StringArray
    ) -> pa.StringArray:
        """Properties text, an entry an event; `session_member` is `"$session_id":"…",` of each."""
        kind, sequence = events["kind"], events["sequence"]
        is_4, touched = look.is_4, kind == AUTOCAPTURE
        screen_first = ~is_4 | touched
        screen = np.where(events["screen"] > 0, self._screen[events["screen"]], 0)
        touch = self._touch[look.device, dice.below("event/touch", sequence, _TOUCHES)]
        own = self._own[is_4.astype(np.intp), kind, dice.below("event/variant", sequence, _VARIANTS)]
        own = np.where(touched, touch, own)
        before_flags = (kind == INSTALLED) | (kind == OPENED)
        flags = np.where(before_flags, 0, look.flags)
        element = _ELEMENT_MIX[dice.below("event/element", sequence, len(_ELEMENT_MIX))]
        profile = self._profile[(events["who"] > 0).astype(np.intp)]
        profile = np.where(is_4 & (kind != IDENTIFY), profile, 0)
        pieces = [
            self._opening[np.where(screen_first, events["screen"], 0)],
            np.where(is_4, 0, own),
            self._body[look.app, look.device, look.place, flags],
            np.where(screen_first, 0, screen),
            np.where(is_4, own, 0),
            session_member,
            np.where(touched, self._elements[element], profile),
            self._location[look.place * _ADDRESSES + look.address],
        ]
        columns = [self._pool.take(piece) if isinstance(piece, np.ndarray) else piece for piece in pieces]
        return join(*columns)


def join(*texts: pa.StringArray | str) -> pa.StringArray:
    """Concatenate texts row by row; a str is the same in every row."""
    joined: pa.StringArray = pc.call_function("binary_join_element_wise", [*texts, ""])
    return joined


def _body(
    app: tuple[str, str, str],
    device: tuple[str, str, str, str, float, float],
    place: str,
    flags: dict[str, object] | None,
) -> str:
    """The members that all events of a session have."""
    version, build, sdk = app
    manufacturer, name, system, system_version, height, width = device
    zone, locale = place.split("|")[-2:]
    values: dict[str, object] = {}
    if flags is not None:
        values["$active_feature_flags"] = list(flags)
        values |= {f"$feature/{flag}": value for flag, value in flags.items()}
    values |= {
        "$lib": "posthog-react-native",
        "$lib_version": sdk,
        "$device_type": "Mobile",
        "$app_build": build,
        "$app_name": "Expo Go" if app == _APPS[EXPO_GO] else "Demo",
        "$app_namespace": "com.example.demo" if app != _APPS[EXPO_GO] else _EXPO_GO_IDS[system],
        "$app_version": version,
        "$device_manufacturer": manufacturer,
        "$device_name": name,
        "$os_name": system,
        "$os_version": system_version,
    }
    if sdk.startswith("4"):
        values |= {"$is_emulator": device == _DEVICES[EMULATOR], "$locale": locale, "$timezone": zone}
    return _fields(values | {"$screen_height": height, "$screen_width": width})


def _touches(height: float, width: float) -> list[str]:
    """Finger-up positions: whole points, hundredths, or 32-bit floats that JavaScript widened."""
    ids = np.arange(_TOUCHES) + round(height) * _TOUCHES
    dice = Dice(0)

    def numbers(stream: str, limit: float) -> list[float]:
        values = (dice.share(stream, ids) * limit).tolist()
        forms = dice.below(f"{stream}/form", ids, 10).tolist()
        return [
            int(value) if form < 3 else round(value, 2) if form < 7 else float(np.float32(value))
            for value, form in zip(values, forms, strict=True)
        ]

    pairs = zip(numbers("x", width), numbers("y", height), strict=True)
    return [f'"$touch_x":{x},"$touch_y":{y},'.replace(".0,", ",") for x, y in pairs]


def _own(is_4: bool, name: str, variant: int) -> str:
    """An event's own members, for one of its variants."""
    event: dict[str, object] = {"event_id": f"evt_{variant * 37:04d}"}
    error = {"type": "Error", "value": "Network request failed", "mechanism": {"handled": True}}
    exception: dict[str, object] = {"$exception_list": [error], "$exception_level": "error"}
    by_name: dict[str, dict[str, object]] = {
        "$identify": {
            "$anon_distinct_id": ANON_MARK,
            "$set": {"email": EMAIL_MARK, "plan": "free"},
        },
        "$feature_flag_called": {
            "$feature_flag": "quiz-v2",
            "$feature_flag_response": variant % 2 == 0,
            "$used_bootstrap_value": False,
        },
        "$exception": exception if is_4 else dict(reversed(exception.items())),
        "view_event": event | {"source": ("discover", "home")[variant % 2], "rank": variant},
        "join_event": event | {"guests": variant % 4, "is_free": variant % 3 > 0},
        "click_invite_to_event": event,
        "start_quiz": {"quiz": "who-comes-along", "question_count": 8},
        "finish_quiz": {"quiz": "who-comes-along", "score": variant, "duration_ms": 34_211},
        "invite_friends": {"count": variant + 1, "channel": "sms"},
        "send_invite_to_event": event | {"count": variant % 5 + 1, "channel": "sms"},
        "invite_friends_for_report": {"report": "compatibility", "count": variant % 3},
        "contacts_enabled": {"granted": True, "contact_count": 40 + 19 * variant},
        "Enable Contacts Pressed": {"from": "onboarding"},
        "send_message": {"length": 11 * variant, "tags": ["text", "emoji"][: variant % 3]},
    }
    if is_4 and variant % 8 == 0:
        by_name["$feature_flag_called"] = {
            "$feature_flag": "checkout-v2",
            "$used_bootstrap_value": False,
            "$feature_flag_error": "flag_missing",
        }
    return _fields(by_name.get(name, {}))


def _ip(place: int, number: int) -> str:
    """An address of one of the three networks that are reserved for documentation."""
    network = ("192.0.2", "198.51.100", "203.0.113")[place % 3]
    return f"{network}.{place // 3 * _ADDRESSES + number + 1}"


def _location(place: int, number: int) -> str:
    """What ingestion adds, up to the closing brace."""
    city, region, code, postal, country, latitude, longitude, zone, _ = _PLACES[place].split("|")
    values: dict[str, object] = {"$ip": _ip(place, number)}
    if city:
        country_name, continent, continent_name = _COUNTRIES[country]
        values |= {
            "$geoip_city_name": city,
            "$geoip_city_confidence": None,
            "$geoip_subdivision_1_name": region,
            "$geoip_subdivision_1_code": code,
            "$geoip_subdivision_1_confidence": None,
            "$geoip_country_name": country_name,
            "$geoip_country_code": country,
            "$geoip_country_confidence": None,
            "$geoip_continent_name": continent_name,
            "$geoip_continent_code": continent,
            "$geoip_postal_code": postal,
            "$geoip_postal_code_confidence": None,
            "$geoip_latitude": float(latitude),
            "$geoip_longitude": float(longitude),
            "$geoip_accuracy_radius": (1, 5, 20, 50)[number % 4],
            "$geoip_time_zone": zone,
        }
    return _fields(values).rstrip(",") + "}"
