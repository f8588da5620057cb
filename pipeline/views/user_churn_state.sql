-- Who has churned, as a user of the app and as one who makes or gets invitations (biz), under the names of the earlier job: one row a Firebase user with any activity. Now is the day of the watermark.
-- user_id STRING: The Firebase user.
-- first_app_active_date DATE: The first day with a session that starts or ends; null for none.
-- last_app_active_date DATE: The last of these days.
-- days_since_last_app_activity INT64: Days from it to the day of the watermark.
-- app_times_churned INT64: How often there were more than inactive_days of the metrics file (14) from one of these days to the next.
-- app_churn_state STRING: churned (the last one is more than inactive_days ago), else reactivated (after such a gap), else active; never_active.
-- app_churn_date DATE: When churned: inactive_days after the last one.
-- first_biz_active_date DATE: The first day with a social event created or an invite received; null for none.
-- last_biz_active_date DATE: The last of these days.
-- days_since_last_biz_activity INT64: Days from it to the day of the watermark.
-- biz_times_churned INT64: How often there were more than inactive_days of the metrics file (14) from one of these days to the next.
-- biz_churn_state STRING: churned (the last one is more than inactive_days ago), else reactivated (after such a gap), else active; never_active.
-- biz_churn_date DATE: When churned: inactive_days after the last one.
-- total_events_created INT64: Social events that the user created.
-- total_events_attended INT64: Invites that the user has accepted.
-- total_app_interactions INT64: Events of the user's sessions.
-- etl_loaded_at TIMESTAMP: When one of the user's days last changed.
WITH
  days AS ${USER_DAYS},
  activity AS (
    SELECT user_id, 'app' AS kind, date, today FROM days WHERE is_app_active
    UNION ALL
    SELECT user_id, 'biz', date, today FROM days WHERE is_social_active
  ),
  gaps AS (
    SELECT
      *,
      DATE_DIFF(date, LAG(date) OVER (PARTITION BY user_id, kind ORDER BY date), DAY) AS gap
    FROM activity
  ),
  spans AS (
    SELECT
      user_id,
      kind,
      MIN(date) AS first_date,
      MAX(date) AS last_date,
      DATE_DIFF(ANY_VALUE(today), MAX(date), DAY) AS idle_days,
      COUNTIF(gap > ${INACTIVE_DAYS}) AS times_churned
    FROM gaps
    GROUP BY user_id, kind
  ),
  states AS (
    SELECT
      *,
      CASE
        WHEN idle_days > ${INACTIVE_DAYS} THEN 'churned'
        WHEN times_churned > 0 THEN 'reactivated'
        ELSE 'active'
      END AS churn_state,
      IF(idle_days > ${INACTIVE_DAYS}, DATE_ADD(last_date, INTERVAL ${INACTIVE_DAYS} DAY), NULL) AS churn_date
    FROM spans
  ),
  totals AS (
    SELECT
      user_id,
      SUM(events_created_count) AS total_events_created,
      SUM(invites_accepted) AS total_events_attended,
      SUM(event_count) AS total_app_interactions,
      MAX(_loaded_at) AS etl_loaded_at
    FROM days
    GROUP BY user_id
  )
SELECT
  totals.user_id,
  app.first_date AS first_app_active_date,
  app.last_date AS last_app_active_date,
  app.idle_days AS days_since_last_app_activity,
  IFNULL(app.times_churned, 0) AS app_times_churned,
  IFNULL(app.churn_state, 'never_active') AS app_churn_state,
  app.churn_date AS app_churn_date,
  biz.first_date AS first_biz_active_date,
  biz.last_date AS last_biz_active_date,
  biz.idle_days AS days_since_last_biz_activity,
  IFNULL(biz.times_churned, 0) AS biz_times_churned,
  IFNULL(biz.churn_state, 'never_active') AS biz_churn_state,
  biz.churn_date AS biz_churn_date,
  totals.total_events_created,
  totals.total_events_attended,
  totals.total_app_interactions,
  totals.etl_loaded_at
FROM totals
LEFT JOIN states AS app ON app.user_id = totals.user_id AND app.kind = 'app'
LEFT JOIN states AS biz ON biz.user_id = totals.user_id AND biz.kind = 'biz'
