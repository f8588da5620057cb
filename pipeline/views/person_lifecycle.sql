-- Where growth comes from and goes to: one row a finished week, from the first week with a session on.
-- week DATE: Monday of the week.
-- new_persons INT64: Persons whose first session starts in it.
-- returning_persons INT64: Persons who start one in it and in the week before.
-- resurrecting_persons INT64: Persons who start one in it, none in the week before, and some earlier.
-- dormant_persons INT64: Persons who start none in it, and some in the week before.
WITH
  clock AS ${CLOCK},
  weeks AS (
    SELECT DISTINCT person_id, DATE_TRUNC(date, WEEK(MONDAY)) AS week
    FROM ${ACTIVE_DAYS}
  ),
  visits AS (
    SELECT
      week,
      DATE_DIFF(week, LAG(week) OVER (PARTITION BY person_id ORDER BY week), DAY) AS since,
      DATE_DIFF(LEAD(week) OVER (PARTITION BY person_id ORDER BY week), week, DAY) AS until
    FROM weeks
  ),
  changes AS (
    SELECT week, CASE WHEN since IS NULL THEN 'new' WHEN since = 7 THEN 'returning' ELSE 'resurrecting' END AS state
    FROM visits
    UNION ALL
    SELECT DATE_ADD(week, INTERVAL 7 DAY), 'dormant'
    FROM visits
    WHERE until IS NULL OR until > 7
  ),
  calendar AS (
    SELECT week
    FROM (SELECT MIN(week) AS first_week, ANY_VALUE(today) AS today FROM visits CROSS JOIN clock)
    CROSS JOIN UNNEST(GENERATE_DATE_ARRAY(first_week, DATE_SUB(today, INTERVAL 7 DAY), INTERVAL 7 DAY)) AS week
  )
SELECT
  week,
  COUNTIF(state = 'new') AS new_persons,
  COUNTIF(state = 'returning') AS returning_persons,
  COUNTIF(state = 'resurrecting') AS resurrecting_persons,
  COUNTIF(state = 'dormant') AS dormant_persons
FROM calendar
LEFT JOIN changes USING (week)
GROUP BY week
