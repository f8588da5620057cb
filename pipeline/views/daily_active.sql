-- How many persons are active: one row a finished day, from the first day with a session on.
-- date DATE: Day in reporting_timezone of the metrics file.
-- dau INT64: Persons who start a session that day.
-- wau INT64: Persons who start one on that day or the 6 days before.
-- mau INT64: Persons who start one on that day or the 29 days before.
-- stickiness FLOAT64: dau / mau; null where nobody is active for 30 days.
-- new_persons INT64: Of dau those whose first session starts that day.
-- returning_persons INT64: The rest of dau.
WITH
  clock AS ${CLOCK},
  visits AS (
    SELECT
      date,
      LEAD(date) OVER (PARTITION BY person_id ORDER BY date) AS next_date,
      ROW_NUMBER() OVER (PARTITION BY person_id ORDER BY date) AS number
    FROM ${ACTIVE_DAYS}
  ),
  -- A person counts from a visit until the next one, which counts again, or until so many days have passed.
  changes AS (
    SELECT date, 1 AS visits, IF(number = 1, 1, 0) AS firsts, 1 AS weekly, 1 AS monthly
    FROM visits
    UNION ALL
    SELECT LEAST(DATE_ADD(date, INTERVAL 7 DAY), IFNULL(next_date, DATE '9999-12-31')), 0, 0, -1, 0
    FROM visits
    UNION ALL
    SELECT LEAST(DATE_ADD(date, INTERVAL 30 DAY), IFNULL(next_date, DATE '9999-12-31')), 0, 0, 0, -1
    FROM visits
  ),
  days AS (
    SELECT date
    FROM (SELECT MIN(date) AS first_date, ANY_VALUE(today) AS today FROM visits CROSS JOIN clock)
    CROSS JOIN UNNEST(GENERATE_DATE_ARRAY(first_date, DATE_SUB(today, INTERVAL 1 DAY))) AS date
  ),
  running AS (
    SELECT
      date,
      SUM(visits) AS dau,
      SUM(firsts) AS new_persons,
      SUM(SUM(weekly)) OVER (ORDER BY date) AS wau,
      SUM(SUM(monthly)) OVER (ORDER BY date) AS mau
    FROM (SELECT * FROM changes UNION ALL SELECT date, 0, 0, 0, 0 FROM days)
    GROUP BY date
  )
SELECT
  date,
  dau,
  wau,
  mau,
  SAFE_DIVIDE(dau, mau) AS stickiness,
  new_persons,
  dau - new_persons AS returning_persons
FROM running
JOIN days USING (date)
