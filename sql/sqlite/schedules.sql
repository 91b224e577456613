-- Schedules: statements specific to SQLite.

-- name: list_due_schedules(now, max_rows)
-- The schedules whose next slot has come, longest due first; they are locked until the transaction ends.
--   now  timestamp  the instant of the transaction
--   max_rows  integer  1 to 1000
-- Index: schedules_next_at_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Schedule
-- Differs: a SQLite writer already has the only write lock
SELECT
    name,
    cron,
    timezone,
    type,
    payload,
    priority,
    max_attempts,
    catch_up,
    next_at,
    created_at,
    updated_at
FROM schedules
WHERE next_at <= :now
ORDER BY next_at, name
LIMIT :max_rows;
