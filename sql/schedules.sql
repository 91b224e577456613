-- Schedules: a job for each slot of a cron expression. Portable: every statement runs unchanged on every engine.

-- name: add_schedule(name, cron, timezone, type, payload, priority, max_attempts, catch_up, next_at, now)^
-- Stores a schedule, or replaces it. If its cron expression and its time zone are unchanged, its next slot is too.
--   name  text  1 to 100 characters
--   cron  text  a cron expression
--   timezone  text  an IANA time zone
--   type  text  the type of its jobs; 1 to 200 characters
--   payload  json  the payload of its jobs, an object
--   priority  integer  0 to 9
--   max_attempts  integer  1 to 1000
--   catch_up  boolean  whether slots that passed while no worker ran are enqueued later
--   next_at  timestamp  the first slot
--   now  timestamp  the instant of the transaction
-- Index: none (an insert; the primary key decides the conflict)
-- Rows: 1
-- Record: Schedule
INSERT INTO schedules (
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
)
VALUES (
    :name,
    :cron,
    :timezone,
    :type,
    :payload,
    :priority,
    :max_attempts,
    :catch_up,
    :next_at,
    :now,
    :now
)
ON CONFLICT (name) DO UPDATE
SET
    cron = excluded.cron,
    timezone = excluded.timezone,
    type = excluded.type,
    payload = excluded.payload,
    priority = excluded.priority,
    max_attempts = excluded.max_attempts,
    catch_up = excluded.catch_up,
    next_at = CASE
        WHEN schedules.cron = excluded.cron AND schedules.timezone = excluded.timezone THEN schedules.next_at
        ELSE excluded.next_at
    END,
    updated_at = excluded.updated_at
RETURNING
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
    updated_at;

-- name: get_schedule(name)^
-- One schedule.
--   name  text  its name
-- Index: schedules primary key
-- Rows: 0 or 1
-- Record: Schedule
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
WHERE name = :name;

-- name: list_schedules(after_name, max_rows)
-- One page of the schedules, by name.
--   after_name  text  the last name of the previous page; '' for the first page
--   max_rows  integer  1 to 1001
-- Index: schedules primary key (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Schedule
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
WHERE name > :after_name
ORDER BY name
LIMIT :max_rows;

-- name: update_schedule_next_at(name, next_at)!
-- Moves a schedule on to its next slot.
--   name  text  its name
--   next_at  timestamp  the next slot
-- Index: schedules primary key
-- Rows: 0 or 1
UPDATE schedules
SET next_at = :next_at
WHERE name = :name;

-- name: delete_schedule(name)!
-- Deletes a schedule; its jobs stay.
--   name  text  its name
-- Index: schedules primary key
-- Rows: 0 or 1 (0: not found)
DELETE FROM schedules
WHERE name = :name;
