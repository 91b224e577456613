-- The audit log: what SQLite needs its own words for.

-- name: audit_high_water()$
-- The highest id that the log ever gave out; above the newest entry's id, the log lost its tail.
-- Index: none (a row per table with AUTOINCREMENT: there is one)
-- Rows: 0 or 1 (0: nothing was ever logged)
-- Returns: seq integer
-- Differs: sqlite_sequence is SQLite's; PostgreSQL keeps the number in a table of its own
-- Allow: full-scan, sqlite_sequence has one row and can have no index
SELECT seq
FROM sqlite_sequence
WHERE name = 'audit_log'
ORDER BY rowid
LIMIT 1;
