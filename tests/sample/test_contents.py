"""What a sample contains: every kind of session, user, event and flaw."""

from __future__ import annotations

from pathlib import Path

import pytest

from sample import EXCLUDED_IDS
from sample.timeline import NAMES, SCREENS
from tests.sample.conftest import Sql, rows

# --- what a sample contains: (expected, query), the value between the two numbers

LIKE = "SELECT count(*) FROM events WHERE properties LIKE '%{}%'".format
WHERE = "SELECT count(*) FROM events WHERE {}".format
VISITS = "SELECT count(*) FROM visits WHERE {}".format
USERS = "SELECT count(*) FROM users WHERE {}".format
SOCIAL = """SELECT count(DISTINCT (social.createdAt, user_id))
    FROM social JOIN (SELECT user_id, phoneNumber FROM users) USING (user_id)
    JOIN usable ON distinct_id IN (user_id, phoneNumber)
    JOIN visits USING (session_id) WHERE social.createdAt {}""".format
COPIES = """SELECT count(*) FROM (SELECT
      count(*) AS n, count(DISTINCT (properties, timestamp)) AS d,
      max(bq_ingested_timestamp) - min(bq_ingested_timestamp) AS later
    FROM usable GROUP BY uuid HAVING n > 1) WHERE n = 2 AND d = 1 AND later BETWEEN {}""".format
LATE = """SELECT count(*) FROM (SELECT session_id, count(*) AS n, count(*) FILTER (
      arrival > timestamp + INTERVAL 3 HOURS) AS late FROM (SELECT session_id, uuid, timestamp,
      min(bq_ingested_timestamp) AS arrival FROM usable GROUP BY ALL) GROUP BY ALL)
    WHERE {}""".format
ACCOUNTS = """SELECT count(*) FROM (SELECT count(DISTINCT user_id) AS n, phoneNumber FROM users
    WHERE phoneNumber <> '' GROUP BY phoneNumber) WHERE n > 1"""
INVITES = """SELECT count(DISTINCT event_id) FROM invites
    {} JOIN (SELECT DISTINCT document_id AS named FROM social) ON event_id = named""".format
NAMED = """SELECT count(DISTINCT document_id) FROM usable JOIN social
    ON document_id = json_extract_string(properties, '$.event_id') WHERE event = '{}'""".format
VERSIONS = """SELECT count(*) FROM (SELECT document_id FROM social
    GROUP BY document_id HAVING count(DISTINCT {}) > 1)""".format
ABSENT = "SELECT count(*) FROM visits ANTI JOIN sessions USING (session_id)"
STALE = "SELECT count(*) FROM visits JOIN sessions USING (session_id) WHERE end_timestamp < last"
TWICE = "SELECT count(*) - count(DISTINCT session_id) FROM sessions"
SEEN = "SELECT distinct_id FROM usable"

#: Conditions and texts in `properties` of flaws, ten each in 50,000 events.
MAIN_FLAWS = [
    "properties LIKE '{\"%' AND properties NOT LIKE '%}'", "properties LIKE '{''%'",
    "properties LIKE '[%'", "distinct_id IS NULL", "uuid IS NULL", "timestamp IS NULL",
    "timestamp = '1970-01-01'", "timestamp = '2099-01-01'",
    "properties LIKE '%act-native%}' AND properties NOT LIKE '%$session_id%'", "properties IS NULL",
]  # fmt: skip
MAIN_FLAWS_TEXTS = [
    '"$touch_y":"402.33"', '"$touch_y":true', r'"$screen_name":"Chat \ud83d"',
    '"$screen_name":"Party 🎉"', '"$app_version":1.14,',
]  # fmt: skip
RARE_FLAWS = [
    "properties = ''", "trim(distinct_id) = ''", "event IS NULL",
    "timestamp - bq_ingested_timestamp = INTERVAL 3 DAYS", "strlen(properties) > 4000",
]  # fmt: skip
RARE_FLAWS_TEXTS = [
    '"$session_id":null,', '"$session_id":1736038811,', '"$screen_height":NaN,',
    '"$screen_height":0,', '"$touch_y":1288.5', '"$touch_y":-3.3333332538604736',
    r'"$screen_name":"Ho\u0000me"', '"$geoip_city_name":29,',
]  # fmt: skip
MAIN_FLAWS += [f"contains(properties, '{text}')" for text in MAIN_FLAWS_TEXTS]
RARE_FLAWS += [f"contains(properties, '{text}')" for text in RARE_FLAWS_TEXTS]
#: Found even among 1,000 events: (at least in 1,000, at least and at most in 50,000), query.
MAIN_KINDS = [
    ((1, 600, 800), VISITS("known = 0 AND ids = 1")),
    ((5, 1_400, 1_700), VISITS("known = 1 AND ids = 1")),
    ((1, 150, 230), VISITS("known = 1 AND ids = 2")),  # log-in in mid-session
    ((1, 5, 20), VISITS("known = 2")),  # somebody else takes over
    ((1, 25, 60), VISITS("first::DATE < last::DATE")),
    ((1, 60, 250), VISITS("events = 1")),
    ((1, 450, 500), COPIES("INTERVAL 0 SECONDS AND INTERVAL 6 DAYS")),
    ((1, 20, 50), LATE("late = n")),
    ((1, 20, 50), LATE("late BETWEEN 1 AND n - 1")),
    ((1, 200, 260), WHERE("event = '$pageview' AND properties LIKE '%$session_id%'")),
    ((1, 100, 130), LIKE('"$session_id":"%"$lib":"posthog-node"')),
    ((1, 3, 30), ACCOUNTS),
    ((1, 5, 60), USERS(f"coalesce(phoneNumber, '') NOT IN ({SEEN}) AND user_id NOT IN ({SEEN})")),
    ((1, 100, 400), USERS(f"phoneNumber IN ({SEEN})")),
    ((1, 20, 80), USERS(f"user_id IN ({SEEN})")),
    ((1, 90, 180), USERS("fullName IS NULL OR username IS NULL OR email IS NULL")),
    ((1, 150, 300), SOCIAL("BETWEEN first AND last")),
    ((1, 80, 200), ABSENT),
    ((1, 280, 420), INVITES("")),
    ((1, 6, 10), NAMED("view_event")),
    ((1, 6, 10), NAMED("join_event")),
    ((1, 50, 160), "SELECT count(*) FROM social WHERE startTime IS NULL AND eventDate IS NOT NULL"),
    ((1, 150, 350), "SELECT count(*) FROM social WHERE startTime > createdAt"),
    ((1, 30, 110), "SELECT count(*) FROM social WHERE startTime = createdAt"),
    ((1, 300, 500), WHERE("timestamp BETWEEN bq_ingested_timestamp AND bq_ingested_timestamp + INTERVAL 1 HOUR")),
    ((1, 200, 800), LIKE('"$is_emulator":true')),
    ((1, 500, 1_200), LIKE('"$app_namespace":"host.exp.')),
]
#: Found among 50,000 events.
RARE_KINDS = [
    ((150, 220), COPIES("INTERVAL 1 DAY AND INTERVAL 6 DAYS")),
    ((260, 340), COPIES("INTERVAL 1 SECOND AND INTERVAL 1 HOUR")),
    ((20, 20), WHERE("timestamp > bq_ingested_timestamp + INTERVAL 1 DAY")),
    ((100, 130), WHERE("properties LIKE '%posthog-node%' AND NOT properties LIKE '%$session_id%'")),
    ((140, 180), "SELECT count(*) - (SELECT count(*) FROM usable) FROM events"
                 " WHERE event IS NULL OR event NOT IN ('$pageview', 'event_reminder_sent')"),
    ((1_050, 1_250), "SELECT avg(strlen(properties)) FROM usable"),
    ((18, 22), "SELECT avg(events) FROM visits"),
    ((8, 14), "SELECT median(events) FROM visits"),
    ((250, 300), "SELECT max(events) FROM visits"),
    ((500, 1_300), "SELECT count(*) FROM (FROM usable WHERE bq_ingested_timestamp BETWEEN"
                   " timestamp + INTERVAL 3 HOURS AND timestamp + INTERVAL 2 DAYS)"),
    ((5, 60), SOCIAL("= first")),
    ((5, 60), SOCIAL("= last")),
    ((5, 60), SOCIAL("= first - INTERVAL 1 MICROSECOND")),
    ((5, 60), SOCIAL("= last + INTERVAL 1 MICROSECOND")),
    ((1, 10), "SELECT count(*) FROM social WHERE user_id IS NULL OR createdAt IS NULL"),
    ((1, 5), USERS("user_id IS NULL")),
    ((10, 45), INVITES("ANTI")),
    ((10, 50), VERSIONS("startTime")),
    ((2, 20), "SELECT count(*) FROM social WHERE document_id IS NULL"),
    ((2, 10), "SELECT count(user_id) - count(DISTINCT user_id) FROM users"),
    ((5, 60), USERS("email = '' OR trim(fullName) = ''")),
    ((5, 60), USERS("contactAccessGranted IS NULL")),
    ((5, 60), USERS("createdAt IS NULL")),
    ((80, 200), STALE),
    ((20, 30), TWICE),
    ((200, 500), "SELECT count(*) FROM sessions WHERE channel_type IS NULL"),
    ((50, 200), "SELECT count(*) FROM sessions WHERE is_bounce IS NULL"),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "query"), MAIN_KINDS)
def test_main_kinds(sql: Sql, small: Sql, expected: tuple[int, int, int], query: str) -> None:
    at_least, low, high = expected
    assert rows(small, query)[0] >= at_least
    assert low <= rows(sql, query)[0] <= high


@pytest.mark.parametrize("flaw", MAIN_FLAWS + RARE_FLAWS)
def test_flaws(sql: Sql, small: Sql, flaw: str) -> None:
    assert rows(sql, WHERE(flaw))[0] in (9, 10)  # a value may be missing where it should be odd
    assert rows(small, WHERE(flaw))[0] == (flaw in MAIN_FLAWS)


@pytest.mark.parametrize(("expected", "query"), RARE_KINDS)
def test_rare_kinds(sql: Sql, expected: tuple[int, int], query: str) -> None:
    assert expected[0] <= rows(sql, query)[0] <= expected[1]


def test_names_of_events_and_screens(small: Sql) -> None:
    assert set(rows(small, "SELECT DISTINCT event FROM usable")) == set(NAMES)
    screens = set(rows(small, """SELECT DISTINCT properties->>'$."$screen_name"' FROM usable"""))
    assert screens >= set(SCREENS) - {""}


def test_identify_names_the_anonymous_id(sql: Sql) -> None:
    pairs = rows(
        sql,
        """SELECT properties->>'$."$anon_distinct_id"', before, set FROM usable JOIN (
             SELECT session_id, min(distinct_id) AS before FROM usable
             WHERE length(distinct_id) = 36 GROUP BY session_id) USING (session_id)
           WHERE event = '$identify'""",
    )
    assert len(pairs) > 100
    assert all(anonymous == before and "@example.com" in set_ for anonymous, before, set_ in pairs)


def test_excluded_persons_have_sessions(small: Sql, warehouse: Path) -> None:
    assert (warehouse / "excluded_users.txt").read_text().splitlines() == list(EXCLUDED_IDS)
    assert len(set(EXCLUDED_IDS)) == 3
    assert set(EXCLUDED_IDS) <= set(rows(small, SEEN))
