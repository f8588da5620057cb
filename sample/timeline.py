"""What happens: sessions and their events as numbers, in bounded memory and in order of arrival.

Time is cut into slots of equal traffic. A slot's sessions are laid out whole (a few dozen bytes an
event), and what will arrive later waits: late uploads, repetitions and the tails of open sessions.
Nothing that a later slot makes can arrive before that slot begins, so all older rows are final.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from sample import flaws
from sample.dice import Dice, Flags, Ints
from sample.people import EXCLUDED_PERSONS, is_anonymous

SECOND, HOUR, DAY = 1_000, 3_600_000, 86_400_000  # milliseconds, the unit of time in this module

#: Event names by kind, with their weight (of 1,000) among the events inside a session.
KINDS: dict[str, int] = {
    "Application Installed": 0,
    "Application Opened": 0,
    "Application Became Active": 10,
    "Application Backgrounded": 10,
    "$identify": 0,
    "$screen": 225,
    "$autocapture": 425,
    "$feature_flag_called": 65,
    "$exception": 5,
    "view_event": 110,
    "join_event": 30,
    "click_invite_to_event": 20,
    "start_quiz": 15,
    "finish_quiz": 10,
    "invite_friends": 15,
    "send_invite_to_event": 12,
    "invite_friends_for_report": 6,
    "contacts_enabled": 6,
    "Enable Contacts Pressed": 6,
    "send_message": 30,
}
NAMES = tuple(KINDS)
INSTALLED, OPENED, ACTIVE, BACKGROUNDED, IDENTIFY, SCREEN, AUTOCAPTURE = range(7)
#: Screens by weight (of 100); screen 0 is "none yet".
SCREENS = {
    "": 0,
    "Home": 30,
    "Discover": 18,
    "Event Details": 20,
    "Profile": 9,
    "Quiz": 6,
    "Chat": 8,
    "Invite Friends": 4,
    "Notifications": 3,
    "Settings": 2,
}
#: Who acts, as in `who`: nobody known yet, the session's person, somebody else.
ANONYMOUS, PERSON, OTHER = range(3)

_SLOT = 32_768
#: The export runs every five minutes: all rows of one run have one arrival time.
_TICK = 300 * SECOND
#: So much the clocks of one session in 120 are fast: its events are dated after their arrival.
_FAST = 1_200 * SECOND
#: Visitors by UTC hour: most of them live in the Americas, so midnight UTC is a busy time.
_HOURS = (13, 13, 12, 10, 8, 6, 4, 3, 2, 2, 2, 3, 4, 5, 6, 7, 7, 8, 8, 9, 9, 10, 11, 12)
_WEEKDAYS = (9, 9, 9, 10, 12, 14, 12)

EVENT = np.dtype(
    [
        ("timestamp", "i8"),  # milliseconds, as everywhere here
        ("arrival", "i8"),
        ("sequence", "i8"),  # the event's number: its uuid and values follow from it
        ("session", "i8"),  # the session's number
        ("opened", "i8"),  # when the session began
        ("kind", "u1"),
        ("screen", "u1"),
        ("who", "u1"),
        ("flaw", "u1"),
    ]
)
Events = npt.NDArray[np.void]


def _table(weights: list[int]) -> Ints:
    return np.repeat(np.arange(len(weights)), weights)


def _quantiles(median: float, sigma: float, low: int, high: int) -> Ints:
    """4,096 quantiles of a lognormal distribution, as integers in [low, high]."""
    normal = NormalDist()
    values = (median * math.exp(sigma * normal.inv_cdf((place + 0.5) / 4096)) for place in range(4096))
    return np.array([min(max(int(value), low), high) for value in values])


_MIX = _table(list(KINDS.values()))
_SCREEN_MIX = _table(list(SCREENS.values()))
_ALONE = np.array([OPENED, ACTIVE, SCREEN, AUTOCAPTURE])
_LENGTHS = _quantiles(median=12.0, sigma=1.05, low=1, high=300)  # events a session, mean about 20
_GAPS = _quantiles(median=5_000.0, sigma=1.4, low=0, high=1_500_000)


@dataclass(frozen=True)
class Plan:
    """What to make: `events` rows in all, of `days` days from `start` (UTC).

    Raises ValueError for a number that makes no sense.
    """

    events: int = 50_000
    seed: int = 7
    start: date = date(2026, 1, 5)
    days: int | None = None

    def __post_init__(self) -> None:
        if self.events < 1:
            raise ValueError(f"events must be at least 1, not {self.events}")
        if self.days is not None and not 1 <= self.days <= 3_660:
            raise ValueError(f"days must be 1 to 3660, not {self.days}")

    @property
    def length(self) -> int:
        """Days that the sessions spread over: as asked, or 14 to 60 by the number of events."""
        return self.days or min(60, max(14, self.events // 100_000))

    @property
    def persons(self) -> int:
        """Persons that may have sessions."""
        return max(25, self.events // 100)

    @property
    def slots(self) -> int:
        """Parts that the sessions are made in."""
        return -(-self.events // _SLOT)

    @cached_property
    def _traffic(self) -> npt.NDArray[np.float64]:
        days = range(self.length)
        weekday = self.start.weekday()
        hours = [_WEEKDAYS[(weekday + day) % 7] * hour for day in days for hour in _HOURS]
        total = np.cumsum([0, *hours])
        return np.asarray(total / total[-1])

    def moments(self, shares: npt.NDArray[np.float64]) -> Ints:
        """When these shares of all traffic have come: milliseconds since 1970."""
        first = datetime(self.start.year, self.start.month, self.start.day, tzinfo=UTC)
        hours = np.interp(shares, self._traffic, np.arange(len(self._traffic)))
        return int(first.timestamp()) * SECOND + (hours * HOUR).astype(np.int64)


@dataclass(frozen=True)
class Cast:
    """Who acts in sessions, by session number: everything here follows from the numbers alone."""

    session: Ints
    person: Ints
    other: Ints  # who takes over in the sessions of `is_shared`
    logs_in: Flags  # anonymous first, then the person
    stays_out: Flags  # anonymous throughout
    is_shared: Flags

    @classmethod
    def of(cls, plan: Plan, session: Ints) -> Cast:
        """The cast of these sessions; 2 % are the excluded persons'."""
        dice = Dice(plan.seed)
        others = plan.persons - EXCLUDED_PERSONS
        share = dice.share("session/person", session)
        person = EXCLUDED_PERSONS + (others * share * np.sqrt(share)).astype(np.int64)
        shared = session % 199 == 31
        person = np.where(shared & is_anonymous(person), person + 1, person)
        staff = np.isin(session % 150, (10, 27, 44))
        person = np.where(staff, (session % 150 - 10) // 17, person)
        other = EXCLUDED_PERSONS + dice.below("session/other", session, others)
        anonymous = is_anonymous(person)
        return cls(
            session,
            person,
            np.where(is_anonymous(other), other + 1, other),
            ~anonymous & (session % 10 == 2),
            anonymous | (~staff & (session % 20 == 13)),
            ~staff & shared,
        )


@dataclass(frozen=True)
class Sessions:
    """What a slot's sessions come to, one entry a session that has a valid event."""

    session: Ints
    opened: Ints
    first: Ints  # milliseconds, of the events that count
    last: Ints
    autocaptures: Ints
    screens: Ints
    known: Flags  # whether the person was logged in at any time


@dataclass(frozen=True)
class Slot:
    """The events of the sessions that begin in one part of the time, and those sessions."""

    events: Events
    sessions: Sessions
    end: int  # milliseconds: no event of a later slot arrives before


def slots(plan: Plan) -> Iterator[Slot]:
    """All sessions, in order of their beginning."""
    sequence = session = 0
    for number in range(plan.slots):
        rows = plan.events * (number + 1) // plan.slots - plan.events * number // plan.slots
        slot, events, sessions = _slot(plan, number, rows, sequence, session)
        yield slot
        sequence += events
        session += sessions


def arrivals(slots: Iterator[Slot]) -> Iterator[Events]:
    """The events of slots in order of arrival, none of them more than once around in memory."""
    waiting = np.zeros(0, EVENT)
    for slot in slots:
        waiting = np.concatenate([waiting, slot.events])
        final = waiting["arrival"] < slot.end
        yield _by_arrival(waiting[final])
        waiting = waiting[~final]
    yield _by_arrival(waiting)


def _by_arrival(events: Events) -> Events:
    """Sort by arrival; rows of one export run are in no order."""
    shuffle = Dice(0).words("export", events["sequence"])
    return events[np.lexsort((shuffle, events["arrival"]))]


def _slot(plan: Plan, number: int, rows: int, sequence: int, session: int) -> tuple[Slot, int, int]:
    """A slot of exactly `rows` rows, repetitions included; how many events and sessions it took."""
    dice = Dice(plan.seed)
    sequences = sequence + np.arange(rows)
    repeated = flaws.is_repeated(sequences)
    total = np.cumsum(1 + repeated)
    count = int(np.searchsorted(total, rows)) + 1
    sequences, repeated = sequences[:count], repeated[:count]
    repeated[-1] &= bool(total[count - 1] == rows)

    lengths = _lengths(dice, session, count)
    ends = np.cumsum(lengths)
    firsts = ends - lengths
    size = len(lengths)
    cast = Cast.of(plan, session + np.arange(size))
    row = np.repeat(np.arange(size), lengths)
    place = np.arange(count) - firsts[row]

    events = _events(dice, cast, sequences, lengths, row, place)

    shares = (np.arange(size) + dice.share("session/start", cast.session)) / size
    opened = plan.moments((number + shares) / plan.slots)
    gaps = np.where(place == 0, 0, _GAPS[dice.below("event/gap", sequences, len(_GAPS))])
    elapsed = np.cumsum(gaps)
    elapsed -= elapsed[firsts][row]
    opened = _across_midnight(cast.session, opened, elapsed[ends - 1])
    events["opened"] = opened[row]
    events["timestamp"] = opened[row] + elapsed
    close = int(plan.moments(np.array([1.0]))[0])
    events["arrival"] = _arrival(dice, events, place >= lengths[row] // 2, close)
    events["timestamp"] += np.where(events["session"] % 120 == 17, _FAST, 0)

    end = int(plan.moments(np.array([(number + 1) / plan.slots]))[0])
    slot = Slot(
        np.concatenate([events, _repetitions(dice, events[repeated], close)]),
        _summary(events, firsts, cast.session, opened),
        end,
    )
    return slot, count, size


def _events(dice: Dice, cast: Cast, sequences: Ints, lengths: Ints, row: Ints, place: Ints) -> Events:
    """Events without times: of the sessions of `cast`, each of the session `row`, in it at `place`."""
    events = np.zeros(len(sequences), EVENT)
    events["sequence"] = sequences
    events["session"] = cast.session[row]
    events["flaw"] = flaws.flaws(sequences)
    logs_in = cast.logs_in & (lengths >= 3)
    who = np.where(cast.stays_out, ANONYMOUS, PERSON)[row]
    who = np.where(logs_in[row] & (place < lengths[row] // 2), ANONYMOUS, who)
    hands_over = cast.is_shared & (lengths >= 3)
    events["who"] = np.where(hands_over[row] & (place >= lengths[row] * 2 // 3), OTHER, who)
    events["kind"] = kind = _kinds(dice, events, place, lengths[row], logs_in[row])
    events["screen"] = _screens(dice, sequences, kind, np.arange(len(place)) - place)
    return events


def _lengths(dice: Dice, session: int, events: int) -> Ints:
    """Lengths of the sessions from number `session` on, cut so that they sum to `events`."""
    size = events // 16 + 64
    while True:
        numbers = session + np.arange(size)
        lengths = _LENGTHS[dice.below("session/length", numbers, len(_LENGTHS))]
        # what has to be seen even in a small sample needs a few events, or exactly one
        special = (numbers % 10 == 2) | (numbers % 100 == 11) | (numbers % 199 == 31)
        lengths = np.where(special | (numbers % 64 == 37), np.maximum(lengths, 6), lengths)
        lengths = np.where(numbers % 40 == 8, 1, lengths)
        ends = np.cumsum(lengths)
        if ends[-1] >= events:
            break
        size *= 2
    lengths = lengths[: int(np.searchsorted(ends, events)) + 1]
    lengths[-1] -= lengths.sum() - events
    return lengths


def _kinds(dice: Dice, events: Events, place: Ints, length: Ints, logs_in: Flags) -> Ints:
    """What each event is: a session opens the app, shows a screen, goes on, and is put away."""
    sequence, session = events["sequence"], events["session"]
    word = dice.below("event/kind", sequence, len(_MIX))
    installs = session % 30 == 4
    opening = np.where(installs, INSTALLED, np.where(session % 10 < 3, ACTIVE, OPENED))
    kind = np.select(
        [
            length == 1,
            place == 0,
            installs & (place == 1),
            place == 1 + installs,
            logs_in & (place == length // 2),
            (place == length - 1) & (session % 10 < 7),
        ],
        [_ALONE[session // 40 % 4], opening, OPENED, SCREEN, IDENTIFY, BACKGROUNDED],
        _MIX[word],
    )
    kind = np.where(np.isin(events["flaw"], flaws.ON_TOUCH), AUTOCAPTURE, kind)
    return np.where(np.isin(events["flaw"], flaws.ON_SCREEN), SCREEN, kind)


def _screens(dice: Dice, sequence: Ints, kind: Ints, first: Ints) -> Ints:
    """The screen of each event: that of the session's latest `$screen`, which sticks."""
    places = np.arange(len(kind))
    latest = np.maximum.accumulate(np.where(kind == SCREEN, places, -1))
    drawn = _SCREEN_MIX[dice.below("event/screen", sequence, len(_SCREEN_MIX))]
    return np.where(latest >= first, drawn[latest], 0)


def _across_midnight(session: Ints, opened: Ints, duration: Ints) -> Ints:
    """Move one session in a hundred forward, so that midnight UTC falls in its middle."""
    moved = (opened // DAY + 1) * DAY - duration // 2
    return np.where(session % 100 == 11, np.maximum(moved, opened), opened)


def _arrival(dice: Dice, events: Events, in_tail: Flags, close: int) -> Ints:
    """The export run that brings each event: after its upload, or 3 to 47 hours late (2 %).

    One session in 64 was offline as a whole, another one in its second half. Nothing is late that would come after the
    sample's `close`, or days without sessions would be its last ones.
    """
    session = events["session"]
    uploaded = events["timestamp"] + SECOND
    uploaded += dice.below("event/upload", events["sequence"], 90 * SECOND)
    late = (session % 64 == 5) | ((session % 64 == 37) & in_tail)
    delay = 3 * HOUR + dice.below("session/late", session, 44 * HOUR)
    late &= uploaded + delay < close
    return np.asarray((uploaded + np.where(late, delay, 0)) // _TICK * _TICK + _TICK)


def _repetitions(dice: Dice, events: Events, close: int) -> Events:
    """The second copies: half of them come within the hour, the others, but before `close`, one to five days later."""
    copies = events.copy()
    sequence = copies["sequence"]
    soon = _TICK * (1 + dice.below("repeat/ticks", sequence, 12))
    days = DAY * (1 + dice.below("repeat/days", sequence, 5))
    later = (sequence // 100 % 2 == 0) & (copies["arrival"] + days < close)
    copies["arrival"] += np.where(later, days, soon)
    return copies


def _summary(events: Events, firsts: Ints, session: Ints, opened: Ints) -> Sessions:
    valid = ~flaws.is_lost(events["flaw"])
    never = np.iinfo(np.int64).max
    first = np.minimum.reduceat(np.where(valid, events["timestamp"], never), firsts)
    last = np.maximum.reduceat(np.where(valid, events["timestamp"], -1), firsts)
    there = last >= 0

    def count(kind: int) -> Ints:
        hits = (valid & (events["kind"] == kind)).astype(np.int64)
        return np.add.reduceat(hits, firsts)[there]

    return Sessions(
        session[there],
        opened[there],
        first[there],
        last[there],
        count(AUTOCAPTURE),
        count(SCREEN),
        np.maximum.reduceat(events["who"], firsts)[there] > ANONYMOUS,
    )
