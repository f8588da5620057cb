-- Every day of every active Firebase user, zeros filled, under the names of the earlier job: one row a user and day, from the day of sign-up, or of the first activity if that is earlier or no sign-up is known, to that of the watermark.
-- user_id STRING: The Firebase user.
-- date DATE: Day in reporting_timezone of the metrics file; the last one is not finished.
-- event_count INT64: Events of the sessions that start on the day; the earlier job counted those outside sessions too.
-- events_created_count INT64: Social events that the user created.
-- accepted INT64: Invites that the user received on the day and has accepted.
-- invited INT64: Invites of the day that the user has not answered.
-- rejected INT64: Invites of the day that the user has rejected.
-- createdAt TIMESTAMP: When the user signed up; this and the next four are null for a user without any session.
-- phoneNumber STRING: The user's phone number.
-- fullName STRING: The user's full name.
-- username STRING: The user's name in the app.
-- email STRING: The user's e-mail address.
-- etl_loaded_at TIMESTAMP: When one of the user's days last changed.
WITH
  days AS ${USER_DAYS},
  users AS (
    SELECT
      user_id,
      MIN(date) AS first_date,
      ANY_VALUE(today) AS today,
      MAX(_loaded_at) AS loaded_at
    FROM days
    GROUP BY user_id
  ),
  profiles AS (
    SELECT
      users.user_id,
      users.today,
      users.loaded_at,
      -- a sign-up before any app is a mistake, and would be a row for each of the days since
      IF(
        persons.createdAt >= TIMESTAMP '2015-01-01 00:00:00+00',
        LEAST(DATE(persons.createdAt, ${ZONE}), users.first_date),
        users.first_date
      ) AS first_date,
      persons.createdAt,
      persons.phoneNumber,
      persons.fullName,
      persons.username,
      persons.email
    FROM users
    LEFT JOIN ${PERSONS} AS persons ON persons.user_id = users.user_id
  ),
  grid AS (
    SELECT *
    FROM profiles
    CROSS JOIN UNNEST(GENERATE_DATE_ARRAY(first_date, today)) AS date
  )
SELECT
  grid.user_id,
  grid.date,
  IFNULL(days.event_count, 0) AS event_count,
  IFNULL(days.events_created_count, 0) AS events_created_count,
  IFNULL(days.invites_accepted, 0) AS accepted,
  IFNULL(days.invites_pending, 0) AS invited,
  IFNULL(days.invites_rejected, 0) AS rejected,
  grid.createdAt,
  grid.phoneNumber,
  grid.fullName,
  grid.username,
  grid.email,
  grid.loaded_at AS etl_loaded_at
FROM grid
LEFT JOIN days ON days.user_id = grid.user_id AND days.date = grid.date
