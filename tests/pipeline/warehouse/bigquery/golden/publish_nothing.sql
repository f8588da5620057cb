BEGIN TRANSACTION;
SELECT IF((SELECT MAX(run_id) FROM `project-x.out.run_fence`) = "run-1" AND (SELECT IFNULL(MAX(run_id), '') FROM `project-x.out.runs` WHERE run_id NOT IN (SELECT IFNULL(previous_run_id, '') FROM `project-x.out.runs`)) = "run-1", 1, ERROR('another run was published meanwhile'));
UPDATE `project-x.out.run_fence` SET run_id = "run-2" WHERE TRUE;
SELECT IF((SELECT COUNT(*) FROM `project-x.out._staging_sessions`) = 0, 1, ERROR('rows missing in the staging table of sessions'));
SELECT IF((SELECT COUNT(*) FROM `project-x.out._staging_persons`) = 0, 1, ERROR('rows missing in the staging table of persons'));
SELECT IF((SELECT COUNT(*) FROM `project-x.out._staging_session_links`) = 0, 1, ERROR('rows missing in the staging table of session_links'));
SELECT IF((SELECT COUNT(*) FROM `project-x.out._staging_person_days`) = 0, 1, ERROR('rows missing in the staging table of person_days'));
SELECT IF((SELECT COUNT(*) FROM `project-x.out._staging_social_events`) = 0, 1, ERROR('rows missing in the staging table of social_events'));
SELECT IF((SELECT COUNT(*) FROM `project-x.out._staging_rejected_events`) = 0, 1, ERROR('rows missing in the staging table of rejected_events'));
INSERT INTO `project-x.out.runs` (run_id, previous_run_id, mode, scan_start, scan_end, new_after, watermark, rows_read, rows_kept, rows_duplicate, rows_filtered, rows_rejected, filtered, rejected, sessions_inserted, sessions_updated, sessions_deleted, sessions_unchanged, persons_inserted, persons_updated, persons_deleted, persons_unchanged, sessions_too_old, too_old_sessions, too_old_session_days, too_old_days, late_seen, notes, bytes_read, bytes_total, started_at, published_at, seconds, checks, metrics_digest, excluded_digest, excluded_marks, deletion_digest, deletion_marks, privacy_key_id, code_version, options)
VALUES ("run-2", "run-1", NULL, NULL, NULL, NULL, TIMESTAMP '2026-01-31 02:03:04.000005+00:00', 7, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, ["it's", "\\"], [], NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1.5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "{\"limit\": \"5\"}");
COMMIT TRANSACTION;
