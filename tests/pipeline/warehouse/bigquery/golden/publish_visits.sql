BEGIN TRANSACTION;
SELECT IF((SELECT MAX(run_id) FROM `project-x.out.run_fence_sample`) = "", 1, ERROR('another run was published meanwhile'));
UPDATE `project-x.out.run_fence_sample` SET run_id = "run-2" WHERE TRUE;
SELECT IF((SELECT COUNT(*) FROM `project-x.out._staging_visits`) = 3, 1, ERROR('rows missing in the staging table of visits'));
SELECT IF((SELECT COUNT(*) FROM (SELECT DISTINCT person_id, day FROM `project-x.out._staging_visits` WHERE person_id IS NOT NULL AND day IS NOT NULL)) = 3, 1, ERROR('repeated keys in the staging table of visits'));
MERGE `project-x.out.visits` AS target USING `project-x.out._staging_visits` AS staged ON target.person_id = staged.person_id AND target.day = staged.day
WHEN MATCHED AND staged._change = 'deleted' THEN DELETE
WHEN MATCHED THEN UPDATE SET `sessions` = staged.`sessions`, `_loaded_at` = staged.`_loaded_at`, `_run_id` = staged.`_run_id`
WHEN NOT MATCHED AND staged._change != 'deleted' THEN INSERT (`person_id`, `day`, `sessions`, `_loaded_at`, `_run_id`) VALUES (staged.`person_id`, staged.`day`, staged.`sessions`, staged.`_loaded_at`, staged.`_run_id`);
COMMIT TRANSACTION;
