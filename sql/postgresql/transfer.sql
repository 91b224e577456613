-- Transfer: what PostgreSQL needs its own words for.

-- name: add_job_counts()!
-- Counts the ended jobs again, in the place of what was counted: behind a copy, whose rows no trigger saw.
-- Index: none (reads every job)
-- Rows: 0 to three a type
-- Differs: each count stands in 16 rows; all of it goes into the first
-- Allow: full-scan, once, behind a copy of everything
INSERT INTO job_counts (type, status, shard, job_count)
SELECT
    type,
    status,
    0,
    count(*)
FROM job_queue
WHERE finished_at IS NOT NULL
GROUP BY type, status
ON CONFLICT (type, status, shard) DO UPDATE SET job_count = excluded.job_count;

-- name: raise_audit_high_water(id)!
-- Has the audit log go on behind a number, though no entry has it: the end of the log that was copied may be cut.
--   id  integer  the highest number that was given out
-- Index: audit_log_counter primary key
-- Rows: 1
-- Differs: the number stands in a row of its own, where SQLite has sqlite_sequence
INSERT INTO audit_log_counter (name, last_id)
VALUES ('audit_log', :id)
ON CONFLICT (name) DO UPDATE SET last_id = greatest(audit_log_counter.last_id, excluded.last_id);
