"""The law as a machine: whatever happens between runs, an incremental run ends where a full load would.

On the pure functions, with `tests.pure.Model`, which merges only rows that changed; `test_history` plays a smaller
copy through the pipeline. Sessions that a run lists as waiting may differ until a backfill of the day that the ledger
names; then nothing may differ.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.errors import RunError
from pipeline.plan import Request
from tests.builders import SMALL_METRICS, at, event
from tests.pure import Model
from transforms.ids.pseudonyms import Pseudonyms
from transforms.incremental.watermark import SUPPORT
from transforms.metrics.privacy import Privacy

HOUR = 3_600
DAY = 24 * HOUR
PHONES = [f"+1201555010{n}" for n in range(2)]
IDS = ["anon-0", *PHONES]
#: Hours between an event and its arrival: within the lateness, or far beyond it.
DELAYS = st.sampled_from([0, 0, 0, 1, 30, 60, 70, 100, 300])
NAMES = st.sampled_from(["tap", "buy", "x"])
#: What the link of social events can name: screens of the events.
DOCUMENTS = ["tap", "buy", "buy, corrected"]
SESSIONS = st.integers(0, 4)
_OF_OTHERS = {"session_number", "is_first_session", "previous_session_end", "seconds_since_previous_session"}
USERS = st.integers(0, 2)
PSEUDONYMS = Pseudonyms(Privacy(identity="hash", fullName="drop"), b"k" * 32)


class Runs(RuleBasedStateMachine):
    """A source that changes, and a warehouse that is run incrementally over it."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[Any, Any] = {}
        self.model = self.published_by_nobody()
        self.now = 100.0 * DAY
        self.begins: dict[int, float] = {}
        self.events: list[dict[str, Any]] = []
        self.users: dict[int, dict[str, Any]] = {}
        self.social: list[dict[str, Any]] = []
        self.acquisition: dict[str, dict[str, Any]] = {}
        self.invites: dict[int, dict[str, Any]] = {}
        self.numbers = 0
        self.steps = 0

    def published_by_nobody(self) -> Any:
        """Where runs can publish, without a run; `tests.pure.Model`, or what has its interface."""
        return Model(SMALL_METRICS, known=self.known)

    # the source

    @initialize()
    def begin(self) -> None:
        """Sessions of long ago and of today, one of them of several days, what they are about, and a first run."""
        for session, (age, hours) in enumerate([(20, 2), (12, 200), (3, 20), (0, 0)]):
            self.begins[session] = self.now - (age + 1) * DAY
            for inside in (0, hours):
                seconds = self.begins[session] + inside * HOUR
                # of a person who is excluded a longer session than the SDKs make can't be known from a part
                who = IDS[(session + (inside if hours <= 24 else 0)) % len(IDS)]
                deed = {"name": "buy" if inside else "tap", "properties": {"$screen_name": DOCUMENTS[session % 2]}}
                row = self.event(f"s{session}", distinct_id=who, seconds=seconds, arrives=seconds + 60, **deed)
                self.events.append(row)
        self.sign_up(user=0, phone=None, name="Ann")
        for session, document in enumerate(DOCUMENTS[:2]):
            self.create(user=0, session=session, document=document, lead=session)
        self.pulse()
        self.run(settle=True)

    @invariant()
    def night_falls(self) -> None:
        """After every second step there is a run; not every one is followed by backfills, or by much that is new."""
        self.steps += 1
        if self.steps % 2 == 0:
            self.run(settle=self.steps % 3 == 0, pulse=self.steps % 5 != 0)

    def pulse(self) -> None:
        """So many events that the watermark comes to the present."""
        self.events += [
            self.event(f"pulse-{self.now}", seconds=self.now - 60, arrives=self.now) for _ in range(SUPPORT)
        ]

    def event(self, session: str, **options: Any) -> dict[str, Any]:
        self.numbers += 1
        return event(self.numbers, session, **{"name": "tap", **options})

    @rule(hours=st.sampled_from([1, 24, 100, 200]))
    def wait(self, hours: int) -> None:
        self.now += hours * HOUR

    @rule(
        session=SESSIONS,
        who=st.sampled_from(IDS),
        name=NAMES,
        delay=DELAYS,
        inside=st.integers(0, 24),
        arrival=st.sampled_from(["now", "now", "now", "behind", "unknown", "ahead", "long ago"]),
        twice=st.booleans(),
    )
    def arrive(self, session: int, who: str, name: str, delay: int, inside: int, arrival: str, twice: bool) -> None:
        """An event of a new session, or one more of a session that can have begun long ago."""
        begin = self.begins.setdefault(session, self.now - (delay + 24) * HOUR)
        seconds = min(begin + inside * HOUR, self.now)
        moments = {"now": 0.0, "behind": 20.0 * HOUR, "ahead": -9_000.0 * DAY, "long ago": 500.0 * DAY}
        row = self.event(
            f"s{session}",
            name=name,
            distinct_id=who,
            seconds=seconds,
            arrives=self.now - moments.get(arrival, 0),
            properties={"$screen_name": name, "y": inside, "h": 24},
        )
        if arrival == "unknown" and seconds > self.now - 3 * DAY:
            row["bq_ingested_timestamp"] = None
        self.events += [row, row] if twice else [row]

    @precondition(lambda self: self.events)
    @rule(number=st.integers(0, 10**6), name=NAMES, moved=st.sampled_from([0, 0, -2, 2, -200]))
    def correct(self, number: int, name: str, moved: int) -> None:
        """An event comes again, with another content or time."""
        row = self.events[number % len(self.events)]
        content = json.loads(row["properties"]) | {"$screen_name": f"{name}, corrected"}
        moment = min(row["timestamp"] + timedelta(hours=moved), at(self.now))
        changes = {"timestamp": moment, "properties": json.dumps(content), "bq_ingested_timestamp": at(self.now)}
        self.events.append({**row, **changes})

    @rule(user=USERS, phone=st.sampled_from([None, *PHONES]), name=st.sampled_from([None, "Ann", "Bob"]))
    def sign_up(self, user: int, phone: str | None, name: str | None) -> None:
        """A new user, a changed profile, a number that changes hands, two users with one number."""
        self.users[user] = {"user_id": f"u{user}", "phoneNumber": phone, "fullName": name}

    @rule(user=USERS)
    def vanish(self, user: int) -> None:
        self.users.pop(user, None)

    @rule(
        user=USERS,
        session=SESSIONS,
        document=st.sampled_from([None, *DOCUMENTS]),
        lead=st.sampled_from([None, -1, 0, 30]),
    )
    def create(self, user: int, session: int, document: str | None, lead: int | None) -> None:
        """A social event at the beginning of a session, or outside of all; or another version of one."""
        moment = at(self.begins.get(session, 0))
        row = {"document_id": document, "user_id": f"u{user}", "createdAt": moment, "etl_loaded_at": at(self.now)}
        self.social.append(row | {"startTime": None if lead is None else moment + timedelta(hours=lead)})

    @precondition(lambda self: self.social)
    @rule(number=st.integers(0, 10**6))
    def uncreate(self, number: int) -> None:
        self.social.pop(number % len(self.social))

    @rule(
        number=st.integers(0, 3),
        user=USERS,
        session=SESSIONS,
        hours=st.sampled_from([0, 1, 30]),
        status=st.sampled_from(["invited", "accepted", "rejected", "maybe", None]),
        to=st.sampled_from([None, *DOCUMENTS]),
    )
    def invite(self, number: int, user: int, session: int, hours: int, status: str | None, to: str | None) -> None:
        """A user is invited on a day with sessions or another, answers, or the invite was another's."""
        moment = at(self.begins.get(session, 0) + hours * HOUR)
        row = {"document_id": f"i{number}", "user_id": f"u{user}", "createdAt": moment, "status": status}
        self.invites[number] = row | {"event_id": to}

    @precondition(lambda self: self.invites)
    @rule(number=st.integers(0, 3), status=st.sampled_from(["invited", "accepted", "rejected"]))
    def answer(self, number: int, status: str) -> None:
        """Only the status of an invite changes."""
        if number in self.invites:
            self.invites[number] = self.invites[number] | {"status": status}

    @rule(number=st.integers(0, 3))
    def uninvite(self, number: int) -> None:
        self.invites.pop(number, None)

    @rule(session=SESSIONS, channel=st.sampled_from([None, "Direct", "Referral"]), bounce=st.sampled_from([None, True]))
    def acquire(self, session: int, channel: str | None, bounce: bool | None) -> None:
        """PostHog's own session changes."""
        row = {"session_id": f"s{session}", "channel_type": channel, "is_bounce": bounce}
        self.acquisition[row["session_id"]] = row

    # runs

    @rule(who=st.sampled_from(IDS))
    def exclude(self, who: str) -> None:
        self.model.excluded |= {who}

    @rule(who=st.sampled_from([[one] for one in IDS] + [[f"u{user}", PHONES[user]] for user in range(2)]))
    def ask_for_deletion(self, who: list[str]) -> None:
        """A request names a distinct id, or a user and the number that the user may have had."""
        self.model.requested |= {*who}

    @precondition(lambda self: self.model.excluded or self.model.requested)
    @rule()
    def include_everybody(self) -> None:
        self.model.excluded = self.model.requested = frozenset()
        self.go(Request(full_load=True))
        self.check_equal()

    @precondition(lambda self: self.model.excluded)
    @rule(number=st.integers(0, 3))
    def take_off_and_put_back(self, number: int) -> None:
        """What comes back without a full load comes in whole sessions, and goes again."""
        listed = sorted(self.model.excluded)
        allowed = [*self.model.content()["sessions"], *self.full_load()["sessions"]]
        self.model.excluded = frozenset(listed) - {listed[number % len(listed)]}
        self.go()
        sizes = {(row["session_id"], row["event_count"]) for row in (*allowed, *self.full_load()["sessions"])}
        found = {(row["session_id"], row["event_count"]) for row in self.model.content()["sessions"]}
        assert {one for one in found - sizes if one[0] not in self.model.too_old} == set()
        self.model.excluded = frozenset(listed)

    @precondition(lambda self: self.model.excluded or self.model.requested)
    @rule(who=st.sampled_from(IDS), keep=st.booleans())
    def move(self, who: str, keep: bool) -> None:
        """An id goes from the list to the requests, or back."""
        listed, requested = self.model.excluded, self.model.requested
        if who in listed:
            self.model.requested |= {who}
            self.model.excluded = listed if keep else listed - {who}
        elif who in requested:
            self.model.excluded |= {who}
            self.model.requested = requested if keep else requested - {who}

    @rule(hours=st.sampled_from([24, 100]), days=st.sampled_from([3, 10]))
    def run_with(self, hours: int, days: int) -> None:
        """Another overlap and another lateness, for one night."""
        self.go(Request(overlap=timedelta(hours=hours), lateness=timedelta(days=days)))

    @rule(session=SESSIONS, days=st.integers(1, 3))
    def backfill(self, session: int, days: int) -> None:
        """Of days that nobody has asked for."""
        assume(session in self.begins)
        self.settle(at(self.begins[session]).date(), days)

    @rule(rows=st.integers(1, 20))
    def limited(self, rows: int) -> None:
        before = self.model.content()
        self.go(Request(limit=rows))
        assert self.model.content() == before

    def run(self, settle: bool, pulse: bool = False) -> None:
        """Tonight's run."""
        if pulse:
            self.pulse()
        self.go()
        listed = set(self.model.too_old)
        if settle:
            for day in json.loads(self.model.ledger[-1]["too_old_days"]):
                self.settle(date.fromisoformat(day), 1)
            assert self.model.too_old == []
            listed = set()
            self.go()  # the same news once more, which is none; but what is in time is not remembered
            assert set(self.model.too_old) <= self.of_days()
        if listed:
            found, wanted = self.model.content()["sessions"], self.full_load()["sessions"]
            assert _alone(found, listed) == _alone(wanted, listed)
        else:
            self.check_equal()

    def of_days(self) -> set[str]:
        """Sessions that go on for longer than those of the SDKs."""
        return {row["session_id"] for row in self.model.content()["sessions"] if row["session_duration"] > DAY}

    def settle(self, day: date, days: int) -> None:
        self.go(Request(start_date=day, end_date=day + timedelta(days=days)))

    def go(self, request: Request | None = None) -> None:
        self.model.clock = at(self.now)
        try:
            self.model.run(*self.tables(), request=request)
        except RunError as error:  # an account that no request names has changed: somebody has to ask for a full load
            if "deletion requests would come back" not in str(error):
                raise
            self.model.run(*self.tables(), request=Request(full_load=True))
        counts = self.model.counts
        parts = ("kept", "duplicates", "filtered.", "rejected.")
        assert counts.get("read", 0) == sum(number for name, number in counts.items() if name.startswith(parts))

    def tables(self) -> tuple[list[dict[str, Any]], ...]:
        users, acquisition, invites = (list(rows.values()) for rows in (self.users, self.acquisition, self.invites))
        return self.events, users, self.social, acquisition, invites

    def full_load(self) -> dict[str, list[dict[str, Any]]]:
        full = self.published_by_nobody()
        full.excluded, full.requested, full.clock = self.model.excluded, self.model.requested, at(self.now)
        full.run(*self.tables())
        return full.content()

    def check_equal(self) -> None:
        assert self.model.content() == self.full_load()


def _alone(sessions: list[dict[str, Any]], without: set[str]) -> list[dict[str, Any]]:
    """Sessions but some, and without what depends on other sessions of the person."""
    return [
        {name: value for name, value in row.items() if name not in _OF_OTHERS}
        for row in sessions
        if row["session_id"] not in without
    ]


Runs.TestCase.settings = settings(
    max_examples=15 if settings.default.derandomize else 1_000,
    stateful_step_count=20,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestRuns = Runs.TestCase


class HashedRuns(Runs):
    """The same, of a warehouse that publishes hashes of ids."""

    def published_by_nobody(self) -> Model:
        """See `Runs`."""
        return Model(SMALL_METRICS, pseudonyms=PSEUDONYMS, known=self.known)

    @invariant()
    def nobody_is_named(self) -> None:
        """No id of the source is published."""
        told = str(self.model.published)
        assert not any(text in told for text in (*IDS, "'u0'", "'u1'", "'u2'", "Ann"))


HashedRuns.TestCase.settings = settings(Runs.TestCase.settings, max_examples=5 if settings.default.derandomize else 300)
TestHashedRuns = HashedRuns.TestCase
