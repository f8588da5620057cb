SELECT COUNT(*) AS number FROM `project-x.out.runs` WHERE run_id = "run-2"
