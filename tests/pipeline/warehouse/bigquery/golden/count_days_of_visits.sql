SELECT COUNT(DISTINCT day) AS number FROM `project-x.out._staging_visits`
