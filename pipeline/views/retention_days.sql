-- D1, D7 and D30: one row a day of first sessions and a number of days since.
-- cohort_date DATE: Day on which the persons' first sessions start.
-- day_number INT64: 1, 7 or 30 days since.
-- cohort_size INT64: Persons of the cohort.
-- active INT64: Of them those who start a session on exactly that day; null while it is not finished.
-- retention FLOAT64: active / cohort_size.
-- is_complete BOOL: Whether that day is finished.
WITH
  clock AS ${CLOCK},
  visits AS (
    SELECT person_id, date, MIN(date) OVER (PARTITION BY person_id) AS first_date
    FROM ${ACTIVE_DAYS}
  ),
  cohorts AS (
    SELECT
      first_date,
      COUNTIF(date = first_date) AS cohort_size,
      COUNTIF(DATE_DIFF(date, first_date, DAY) = 1) AS day_1,
      COUNTIF(DATE_DIFF(date, first_date, DAY) = 7) AS day_7,
      COUNTIF(DATE_DIFF(date, first_date, DAY) = 30) AS day_30
    FROM visits
    GROUP BY first_date
  ),
  counted AS (
    SELECT
      first_date,
      day_number,
      cohort_size,
      CASE day_number WHEN 1 THEN day_1 WHEN 7 THEN day_7 ELSE day_30 END AS active,
      DATE_DIFF(today, first_date, DAY) > day_number AS is_complete
    FROM cohorts
    CROSS JOIN clock
    CROSS JOIN UNNEST([1, 7, 30]) AS day_number
  )
SELECT
  first_date AS cohort_date,
  day_number,
  cohort_size,
  IF(is_complete, active, NULL) AS active,
  IF(is_complete, active / cohort_size, NULL) AS retention,
  is_complete
FROM counted
