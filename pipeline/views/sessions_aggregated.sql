-- `sessions` under the names and row rules of the earlier job: sessions of Firebase users that lasted or had a touch.
-- session_id STRING: All events with one $session_id.
-- distinct_id STRING: Distinct id of the first event.
-- city STRING: First city of the session.
-- country STRING: First country of the session.
-- created_event BOOL: The user created a social event meanwhile.
-- viewed_event BOOL: Viewed a social event.
-- joined_event BOOL: Joined a social event.
-- invited_someone BOOL: Sent an invitation of any kind.
-- enabled_contacts BOOL: Let the app read contacts.
-- clicked_invite BOOL: Opened the invitation of a social event.
-- scrolled BOOL: At least one event with a touch position.
-- visited_discover BOOL: Was on the screen Discover.
-- scroll_event_count INT64: Events with a touch position; the earlier job counted $touch_x and $touch_y apart, twice as many.
-- started_quiz BOOL: Started a quiz.
-- completed_quiz BOOL: Finished a quiz.
-- start_timestamp TIMESTAMP: Time of the first event.
-- end_timestamp TIMESTAMP: Time of the last event.
-- autocapture_count INT64: Events $autocapture, of the events themselves, not of PostHog's sessions.
-- screen_count INT64: Events $screen, of the events themselves, not of PostHog's sessions.
-- session_duration FLOAT64: Seconds from the first to the last event.
-- user_id STRING: The Firebase user.
-- fullName STRING: The user's full name.
-- phoneNumber STRING: The user's phone number.
-- username STRING: The user's name in the app.
-- email STRING: The user's e-mail address.
-- contactAccessGranted BOOL: Whether the user let the app read contacts; false where it is not known.
-- businessUser BOOL: Whether it is a business account; false where it is not known.
-- createdAt TIMESTAMP: When the user signed up.
-- etl_loaded_at TIMESTAMP: When the row's content last changed; the earlier job wrote every row anew each time.
SELECT
  session_id,
  distinct_id,
  ${city} AS city,
  ${country} AS country,
  created_event,
  ${viewed_event} AS viewed_event,
  ${joined_event} AS joined_event,
  ${invited_someone} AS invited_someone,
  ${enabled_contacts} AS enabled_contacts,
  ${clicked_invite} AS clicked_invite,
  ${scrolled} AS scrolled,
  ${visited_discover} AS visited_discover,
  ${scroll_event_count} AS scroll_event_count,
  ${started_quiz} AS started_quiz,
  ${completed_quiz} AS completed_quiz,
  start_timestamp,
  end_timestamp,
  ${autocapture_count} AS autocapture_count,
  ${screen_count} AS screen_count,
  session_duration,
  user_id,
  fullName,
  phoneNumber,
  username,
  email,
  IFNULL(contactAccessGranted, FALSE) AS contactAccessGranted,
  IFNULL(businessUser, FALSE) AS businessUser,
  createdAt,
  _loaded_at AS etl_loaded_at
FROM ${SESSIONS}
WHERE user_id IS NOT NULL AND (session_duration > 0 OR ${autocapture_count} > 0)
