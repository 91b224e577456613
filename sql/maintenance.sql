-- Maintenance: when each maintenance task last ran. Portable: every statement runs unchanged on every engine.

-- name: set_maintenance_task(name, ran_at)!
-- Records that a task completed.
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
-- When each task last completed, by name.
--   max_rows  integer  1 to 100
-- Index: maintenance_tasks primary key (full scan in its order, no sort)
-- Rows: 0 to max_rows, one per task
-- Allow: full-scan, there are five tasks
SELECT
    name,
    ran_at
FROM maintenance_tasks
ORDER BY name
LIMIT :max_rows;
