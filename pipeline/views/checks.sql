-- What the checks of the metrics file found: one row a run and check.
-- run_id STRING: The run.
-- check STRING: Name of the check; of one for every metric NAME.<metric>.
-- date DATE: The day that was looked at: the run's last finished one.
-- value FLOAT64: What was measured: a number of the day, or a share; null where there is nothing to measure.
-- expected FLOAT64: The median of the same weekday of the four weeks before; null where fewer than two are known.
-- lower FLOAT64: The least that is as expected.
-- upper FLOAT64: The most that is as expected.
-- status STRING: ok, warn, fail (and published with --ignore_checks), or unjudged: nothing is expected, or too little.
SELECT
  runs.run_id,
  JSON_VALUE(finding, '$.check') AS `check`,
  CAST(JSON_VALUE(finding, '$.date') AS DATE) AS date,
  CAST(JSON_VALUE(finding, '$.value') AS FLOAT64) AS value,
  CAST(JSON_VALUE(finding, '$.expected') AS FLOAT64) AS expected,
  CAST(JSON_VALUE(finding, '$.lower') AS FLOAT64) AS lower,
  CAST(JSON_VALUE(finding, '$.upper') AS FLOAT64) AS upper,
  JSON_VALUE(finding, '$.status') AS status
FROM ${RUNS} AS runs
CROSS JOIN UNNEST(JSON_QUERY_ARRAY(runs.checks, '$')) AS finding
