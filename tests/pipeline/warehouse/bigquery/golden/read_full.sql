SELECT `uuid`, `timestamp` FROM `project-x.posthog_etl.events`
