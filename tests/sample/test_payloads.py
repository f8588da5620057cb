"""What an event looks like: keys, their order and the types of values, as the SDKs send them."""

from __future__ import annotations

import json

import pytest

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
