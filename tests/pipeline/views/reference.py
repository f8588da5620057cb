"""What the views say, written again in Python from their descriptions: one person and one day after the other."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

Row = dict[str, Any]
DAY = timedelta(days=1)
_FLAGS = (
    *("created_event", "viewed_event", "joined_event", "invited_someone", "enabled_contacts", "scrolled"),
    *("visited_discover", "started_quiz", "completed_quiz"),
)
_COUNTS = {"scrolls": "scroll_event_count", "autocaptures": "autocapture_count", "screens": "screen_count"}
_PROFILE = ("fullName", "phoneNumber", "username", "email", "contactAccessGranted", "businessUser", "createdAt")


def days_of_persons(sessions: Sequence[Row], today: date) -> dict[str, set[date]]:
    """The finished days on which each person starts a session."""
    found = defaultdict(set)
    for session in sessions:
        if session["start_date"] < today:
            found[session["person_id"]].add(session["start_date"])
    return found


def daily_active(sessions: Sequence[Row], today: date) -> list[Row]:
    persons = days_of_persons(sessions, today)
    rows, date_ = [], min((min(days) for days in persons.values()), default=today)
    while date_ < today:

        def active(span: int, until: date = date_) -> int:
            wanted = {until - number * DAY for number in range(span)}
            return sum(bool(days & wanted) for days in persons.values())

        dau, mau, new = active(1), active(30), sum(min(days) == date_ for days in persons.values())
        rows.append(
            {
                "date": date_,
                "dau": dau,
                "wau": active(7),
                "mau": mau,
                "stickiness": dau / mau if mau else None,
                "new_persons": new,
                "returning_persons": dau - new,
            }
        )
        date_ += DAY
    return rows


def monday(date_: date) -> date:
    return date_ - date_.weekday() * DAY


def retention_weekly(sessions: Sequence[Row], today: date) -> list[Row]:
    persons = days_of_persons(sessions, today)
    rows = []
    for cohort in {monday(min(days)) for days in persons.values()}:
        weeks = [{monday(one) for one in days} for days in persons.values() if monday(min(days)) == cohort]
        number = 0
        while (week := cohort + 7 * number * DAY) < today:
            active = sum(week in some for some in weeks)
            rows.append(
                {
                    "cohort_week": cohort,
                    "week_number": number,
                    "cohort_size": len(weeks),
                    "active": active,
                    "retention": active / len(weeks),
                    "is_complete": week + 7 * DAY <= today,
                }
            )
            number += 1
    return rows


def retention_days(sessions: Sequence[Row], today: date) -> list[Row]:
    persons = days_of_persons(sessions, today)
    rows = []
    for cohort in {min(days) for days in persons.values()}:
        for number in (1, 7, 30):
            some = [days for days in persons.values() if min(days) == cohort]
            is_complete = cohort + number * DAY < today
            active = sum(cohort + number * DAY in days for days in some) if is_complete else None
            rows.append(
                {
                    "cohort_date": cohort,
                    "day_number": number,
                    "cohort_size": len(some),
                    "active": active,
                    "retention": None if active is None else active / len(some),
                    "is_complete": is_complete,
                }
            )
    return rows


def person_lifecycle(sessions: Sequence[Row], today: date) -> list[Row]:
    persons = [{monday(one) for one in days} for days in days_of_persons(sessions, today).values()]
    rows, week = [], min((min(weeks) for weeks in persons), default=today)
    while week + 7 * DAY <= today:
        before = week - 7 * DAY
        rows.append(
            {
                "week": week,
                "new_persons": sum(week == min(weeks) for weeks in persons),
                "returning_persons": sum({week, before} <= weeks for weeks in persons),
                "resurrecting_persons": sum(
                    week in weeks and before not in weeks and min(weeks) < week for weeks in persons
                ),
                "dormant_persons": sum(before in weeks and week not in weeks for weeks in persons),
            }
        )
        week += 7 * DAY
    return rows


def sessions_aggregated(sessions: Sequence[Row]) -> list[Row]:
    columns = (
        *("session_id", "distinct_id", "city", "country", "created_event", "viewed_event", "joined_event"),
        *("invited_someone", "enabled_contacts", "clicked_invite", "scrolled", "visited_discover"),
        *("scroll_event_count", "started_quiz", "completed_quiz", "start_timestamp", "end_timestamp"),
        *("autocapture_count", "screen_count", "session_duration", "user_id", *_PROFILE),
    )
    return [
        {name: session[name] for name in columns}
        | {name: bool(session[name]) for name in ("contactAccessGranted", "businessUser")}
        | {"etl_loaded_at": session["_loaded_at"]}
        for session in sessions
        if session["user_id"] and (session["session_duration"] or session["autocapture_count"])
    ]


def people_aggregated(sessions: Sequence[Row]) -> list[Row]:
    users = defaultdict(list)
    for session in sessions_aggregated(sessions):
        users[session["user_id"]].append(session)
    return [_user(user, some) for user, some in users.items()]


def _user(user_id: str, some: list[Row]) -> Row:
    ordered = sorted(some, key=lambda session: (session["start_timestamp"], session["session_id"]))
    durations = [session["session_duration"] for session in some]
    first, last = ordered[0]["start_timestamp"], ordered[-1]["start_timestamp"]
    days = (last - first) / DAY
    row = {
        "user_id": user_id,
        "total_sessions": len(some),
        "avg_session_duration": statistics.fmean(durations),
        "median_session_duration": statistics.median(durations),
        "total_session_duration": sum(durations),
        "min_session_duration": min(durations),
        "max_session_duration": max(durations),
        "std_session_duration": statistics.stdev(durations) if len(some) > 1 else None,
    }
    row |= {f"{name}_sum": sum(session[name] for session in some) for name in _FLAGS}
    for noun, name in _COUNTS.items():
        counts = [session[name] for session in some]
        row |= {
            f"total_{noun}": sum(counts),
            f"avg_{noun}_per_session": sum(counts) / len(some),
            f"max_{noun}_per_session": max(counts),
        }
    engaged = ("created_event", "viewed_event", "joined_event", "scrolled")
    row |= {
        "first_session_date": first,
        "last_session_date": last,
        "days_since_first_session": days,
        "sessions_per_day": len(some) / (days + 1),
        "engagement_score": sum(any(session[name] for name in engaged) for session in some) / len(some),
    }
    row |= {name: some[0][name] for name in _PROFILE}
    for name in ("city", "country"):
        row[name] = next((session[name] for session in reversed(ordered) if session[name] is not None), None)
    return row | {"etl_loaded_at": max(session["etl_loaded_at"] for session in some)}


def person_funnels(sessions: Sequence[Row], steps: dict[str, int]) -> list[Row]:
    rows = []
    for person in {session["person_id"] for session in sessions}:
        for name, number in steps.items():
            some = [one for one in sessions if one["person_id"] == person and one[f"{name}_step"]]
            finished = [one for one in some if one[f"{name}_finished_at"]]
            if some:
                rows.append(
                    {
                        "person_id": person,
                        "user_id": some[0]["user_id"],
                        "funnel": name,
                        "steps": number,
                        "furthest_step": max(one[f"{name}_step"] for one in some),
                        "sessions_started": len(some),
                        "sessions_finished": len(finished),
                        "attempts": sum(one[f"{name}_attempts"] for one in some),
                        "first_started_at": min(one[f"{name}_started_at"] for one in some),
                        "first_finished_at": min((one[f"{name}_finished_at"] for one in finished), default=None),
                        "shortest_duration": min((one[f"{name}_duration"] for one in finished), default=None),
                    }
                )
    return rows


def person_links(sessions: Sequence[Row], links: Sequence[Row], actions: Sequence[str]) -> list[Row]:
    persons = {session["session_id"]: (session["person_id"], session["user_id"]) for session in sessions}
    found = defaultdict(list)
    for row in links:
        for action in actions:
            if row[f"{action}_count"]:
                times = row[f"{action}_count"], row[f"first_{action}_at"]
                found[*persons[row["session_id"]], row["link"], row["value"], action].append(times)
    return [
        {
            **dict(zip(("person_id", "user_id", "link", "value", "action"), key, strict=True)),
            "session_count": len(times),
            "event_count": sum(number for number, _ in times),
            "first_at": min(first for _, first in times),
        }
        for key, times in found.items()
    ]


def _days_of_users(days: Sequence[Row], today: date) -> dict[str, dict[date, Row]]:
    found: dict[str, dict[date, Row]] = defaultdict(dict)
    for row in days:
        if row["user_id"] and row["date"] <= today:
            found[row["user_id"]][row["date"]] = row
    return found


def user_daily_activity(days: Sequence[Row], persons: Sequence[Row], today: date) -> list[Row]:
    rows, profiles = [], {person["user_id"]: person for person in persons if person["user_id"]}
    numbers = {
        "event_count": "event_count",
        "events_created_count": "events_created_count",
        "accepted": "invites_accepted",
        "invited": "invites_pending",
        "rejected": "invites_rejected",
    }
    for user, theirs in _days_of_users(days, today).items():
        profile = {name: profiles.get(user, {}).get(name) for name in _PROFILE}
        signed_up = profile["createdAt"]
        begins = [*theirs, *([signed_up.date()] if signed_up and signed_up.year >= 2015 else [])]
        for number in range((today - min(begins)).days + 1):
            date_ = min(begins) + number * DAY
            row = {"user_id": user, "date": date_}
            row |= {name: theirs[date_][source] if date_ in theirs else 0 for name, source in numbers.items()}
            row |= {name: profile[name] for name in ("createdAt", "phoneNumber", "fullName", "username", "email")}
            rows.append(row | {"etl_loaded_at": max(one["_loaded_at"] for one in theirs.values())})
    return rows


def user_churn_state(days: Sequence[Row], today: date, inactive: int) -> list[Row]:
    rows = []
    for user, theirs in _days_of_users(days, today).items():
        row: Row = {"user_id": user}
        for kind, flag in (("app", "is_app_active"), ("biz", "is_social_active")):
            active = sorted(date_ for date_, one in theirs.items() if one[flag])
            gaps = [(after - before).days for before, after in pairwise(active)]
            churns = sum(gap > inactive for gap in gaps)
            idle = (today - active[-1]).days if active else None
            is_churned = idle is not None and idle > inactive
            state = "churned" if is_churned else "reactivated" if churns else "active" if active else "never_active"
            row |= {
                f"first_{kind}_active_date": active[0] if active else None,
                f"last_{kind}_active_date": active[-1] if active else None,
                f"days_since_last_{kind}_activity": idle,
                f"{kind}_times_churned": churns,
                f"{kind}_churn_state": state,
                f"{kind}_churn_date": active[-1] + inactive * DAY if is_churned else None,
            }
        row["total_events_created"] = sum(one["events_created_count"] for one in theirs.values())
        row["total_events_attended"] = sum(one["invites_accepted"] for one in theirs.values())
        row["total_app_interactions"] = sum(one["event_count"] for one in theirs.values())
        rows.append(row | {"etl_loaded_at": max(one["_loaded_at"] for one in theirs.values())})
    return rows
