SELECT COUNTIF(run_id != (SELECT IFNULL(MAX(run_id), '') FROM `project-x.out.runs`)) AS number FROM `project-x.out.run_fence`
