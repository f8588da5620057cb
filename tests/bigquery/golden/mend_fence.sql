UPDATE `project-x.out.run_fence` SET run_id = (SELECT IFNULL(MAX(run_id), '') FROM `project-x.out.runs`) WHERE run_id != (SELECT IFNULL(MAX(run_id), '') FROM `project-x.out.runs`)
