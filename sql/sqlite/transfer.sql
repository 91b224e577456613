-- Transfer: what SQLite needs its own words for.

-- name: add_job_counts()!
-- Counts the jobs again, in the place of what was counted: behind a copy, whose rows no trigger saw.
-- Index: none (reads every job twice); sorts a row a type and status
-- Rows: 0 to five a type
-- Differs: PostgreSQL keeps the ended ones only, and each count in 16 rows
-- Allow: full-scan, once, when a database is copied
INSERT INTO job_counts (type, status, job_count)
SELECT
    type,
    'stored' AS status,
    count(*) AS job_count
FROM job_queue
GROUP BY type
UNION ALL
SELECT
    type,
    status,
    count(*) AS job_count
FROM job_queue
WHERE finished_at IS NOT NULL
GROUP BY type, status
ON CONFLICT (type, status) DO UPDATE SET job_count = excluded.job_count;

-- name: raise_audit_high_water(id)!
-- Has the audit log go on behind a number, though no entry has it: the end of the log that was copied may be cut.
--   id  integer  the highest number that was given out
-- Index: none (a row per table with AUTOINCREMENT)
-- Rows: 0 or 1 (0: nothing was ever logged)
-- Differs: sqlite_sequence is SQLite's; PostgreSQL keeps the number in a table of its own
-- Allow: full-scan, sqlite_sequence has few rows and can have no index
UPDATE sqlite_sequence
SET seq = :id
WHERE
    name = 'audit_log'
    AND seq < :id;
