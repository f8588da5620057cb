SELECT run_id, watermark FROM `project-x.out.runs` ORDER BY run_id DESC LIMIT 1
