SELECT MAX(run_id) AS run_id FROM `project-x.out.run_fence_sample`
