SELECT COUNT(DISTINCT DATE(start_timestamp)) AS number FROM `project-x.out._staging_sessions`
