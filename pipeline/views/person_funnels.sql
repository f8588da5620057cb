-- How far persons came in the steps that the metrics file declares (kind `sequence`): one row a person and sequence.
-- person_id STRING: The person.
-- user_id STRING: Firebase user, null for anonymous persons.
-- funnel STRING: Name of the sequence.
-- steps INT64: How many steps it has.
-- furthest_step INT64: The furthest step reached in one session, from 1.
-- sessions_started INT64: Sessions that reached the first step.
-- sessions_finished INT64: Sessions that reached the last one.
-- attempts INT64: Events of the first step.
-- first_started_at TIMESTAMP: When the first step was reached first.
-- first_finished_at TIMESTAMP: When the last step was reached first; null for never.
-- shortest_duration FLOAT64: The fewest seconds from the first to the last step of a session; null for never.
SELECT
  sessions.person_id,
  ANY_VALUE(sessions.user_id) AS user_id,
  walked.funnel,
  ANY_VALUE(walked.steps) AS steps,
  MAX(walked.step) AS furthest_step,
  COUNT(*) AS sessions_started,
  COUNTIF(walked.finished_at IS NOT NULL) AS sessions_finished,
  SUM(walked.attempts) AS attempts,
  MIN(walked.started_at) AS first_started_at,
  MIN(walked.finished_at) AS first_finished_at,
  MIN(walked.duration) AS shortest_duration
FROM ${SESSIONS} AS sessions
CROSS JOIN UNNEST([${FUNNELS}]) AS walked
WHERE walked.step > 0
GROUP BY sessions.person_id, walked.funnel
