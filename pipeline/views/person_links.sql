-- What persons did with which objects of the app, in all of their sessions: one row a person, link, object and action.
-- person_id STRING: The person.
-- user_id STRING: Firebase user, null for anonymous persons.
-- link STRING: Which of the links of the metrics file.
-- value STRING: The object, as the link's property names it; of social_event the social_event_id of social_events.
-- action STRING: Which of the link's actions.
-- session_count INT64: Sessions in which the person did it.
-- event_count INT64: Events that did it.
-- first_at TIMESTAMP: When the first of them was.
SELECT
  sessions.person_id,
  ANY_VALUE(sessions.user_id) AS user_id,
  links.link,
  links.value,
  done.action,
  COUNT(*) AS session_count,
  SUM(done.number) AS event_count,
  MIN(done.first_at) AS first_at
FROM ${SESSION_LINKS} AS links
JOIN ${SESSIONS} AS sessions ON sessions.session_id = links.session_id
CROSS JOIN UNNEST([${ACTIONS}]) AS done
WHERE done.number > 0
GROUP BY sessions.person_id, links.link, links.value, done.action
