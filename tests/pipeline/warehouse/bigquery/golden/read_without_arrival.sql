SELECT `uuid`, `timestamp` FROM `project-x.posthog_etl.events` WHERE (timestamp >= TIMESTAMP '2026-01-27 02:03:04.000005+00:00' AND (TRUE)) OR (timestamp IS NULL AND (TRUE))
