CREATE TABLE IF NOT EXISTS `project-x.out.run_fence` AS SELECT IFNULL(MAX(run_id), '') AS run_id FROM `project-x.out.runs`
