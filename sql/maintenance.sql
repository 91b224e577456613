-- Maintenance: when each upkeep task last ran. Portable: each statement runs as it stands on every engine.

-- name: set_maintenance_task(name, ran_at)!
-- Notes that a task ran to its end.
--   name  text  free_pages, full_text, checkpoint, optimize or vacuum
--   ran_at  timestamp  the instant of the transaction
-- Index: none (an insert)
-- Rows: 1
INSERT INTO maintenance_tasks (
    name,
    ran_at
)
VALUES (
    :name,
    :ran_at
)
ON CONFLICT (name) DO UPDATE
SET ran_at = excluded.ran_at;

-- name: list_maintenance_tasks(max_rows)
-- When each task last ran to its end, by name.
--   max_rows  integer  1 to 100
-- Index: maintenance_tasks primary key (read as a whole, in its order, no sort)
-- Rows: 0 to max_rows, one a task
-- Allow: full-scan, there are five tasks
SELECT
    name,
    ran_at
FROM maintenance_tasks
ORDER BY name
LIMIT :max_rows;
