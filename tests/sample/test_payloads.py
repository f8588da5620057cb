"""What an event looks like: keys, their order and the types of values, as the SDKs send them."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from sample.dice import Dice
from sample.payloads import ANON_MARK, EMAIL_MARK, EMULATOR, EXPO_GO, Appearance, Payloads, join
from sample.timeline import EVENT, IDENTIFY, NAMES, SCREENS
from tests.sample.conftest import Sql, rows

#: What an SDK knows of device and app, in its order.
DEVICE = [
    *("$lib", "$lib_version", "$device_type", "$app_build", "$app_name", "$app_namespace"),
    *("$app_version", "$device_manufacturer", "$device_name", "$os_name", "$os_version"),
]
DEVICE_4 = [*DEVICE, "$is_emulator", "$locale", "$timezone", "$screen_height", "$screen_width"]
DEVICE_3 = [*DEVICE, "$screen_height", "$screen_width"]
TOUCH = ["$touch_x", "$touch_y"]
ELEMENTS = ["$session_id", "$event_type", "$elements"]
PROFILE = ["$session_id", "$process_person_profile", "$is_identified"]
FLAGS = "$active_feature_flags"
IDENTITY = ["$anon_distinct_id", "$set"]
KEYS = {
    ("$screen", 3): ["$screen_name", FLAGS, *DEVICE_3, "$session_id"],
    ("$screen", 4): [FLAGS, *DEVICE_4, "$screen_name", *PROFILE],
    ("$autocapture", 3): ["$screen_name", *TOUCH, FLAGS, *DEVICE_3, *ELEMENTS],
    ("$autocapture", 4): ["$screen_name", FLAGS, *DEVICE_4, *TOUCH, *ELEMENTS],
    ("$identify", 3): ["$screen_name", *IDENTITY, FLAGS, *DEVICE_3, "$session_id"],
    ("$identify", 4): [FLAGS, *DEVICE_4, "$screen_name", *IDENTITY, "$session_id"],
    ("Application Opened", 3): [*DEVICE_3, "$session_id"],
    ("Application Opened", 4): [*DEVICE_4, *PROFILE],
}


@pytest.mark.parametrize(("event", "sdk"), KEYS)
def test_keys_are_those_of_the_sdk_in_its_order(sql: Sql, event: str, sdk: int) -> None:
    texts = rows(sql, f"SELECT properties FROM usable WHERE event = '{event}' AND sdk = {sdk}")
    assert len(texts) > 50
    for text in texts:
        found = list(json.loads(text))
        sent = found[: found.index("$ip")]
        screen = "$screen_name" in sent  # not before the session's first `$screen`
        expected = [key for key in KEYS[event, sdk] if screen or key != "$screen_name"]
        assert [key for key in sent if not key.startswith("$feature/")] == expected
        added = found[len(sent) + 1 :]
        assert all(key.startswith("$geoip_") for key in added)
        assert len(added) in (0, 16)


def test_types_of_values(sql: Sql) -> None:
    kinds: dict[str, set[type]] = {}
    for text in rows(sql, "SELECT properties FROM usable LIMIT 20000"):
        for key, value in json.loads(text).items():
            kinds.setdefault(key, set()).add(type(value))
    assert kinds["$touch_x"] == kinds["$screen_height"] == {int, float}
    assert kinds["$touch_y"] == {int, float, str, bool}
    assert kinds["$app_build"] == kinds["$os_version"] == kinds["$session_id"] == {str}
    assert kinds["$is_emulator"] == kinds["$is_identified"] == {bool}
    assert kinds[FLAGS] == kinds["$elements"] == {list}


def look_of(sessions: int) -> Appearance:
    ids = np.arange(sessions)
    return Appearance.of(Dice(7), ids, ids % 10)


def test_a_persons_phone_stays_and_most_sessions_are_at_home() -> None:
    look = look_of(10_000)
    usual = look.device[look.device != EMULATOR]
    assert len({*zip((np.arange(10_000) % 10)[look.device != EMULATOR].tolist(), usual.tolist(), strict=True)}) == 10
    homes = [np.bincount(look.place[person::10]).max() / 1_000 for person in range(10)]
    assert all(0.9 < share < 1 for share in homes), "one session in 16 is away"
    assert (look.app == EXPO_GO).mean() == pytest.approx(1 / 60, rel=0.02)
    assert (look.device == EMULATOR).mean() == pytest.approx(1 / 90, rel=0.02)


def test_sessions_are_taken_in_any_order() -> None:
    look, rows = look_of(100), np.array([7, 3, 3])
    some = look.take(rows)
    assert some.app.tolist() == look.app[rows].tolist()
    assert some.is_4.tolist() == look.is_4[rows].tolist()


def test_every_payload_is_json_with_its_session_and_an_identification_has_its_marks() -> None:
    events = np.zeros(len(NAMES) * len(SCREENS), EVENT)
    events["sequence"] = np.arange(len(events))
    events["kind"] = np.arange(len(events)) % len(NAMES)
    events["screen"] = np.arange(len(events)) // len(NAMES)
    events["who"] = np.arange(len(events)) % 2
    payloads, look = Payloads(), look_of(len(events))
    member = pa.repeat('"$session_id":"s",', len(events))
    found = [json.loads(text) for text in payloads.properties(Dice(7), events, look, member).to_pylist()]
    assert {one["$session_id"] for one in found} == {"s"}
    for one, event in zip(found, events, strict=True):
        name = list(SCREENS)[event["screen"]]
        assert one.get("$screen_name", "") == name
        assert ("$set" in one) == (event["kind"] == IDENTIFY)
        if event["kind"] == IDENTIFY:
            assert (one["$anon_distinct_id"], one["$set"]["email"]) == (ANON_MARK, EMAIL_MARK)
    addresses = payloads.ip(look).to_pylist()
    assert [one["$ip"] for one in found] == addresses


def test_texts_are_joined_row_by_row() -> None:
    assert join("<", pa.array(["a", "b"]), ">").to_pylist() == ["<a>", "<b>"]
