"""Sections: what they tell, and that they tell of nobody."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from pipeline.report.section import HIDDEN, WITHHELD
from pipeline.report.sections import days, funnels, hours, links, retention, sections, versions, weeks
from tests.pipeline.report.answers import column, ran

MONDAY = date(2026, 1, 5)


def day(number: int, dau: int, sessions: int, new: int = 0) -> dict[str, Any]:
    return {"date": MONDAY + timedelta(days=number), "dau": dau, "sessions": sessions, "new_persons": new}


def test_days_stand_beside_the_same_weekday_a_week_before() -> None:
    found = days([day(n, dau=10 + n, sessions=20 + n) for n in range(9)])
    assert column(found, "dau_before") == [None] * 7 + [10, 11]
    assert column(found, "sessions_before")[-1] == 21
    assert "28 sessions (+33% against a week before), 18 active persons (+64%" in found.told


def test_a_day_of_few_persons_is_hidden_with_its_sessions_and_what_is_said_of_it() -> None:
    found = days([day(0, dau=4, sessions=40, new=1), day(7, dau=50, sessions=60, new=5)])
    assert found.rows[0][1:] == (WITHHELD, None, HIDDEN, None, HIDDEN)
    assert found.rows[1][1:] == (60, WITHHELD, 50, HIDDEN, 5)
    assert "against" not in found.told
    assert found.records[0]["sessions"] is None  # a chart draws nothing of it
    few = days([day(0, dau=2, sessions=40)])
    assert few.told == "Monday, 5 January: fewer than 5 active persons.", "they may have many sessions"


def test_no_day_of_a_week_is_what_the_others_leave_of_the_weeks_new_persons() -> None:
    new = [day(n, dau=50, sessions=60, new=number) for n, number in enumerate((9, 3, 0, 6, 0, 0, 0, 8, 3, 2, 1, 0, 0))]
    assert column(days(new), "new_persons") == [9, HIDDEN, 0, WITHHELD, 0, 0, 0, 8, HIDDEN, HIDDEN, HIDDEN, 0, 0]
    alone = [day(n, dau=50, sessions=60, new=number) for n, number in enumerate((0, 3, 0))]
    assert column(days(alone), "new_persons") == [0, HIDDEN, 0], "the week is hidden as well"


def test_nobody_is_a_number_that_may_be_told() -> None:
    assert days([day(0, dau=0, sessions=0)]).rows[0][1:] == (0, None, 0, None, 0)


def test_weeks_hide_few_persons() -> None:
    row = {"week": MONDAY, "new_persons": 7, "returning_persons": 4, "resurrecting_persons": 0, "dormant_persons": 5}
    found = weeks([row])
    assert found.rows == ((MONDAY, 7, HIDDEN, 0, 5),)
    assert "7 new, fewer than 5 returning, 0 resurrecting, 5 dormant" in found.told


def week(number: int, *persons: int) -> dict[str, Any]:
    kinds = ("new_persons", "returning_persons", "resurrecting_persons", "dormant_persons")
    return {"week": MONDAY + timedelta(weeks=number), **dict(zip(kinds, persons, strict=True))}


def test_no_week_is_what_the_week_before_leaves() -> None:
    found = weeks([week(0, 100, 0, 0, 0), week(1, 9, 3, 0, 97), week(2, 9, 12, 0, 0), week(3, 9, 21, 0, 0)])
    assert [row[1:] for row in found.rows] == [
        (100, 0, 0, 0),
        (9, HIDDEN, 0, WITHHELD),
        (9, 12, 0, WITHHELD),
        (9, 21, 0, 0),
    ]
    found = weeks([week(0, 100, 0, 0, 0), week(1, 9, 97, 0, 3), week(2, 0, 97, 0, 9)])
    assert [row[1:] for row in found.rows][1:] == [(9, WITHHELD, 0, HIDDEN), (0, 97, 0, WITHHELD)]
    assert "0 new, 97 returning, 0 resurrecting. Dormant" in found.told


def cohort(week: int, number: int, size: int, active: int) -> dict[str, Any]:
    week_of = MONDAY + timedelta(weeks=week)
    return {"cohort_week": week_of, "week_number": number, "cohort_size": size, "active": active}


def test_retention_is_a_triangle_without_shares_of_few() -> None:
    rows = [cohort(0, 0, 40, 40), cohort(0, 1, 40, 10), cohort(0, 2, 40, 3), cohort(1, 0, 20, 20), cohort(1, 1, 20, 5)]
    found = retention([*rows, cohort(2, 0, 4, 4)])
    assert [name for name, _ in found.columns] == ["cohort_week", "cohort_size", "week_0", "week_1", "week_2"]
    assert [row[1:] for row in found.rows] == [
        (40, 1.0, 0.25, WITHHELD),
        (20, 1.0, 0.25, None),
        (HIDDEN, WITHHELD, None, None),
    ]
    assert "25% came back in the next" in found.told


def test_no_cohort_is_what_the_others_leave_of_a_weeks_active_persons() -> None:
    rows = [cohort(0, 0, 40, 40), cohort(0, 1, 40, 10), cohort(0, 2, 40, 3), cohort(1, 0, 20, 20), cohort(1, 1, 20, 5)]
    found = retention([*rows, cohort(2, 0, 9, 9)])
    assert [row[1:] for row in found.rows] == [
        (40, 1.0, 0.25, WITHHELD),
        (20, 1.0, WITHHELD, None),
        (9, 1.0, None, None),
    ]
    assert "25% came back in the next" in found.told, "of the first cohort, the second of which is withheld"
    assert retention([cohort(0, 0, 9, 9)]).told == "No later week is finished yet."


def test_funnels_tell_the_share_and_the_usual_time() -> None:
    rows = [
        {"funnel": "quiz", "step": n, "persons": persons, "median_seconds": 61.4}
        for n, persons in ((1, 80), (2, 20), (3, 4))
    ]
    found = funnels(rows)
    assert column(found, "share") == [1.0, 0.25, WITHHELD]
    assert column(found, "persons") == [80, 20, HIDDEN]
    assert column(found, "median_seconds") == [WITHHELD] * 3, "they are those of the four who finished, at every step"
    assert "too few" in found.told
    assert funnels(rows[:2]).told == "25% of those who began quiz finished it in order, in 61 seconds in the median."


def test_links_of_few_persons_say_so() -> None:
    row = {"link": "social_event", "viewed": 30, "joined": 4, "persons": 9, "joiners": 3}
    found = links([row])
    assert found.rows == (("social_event", 9, HIDDEN, WITHHELD, WITHHELD, WITHHELD),)
    assert found.told == "Too few persons viewed or joined one to tell."
    assert links([row | {"joiners": 6, "joined": 9}]).told.startswith("30% of the times")


def test_medians_are_of_all_sessions_and_not_one_of_the_other() -> None:
    row = {"app_version": "1.0", "sessions": 9, "persons": 5, "median_duration": 61.0, "median_foreground": 2.0}
    assert versions([row]).told.endswith("last longer than 61 s; half are in the foreground for longer than 2 s.")


def test_hours_have_the_names_of_days() -> None:
    rows = [
        {"weekday": 1, "hour": 9, "sessions": 8, "persons": 6},
        {"weekday": 7, "hour": 20, "sessions": 9, "persons": 9},
    ]
    found = hours(rows)
    assert column(found, "weekday") == ["Monday", "Sunday"]
    assert "on Sunday between 20 and 21" in found.told


def test_what_is_not_asked_is_no_section_and_what_has_no_rows_says_so() -> None:
    found = {one.name: one for one in sections({"runs": [ran(3)], "days": [], "hours": [], "checks": []})}
    assert list(found) == ["days", "hours", "quality", "reasons", "posthog", "checks"]
    assert found["days"].told == "No day with sessions is over."
    assert found["hours"].told.startswith("None has sessions of enough persons"), "days may have"
    assert not found["days"].columns
    assert "declares no check" in found["checks"].told


def test_the_last_day_that_can_be_told_is_told_and_how_many_cannot_since() -> None:
    found = days([day(0, dau=9, sessions=9), day(1, dau=1, sessions=3), day(2, dau=0, sessions=0)])
    assert found.told.startswith("Monday, 5 January: 9 sessions, 9 active persons.")
    assert found.told.endswith(" Since then, for 2 finished days, fewer than 5 persons a day.")
    assert "for 1 finished day, fewer" in days([day(0, dau=9, sessions=9), day(1, dau=0, sessions=0)]).told


def test_what_is_long_past_is_left_to_the_views() -> None:
    assert len(days([day(n, dau=9, sessions=9) for n in range(300)]).rows) == 91
    cohorts = retention([cohort(week, n, 9, 9) for week in range(30) for n in range(30 - week)])
    assert [len(cohorts.rows), cohorts.rows[0][0]] == [13, MONDAY + timedelta(weeks=17)]
    assert cohorts.columns[-1][0] == "week_12"
