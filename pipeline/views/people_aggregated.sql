-- One row a Firebase user over the rows of `sessions_aggregated`, under the names of the earlier job.
-- user_id STRING: The Firebase user.
-- total_sessions INT64: Sessions.
-- avg_session_duration FLOAT64: Mean session duration, seconds.
-- median_session_duration FLOAT64: Median session duration, seconds.
-- total_session_duration FLOAT64: Sum of session durations, seconds.
-- min_session_duration FLOAT64: Shortest session, seconds.
-- max_session_duration FLOAT64: Longest session, seconds.
-- std_session_duration FLOAT64: Sample deviation, seconds; null for one session.
-- created_event_sum INT64: Sessions with created_event.
-- viewed_event_sum INT64: Sessions with viewed_event.
-- joined_event_sum INT64: Sessions with joined_event.
-- invited_someone_sum INT64: Sessions with invited_someone.
-- enabled_contacts_sum INT64: Sessions with enabled_contacts.
-- scrolled_sum INT64: Sessions with scrolled.
-- visited_discover_sum INT64: Sessions with visited_discover.
-- started_quiz_sum INT64: Sessions with started_quiz.
-- completed_quiz_sum INT64: Sessions with completed_quiz.
-- total_scrolls INT64: Sum of scroll_event_count.
-- avg_scrolls_per_session FLOAT64: Mean of scroll_event_count.
-- max_scrolls_per_session INT64: Maximum of scroll_event_count.
-- total_autocaptures INT64: Sum of autocapture_count.
-- avg_autocaptures_per_session FLOAT64: Mean of autocapture_count.
-- max_autocaptures_per_session INT64: Maximum of autocapture_count.
-- total_screens INT64: Sum of screen_count.
-- avg_screens_per_session FLOAT64: Mean of screen_count.
-- max_screens_per_session INT64: Maximum of screen_count.
-- first_session_date TIMESTAMP: Start of the first session.
-- last_session_date TIMESTAMP: Start of the last session.
-- days_since_first_session FLOAT64: Days from the first to the last session's start, fractional.
-- sessions_per_day FLOAT64: Sessions / (days_since_first_session + 1).
-- engagement_score FLOAT64: Share of sessions, 0 to 1, that created, viewed, joined or scrolled; the earlier job added four shares, 0 to 4.
-- fullName STRING: The user's full name.
-- phoneNumber STRING: The user's phone number.
-- username STRING: The user's name in the app.
-- email STRING: The user's e-mail address.
-- contactAccessGranted BOOL: Whether the user let the app read contacts; false where it is not known.
-- businessUser BOOL: Whether it is a business account; false where it is not known.
-- createdAt TIMESTAMP: When the user signed up.
-- city STRING: City of the latest session that has one.
-- country STRING: Country of the latest session that has one.
-- etl_loaded_at TIMESTAMP: When one of the sessions' rows last changed.
WITH
  placed AS (
    SELECT
      * EXCEPT (city, country),
      PERCENTILE_CONT(session_duration, 0.5) OVER (PARTITION BY user_id) AS median_duration,
      FIRST_VALUE(city IGNORE NULLS) OVER latest_first AS city,
      FIRST_VALUE(country IGNORE NULLS) OVER latest_first AS country
    FROM ${SESSIONS_AGGREGATED}
    WINDOW
      latest_first AS (
        PARTITION BY user_id ORDER BY start_timestamp DESC, session_id DESC
        ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
      )
  ),
  summed AS (
    SELECT
      user_id,
      COUNT(*) AS total_sessions,
      AVG(session_duration) AS avg_session_duration,
      ANY_VALUE(median_duration) AS median_session_duration,
      SUM(session_duration) AS total_session_duration,
      MIN(session_duration) AS min_session_duration,
      MAX(session_duration) AS max_session_duration,
      STDDEV_SAMP(session_duration) AS std_session_duration,
      COUNTIF(created_event) AS created_event_sum,
      COUNTIF(viewed_event) AS viewed_event_sum,
      COUNTIF(joined_event) AS joined_event_sum,
      COUNTIF(invited_someone) AS invited_someone_sum,
      COUNTIF(enabled_contacts) AS enabled_contacts_sum,
      COUNTIF(scrolled) AS scrolled_sum,
      COUNTIF(visited_discover) AS visited_discover_sum,
      COUNTIF(started_quiz) AS started_quiz_sum,
      COUNTIF(completed_quiz) AS completed_quiz_sum,
      SUM(scroll_event_count) AS total_scrolls,
      AVG(scroll_event_count) AS avg_scrolls_per_session,
      MAX(scroll_event_count) AS max_scrolls_per_session,
      SUM(autocapture_count) AS total_autocaptures,
      AVG(autocapture_count) AS avg_autocaptures_per_session,
      MAX(autocapture_count) AS max_autocaptures_per_session,
      SUM(screen_count) AS total_screens,
      AVG(screen_count) AS avg_screens_per_session,
      MAX(screen_count) AS max_screens_per_session,
      MIN(start_timestamp) AS first_session_date,
      MAX(start_timestamp) AS last_session_date,
      TIMESTAMP_DIFF(MAX(start_timestamp), MIN(start_timestamp), MICROSECOND) / 86400000000
        AS days_since_first_session,
      COUNTIF(created_event OR viewed_event OR joined_event OR scrolled) / COUNT(*) AS engagement_score,
      ANY_VALUE(fullName) AS fullName,
      ANY_VALUE(phoneNumber) AS phoneNumber,
      ANY_VALUE(username) AS username,
      ANY_VALUE(email) AS email,
      ANY_VALUE(contactAccessGranted) AS contactAccessGranted,
      ANY_VALUE(businessUser) AS businessUser,
      ANY_VALUE(createdAt) AS createdAt,
      ANY_VALUE(city) AS city,
      ANY_VALUE(country) AS country,
      MAX(etl_loaded_at) AS etl_loaded_at
    FROM placed
    GROUP BY user_id
  )
SELECT
  *,
  total_sessions / (days_since_first_session + 1) AS sessions_per_day
FROM summed
