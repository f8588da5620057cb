CREATE TABLE IF NOT EXISTS `project-x.out.run_fence_sample` AS SELECT '' AS run_id
