-- sessions-freshness ${CONTENT}: fails when the tables are stale, so that the failure of this scheduled query raises the
-- alert (alerts/stale_tables.json).
-- Every published run adds a row to runs, also on a day without news; its watermark is an arrival that ten rows have reached.
SELECT
  CASE
    WHEN MAX(published_at) IS NULL THEN ERROR('stale: nothing was ever published')
    WHEN MAX(published_at) < CURRENT_TIMESTAMP - INTERVAL 26 HOUR THEN ERROR('stale: no run was published for 26 hours')
    WHEN MAX(watermark) < CURRENT_TIMESTAMP - INTERVAL 50 HOUR THEN ERROR('stale: the export brought nothing for 50 hours')
    ELSE 'fresh'
  END AS state
FROM `${PROJECT}.${AGGREGATED_DATASET}.runs`
