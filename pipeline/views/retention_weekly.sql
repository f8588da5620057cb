-- Who comes back week by week: one row a week of first sessions and a week since, up to the last finished day.
-- cohort_week DATE: Monday of the week in which the persons' first sessions start.
-- week_number INT64: Weeks since: 0 is the cohort's own.
-- cohort_size INT64: Persons of the cohort.
-- active INT64: Of them those who start a session in that week.
-- retention FLOAT64: active / cohort_size.
-- is_complete BOOL: Whether that week is finished; otherwise active may still grow.
WITH
  clock AS ${CLOCK},
  visits AS (
    SELECT person_id, date, MIN(date) OVER (PARTITION BY person_id) AS first_date
    FROM ${ACTIVE_DAYS}
  ),
  weeks AS (
    SELECT
      DATE_TRUNC(first_date, WEEK(MONDAY)) AS cohort_week,
      DIV(DATE_DIFF(date, DATE_TRUNC(first_date, WEEK(MONDAY)), DAY), 7) AS week_number,
      COUNT(DISTINCT person_id) AS active
    FROM visits
    GROUP BY cohort_week, week_number
  ),
  grid AS (
    SELECT cohort_week, active AS cohort_size, number
    FROM weeks
    CROSS JOIN clock
    CROSS JOIN UNNEST(GENERATE_ARRAY(0, DIV(DATE_DIFF(DATE_SUB(today, INTERVAL 1 DAY), cohort_week, DAY), 7))) AS number
    WHERE week_number = 0
  )
SELECT
  grid.cohort_week,
  grid.number AS week_number,
  grid.cohort_size,
  IFNULL(weeks.active, 0) AS active,
  IFNULL(weeks.active, 0) / grid.cohort_size AS retention,
  DATE_ADD(grid.cohort_week, INTERVAL 7 * (grid.number + 1) DAY) <= clock.today AS is_complete
FROM grid
CROSS JOIN clock
LEFT JOIN weeks ON weeks.cohort_week = grid.cohort_week AND weeks.week_number = grid.number
