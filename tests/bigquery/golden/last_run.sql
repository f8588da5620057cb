SELECT * FROM `project-x.out.runs` WHERE run_id = (SELECT IFNULL(MAX(run_id), '') FROM `project-x.out.runs` WHERE run_id NOT IN (SELECT IFNULL(previous_run_id, '') FROM `project-x.out.runs`))
