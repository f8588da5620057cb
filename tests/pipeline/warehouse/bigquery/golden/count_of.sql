SELECT COUNT(*) AS number FROM `project-x.posthog_etl.events`
