"""What the report asks, in BigQuery's SQL. DuckDB gets the same, translated by sqlglot.

Only published tables and the views over them are asked, and only finished days: views end with the last one (but
`person_funnels`, which has no days), and `FINISHED` is the same for tables. Nothing personal leaves a query: all are
counts, sums and medians of groups.
"""

from __future__ import annotations

from typing import NamedTuple


class Question(NamedTuple):
    """A query, and what it needs; where a table, view or column is missing, it is not asked."""

    sql: str
    reads: tuple[str, ...]
    """Tables and views."""
    columns: tuple[str, ...] = ()
    """Of the first of them, those that a metrics file may declare or not."""


#: A group of fewer persons is not told of: it could be somebody.
FEWEST = 5
_ENOUGH = f"HAVING COUNT(DISTINCT person_id) >= {FEWEST}"
#: The view has the finished days, by the watermark and in the zone of the reports: that is decided there, once.
FINISHED = "start_date <= (SELECT MAX(date) FROM ${daily_active})"

#: The run that was published last is the one that no other follows, whatever the clocks said.
_FOLLOWED = "SELECT previous_run_id FROM ${runs} WHERE previous_run_id IS NOT NULL"
RUNS = Question(
    f"""
    SELECT run_id, previous_run_id, mode, watermark, published_at, seconds, rows_read, rows_kept, rows_duplicate,
      rows_filtered, rows_rejected, filtered, rejected, notes, sessions_inserted, sessions_updated, sessions_deleted,
      sessions_unchanged, persons_inserted, persons_updated, persons_deleted, persons_unchanged, sessions_too_old,
      code_version
    FROM (SELECT *, run_id NOT IN ({_FOLLOWED}) AS is_last FROM ${{runs}}) AS known
    ORDER BY is_last DESC, published_at DESC, run_id DESC LIMIT 30
    """,
    ("runs",),
)
DAYS = Question(
    """
    SELECT daily.date, daily.dau, daily.wau, daily.mau, daily.new_persons, COALESCE(counted.sessions, 0) AS sessions
    FROM ${daily_active} AS daily
    LEFT JOIN (
      SELECT start_date AS date, COUNT(*) AS sessions FROM ${sessions} GROUP BY start_date
    ) AS counted ON counted.date = daily.date
    ORDER BY daily.date
    """,
    ("daily_active", "sessions"),
)
WEEKS = Question(
    """
    SELECT week, new_persons, returning_persons, resurrecting_persons, dormant_persons
    FROM ${person_lifecycle} ORDER BY week
    """,
    ("person_lifecycle",),
)
RETENTION = Question(
    """
    SELECT cohort_week, week_number, cohort_size, active
    FROM ${retention_weekly} WHERE is_complete ORDER BY cohort_week, week_number
    """,
    ("retention_weekly",),
)
#: How many persons reached each step of the sequences of the metrics file, and the usual time of who finished. A step
#: that nobody reached has 0, so that the last row of a sequence is its last step.
FUNNELS = Question(
    """
    SELECT reached.funnel, reached.step, reached.persons, finished.median_seconds
    FROM (
      SELECT funnel, step, COUNT(CASE WHEN furthest_step >= step THEN 1 END) AS persons
      FROM ${person_funnels} CROSS JOIN UNNEST(GENERATE_ARRAY(1, steps)) AS step
      GROUP BY funnel, step
    ) AS reached
    LEFT JOIN (
      SELECT funnel, MAX(median) AS median_seconds
      FROM (
        SELECT funnel, PERCENTILE_CONT(shortest_duration, 0.5) OVER (PARTITION BY funnel) AS median
        FROM ${person_funnels} WHERE shortest_duration IS NOT NULL
      ) AS medians
      GROUP BY funnel
    ) AS finished ON finished.funnel = reached.funnel
    ORDER BY reached.funnel, reached.step
    """,
    ("person_funnels",),
)


def _screens(column: str) -> Question:
    return Question(
        f"""
        SELECT {column} AS screen, COUNT(*) AS sessions, COUNT(DISTINCT person_id) AS persons
        FROM ${{sessions}} WHERE {column} IS NOT NULL AND {FINISHED}
        GROUP BY screen {_ENOUGH} ORDER BY sessions DESC, screen LIMIT 10
        """,
        ("sessions", "daily_active"),
        (column,),
    )


ENTRY, EXIT = _screens("entry_screen"), _screens("exit_screen")
VERSIONS = Question(
    f"""
    SELECT app_version, MAX(sessions) AS sessions, MAX(persons) AS persons,
      MAX(median_duration) AS median_duration, MAX(median_foreground) AS median_foreground
    FROM (
      SELECT app_version,
        COUNT(*) OVER (PARTITION BY app_version) AS sessions,
        counted.persons AS persons,
        PERCENTILE_CONT(session_duration, 0.5) OVER (PARTITION BY app_version) AS median_duration,
        PERCENTILE_CONT(foreground_duration, 0.5) OVER (PARTITION BY app_version) AS median_foreground
      FROM ${{sessions}}
      JOIN (
        SELECT app_version AS version, COUNT(DISTINCT person_id) AS persons
        FROM ${{sessions}} WHERE app_version IS NOT NULL AND {FINISHED}
        GROUP BY app_version {_ENOUGH}
      ) AS counted ON counted.version = app_version
      WHERE {FINISHED}
    ) AS durations
    GROUP BY app_version ORDER BY sessions DESC, app_version LIMIT 12
    """,
    ("sessions", "daily_active"),
    ("app_version", "foreground_duration"),
)
HOURS = Question(
    f"""
    SELECT local_start_weekday AS weekday, local_start_hour AS hour, COUNT(*) AS sessions,
      COUNT(DISTINCT person_id) AS persons
    FROM ${{sessions}} WHERE {FINISHED}
    GROUP BY weekday, hour {_ENOUGH} ORDER BY weekday, hour
    """,
    ("sessions", "daily_active"),
)
#: Of a person and an object: who viewed it, and who joined the same one, then or in a later session.
LINKS = Question(
    f"""
    SELECT link, COUNT(*) AS viewed, COUNT(CASE WHEN joined_at >= viewed_at THEN 1 END) AS joined,
      COUNT(DISTINCT person_id) AS persons,
      COUNT(DISTINCT CASE WHEN joined_at >= viewed_at THEN person_id END) AS joiners
    FROM (
      SELECT links.link, links.value, whose.person_id, MIN(links.first_viewed_at) AS viewed_at,
        MAX(links.first_joined_at) AS joined_at
      FROM ${{session_links}} AS links
      JOIN ${{sessions}} AS whose ON whose.session_id = links.session_id
      WHERE links.{FINISHED}
      GROUP BY links.link, links.value, whose.person_id
    ) AS objects
    WHERE viewed_at IS NOT NULL
    GROUP BY link ORDER BY link
    """,
    ("session_links", "sessions", "daily_active"),
    ("first_viewed_at", "first_joined_at"),
)
#: Of the last run that was checked: a run under a clock that was ahead sorts behind the last one for ever.
CHECKS = Question(
    f"""
    SELECT found.`check`, found.value, found.expected, found.lower, found.upper, found.status, daily.dau AS persons
    FROM ${{checks}} AS found
    LEFT JOIN ${{daily_active}} AS daily ON daily.date = found.date
    WHERE found.run_id = (
      SELECT MAX(run_id) FROM ${{checks}}
      WHERE run_id <= (SELECT MAX(run_id) FROM ${{runs}} WHERE run_id NOT IN ({_FOLLOWED}))
    )
    ORDER BY found.`check`
    """,
    ("checks", "runs", "daily_active"),
)
#: By name, in the order in which they are told.
ALL = {
    "runs": RUNS,
    "days": DAYS,
    "weeks": WEEKS,
    "retention": RETENTION,
    "funnels": FUNNELS,
    "links": LINKS,
    "entry": ENTRY,
    "exit": EXIT,
    "versions": VERSIONS,
    "hours": HOURS,
    "checks": CHECKS,
}
