-- The audit log: what PostgreSQL needs its own words for.

-- name: audit_high_water()$
-- The highest id that the log ever gave out; above the newest entry's id, the log lost its tail.
-- Index: audit_log_counter primary key
-- Rows: 0 or 1 (0: nothing was ever logged)
-- Differs: the number stands in a row of its own, where SQLite has sqlite_sequence
SELECT last_id AS seq
FROM audit_log_counter
WHERE name = 'audit_log';
