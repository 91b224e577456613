-- The job queue: statements specific to SQLite.

-- name: lock_job(id)^
-- The current state of one job, which is locked until the transaction ends.
--   id  integer  id of the job
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1
-- Record: Job
-- Differs: a SQLite writer already has the only write lock
SELECT
    id,
    type,
    status,
    priority,
    run_at,
    payload,
    dedupe_key,
    limit_key,
    sequence_key,
    batch_id,
    after_batch,
    waits_for,
    attempts,
    max_attempts,
    backoff_seconds,
    backoff_cap_seconds,
    lease_token,
    lease_expires_at,
    worker,
    progress,
    cancel_requested,
    result,
    last_outcome,
    last_error,
    created_at,
    updated_at,
    started_at,
    finished_at
FROM job_queue
WHERE id = :id;

-- name: list_queued_job_types(max_rows)
-- The types that have queued jobs, in order. Each type takes one seek, regardless of the number of its jobs.
--   max_rows  integer  1 to 1000
-- Index: job_queue_claim_idx (one seek per type); sorts the types
-- Rows: 0 to max_rows
-- Differs: only SQLite has INDEXED BY, which prevents a scan of an index on status alone, if an application adds one
-- Allow: limit-order, each step of the recursion finds the next greater type, so types are unique
WITH RECURSIVE queued_types (type) AS (
    SELECT min(first_job.type)
    FROM job_queue AS first_job INDEXED BY job_queue_claim_idx
    WHERE
        first_job.status = 'queued'
        AND first_job.waits_for IS NULL
    UNION ALL
    SELECT (
        SELECT min(next_job.type)
        FROM job_queue AS next_job INDEXED BY job_queue_claim_idx
        WHERE
            next_job.status = 'queued'
            AND next_job.waits_for IS NULL
            AND next_job.type > queued_types.type
    )
    FROM queued_types
    WHERE queued_types.type IS NOT NULL
)

SELECT type
FROM queued_types
WHERE type IS NOT NULL
ORDER BY type
LIMIT :max_rows;

-- name: claim_jobs(types, worker, now, lease_expires_at, max_rows)
-- Leases the first jobs that are due: highest priority, then earliest run_at, then lowest id. Reads only the head of each
-- type and priority, so that future jobs, jobs of other types and ended jobs cost nothing. Skips paused types.
--   types  json  a list of distinct types
--   worker  text  name of the worker that claims
--   now  timestamp  the instant of the transaction
--   lease_expires_at  timestamp  the end of the lease
--   max_rows  integer  1 to 1000
-- Index: job_queue_claim_idx (one seek per type and priority); sorts at most max_rows jobs for each of them
-- Rows: 0 to max_rows, in any order
-- Record: Job
-- Differs: SQLite passes a list as JSON (json_each); PostgreSQL locks rows with FOR UPDATE SKIP LOCKED
-- Allow: limit-order, the types are distinct, so a job occurs once, and its id makes the order total
UPDATE job_queue
SET
    status = 'running',
    attempts = attempts + 1,
    lease_token = lease_token + 1,
    lease_expires_at = :lease_expires_at,
    worker = :worker,
    cancel_requested = 0,
    updated_at = :now,
    started_at = :now
WHERE
    id IN (
        WITH levels (priority) AS (
            VALUES (9), (8), (7), (6), (5), (4), (3), (2), (1), (0)
        )

        SELECT candidates.id
        FROM json_each(:types) AS wanted
        CROSS JOIN levels
        CROSS JOIN job_queue AS candidates
        WHERE
            NOT EXISTS (
                SELECT 1
                FROM job_pauses
                WHERE job_pauses.type = wanted.value
            )
            AND candidates.id IN (
                SELECT heads.id
                FROM job_queue AS heads INDEXED BY job_queue_claim_idx
                WHERE
                    heads.status = 'queued'
                    AND heads.waits_for IS NULL
                    AND heads.type = wanted.value
                    AND heads.priority = levels.priority
                    AND heads.run_at <= :now
                ORDER BY heads.run_at, heads.id
                LIMIT :max_rows
            )
        ORDER BY candidates.priority DESC, candidates.run_at, candidates.id
        LIMIT :max_rows
    )
RETURNING
    id,
    type,
    status,
    priority,
    run_at,
    payload,
    dedupe_key,
    limit_key,
    sequence_key,
    batch_id,
    after_batch,
    waits_for,
    attempts,
    max_attempts,
    backoff_seconds,
    backoff_cap_seconds,
    lease_token,
    lease_expires_at,
    worker,
    progress,
    cancel_requested,
    result,
    last_outcome,
    last_error,
    created_at,
    updated_at,
    started_at,
    finished_at;

-- name: list_expired_jobs(now, max_rows)
-- The running jobs whose lease has expired, longest expired first.
--   now  timestamp  the instant of the transaction
--   max_rows  integer  1 to 1000
-- Index: job_queue_lease_expires_at_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Job
-- Differs: only SQLite has INDEXED BY, which prevents the use of an index on status alone, if an application adds one
SELECT
    id,
    type,
    status,
    priority,
    run_at,
    payload,
    dedupe_key,
    limit_key,
    sequence_key,
    batch_id,
    after_batch,
    waits_for,
    attempts,
    max_attempts,
    backoff_seconds,
    backoff_cap_seconds,
    lease_token,
    lease_expires_at,
    worker,
    progress,
    cancel_requested,
    result,
    last_outcome,
    last_error,
    created_at,
    updated_at,
    started_at,
    finished_at
FROM job_queue INDEXED BY job_queue_lease_expires_at_idx
WHERE
    status = 'running'
    AND lease_expires_at <= :now
ORDER BY lease_expires_at, id
LIMIT :max_rows;

-- name: find_next_job_time(types)$
-- The earliest instant at which a claim has something to do: the earliest run_at of the queued jobs of the given types that are
-- not paused and have a free place, the earliest end of a lease of any job, or the earliest slot of a schedule.
--   types  json  a list of distinct types
-- Index: job_queue_claim_idx (one seek per type and priority), job_queue_limit_key_idx (two seeks per key without a free place),
--   job_queue_lease_expires_at_idx (one seek; a scan of the running jobs if a type is limited), schedules_next_at_idx (one seek); sorts one row per
--   type and key of the running jobs
-- Rows: 1 (NULL: nothing is queued, running or scheduled)
-- Differs: SQLite passes a list as JSON (json_each)
-- Allow: full-scan, a scan of the running jobs, of which there are as many as the workers run
WITH RECURSIVE levels (priority) AS (
    VALUES (9), (8), (7), (6), (5), (4), (3), (2), (1), (0)
),

running (type, limit_key, job_count) AS MATERIALIZED (
    SELECT
        leased.type,
        leased.limit_key,
        count(*) AS job_count
    FROM job_queue AS leased INDEXED BY job_queue_lease_expires_at_idx
    WHERE
        leased.status = 'running'
        AND EXISTS (
            SELECT 1
            FROM job_limits
        )
    GROUP BY leased.type, leased.limit_key
),

open_types (type, not_before, max_running_per_key) AS (
    SELECT
        wanted.value AS type,
        coalesce(job_limits.next_start_at, '') AS not_before,
        job_limits.max_running_per_key
    FROM json_each(:types) AS wanted
    LEFT JOIN job_limits ON wanted.value = job_limits.type
    WHERE
        NOT EXISTS (
            SELECT 1
            FROM job_pauses
            WHERE job_pauses.type = wanted.value
        )
        AND (
            job_limits.max_running IS NULL
            OR job_limits.max_running > (
                SELECT coalesce(sum(running.job_count), 0)
                FROM running
                WHERE running.type = wanted.value
            )
        )
),

limit_keys (type, limit_key) AS (
    SELECT
        open_types.type,
        (
            SELECT min(first_job.limit_key)
            FROM job_queue AS first_job INDEXED BY job_queue_limit_key_idx
            WHERE
                first_job.waits_for = 'limit'
                AND first_job.type = open_types.type
        )
    FROM open_types
    WHERE open_types.max_running_per_key IS NOT NULL
    UNION ALL
    SELECT
        limit_keys.type,
        (
            SELECT min(next_job.limit_key)
            FROM job_queue AS next_job INDEXED BY job_queue_limit_key_idx
            WHERE
                next_job.waits_for = 'limit'
                AND next_job.type = limit_keys.type
                AND next_job.limit_key > limit_keys.limit_key
        )
    FROM limit_keys
    WHERE limit_keys.limit_key IS NOT NULL
),

times (run_at) AS (
    SELECT
        max(
            open_types.not_before,
            (
                SELECT min(heads.run_at)
                FROM job_queue AS heads INDEXED BY job_queue_claim_idx
                WHERE
                    heads.status = 'queued'
                    AND heads.waits_for IS NULL
                    AND heads.type = open_types.type
                    AND heads.priority = levels.priority
            )
        )
    FROM open_types
    CROSS JOIN levels
    UNION ALL
    SELECT
        max(
            open_types.not_before,
            (
                SELECT first_job.run_at
                FROM job_queue AS first_job INDEXED BY job_queue_limit_key_idx
                WHERE
                    first_job.waits_for = 'limit'
                    AND first_job.type = limit_keys.type
                    AND first_job.limit_key = limit_keys.limit_key
                ORDER BY first_job.priority DESC, first_job.run_at, first_job.id
                LIMIT 1
            )
        )
    FROM limit_keys
    INNER JOIN open_types ON limit_keys.type = open_types.type
    LEFT JOIN running ON limit_keys.type = running.type AND limit_keys.limit_key = running.limit_key
    WHERE
        limit_keys.limit_key IS NOT NULL
        AND coalesce(running.job_count, 0) < open_types.max_running_per_key
    UNION ALL
    SELECT (
        SELECT min(leased.lease_expires_at)
        FROM job_queue AS leased INDEXED BY job_queue_lease_expires_at_idx
        WHERE leased.status = 'running'
    )
    UNION ALL
    SELECT (
        SELECT min(next_at)
        FROM schedules
    )
)

SELECT CAST(min(run_at) AS TEXT) AS next_at
FROM times;

-- name: list_running_jobs(before_id, max_rows, type)
-- One page of the running jobs, newest first. Reads all of them; there are only as many as the workers run.
--   before_id  integer  2^63 - 1 for the first page
--   max_rows  integer  1 to 1001
--   type  text  only of this type
-- Index: job_queue_lease_expires_at_idx (full scan), then job_queue primary key (integer)
-- Rows: 0 to max_rows
-- Record: Job
-- Differs: only SQLite has INDEXED BY, without which every job of the table would be read
-- Allow: full-scan, the index contains only running jobs
SELECT
    id,
    type,
    status,
    priority,
    run_at,
    payload,
    dedupe_key,
    limit_key,
    sequence_key,
    batch_id,
    after_batch,
    waits_for,
    attempts,
    max_attempts,
    backoff_seconds,
    backoff_cap_seconds,
    lease_token,
    lease_expires_at,
    worker,
    progress,
    cancel_requested,
    result,
    last_outcome,
    last_error,
    created_at,
    updated_at,
    started_at,
    finished_at
FROM job_queue
WHERE
    id IN (
        SELECT leased.id
        FROM job_queue AS leased INDEXED BY job_queue_lease_expires_at_idx
        WHERE
            leased.status = 'running'
            AND leased.id < :before_id
    )
    AND type = :type -- if: type
ORDER BY id DESC
LIMIT :max_rows;

-- name: count_jobs()
-- The number of jobs per type and status; for queued and running jobs also the earliest run_at. The number of queued jobs is
-- the number of stored jobs minus those that run or have ended, so a million waiting jobs need not be read.
-- Index: job_counts primary key (full scan in its order), job_queue_lease_expires_at_idx (covering scan of the
--   running jobs), job_queue_claim_idx (one seek per type and priority); sorts one row per type and status
-- Rows: 0 to the number of types times the six statuses
-- Record: JobCount
-- Differs: PostgreSQL reads the queued jobs instead: each of its counts has several rows, and every enqueue would write one
-- Allow: full-scan, because a summary has one row per type and status, which are few, and counts the running jobs
-- Allow: max-rows, at most one row per type and status
WITH levels (priority) AS (
    VALUES (9), (8), (7), (6), (5), (4), (3), (2), (1), (0)
),

running (type, job_count, oldest_run_at) AS (
    SELECT
        type,
        count(*) AS job_count,
        min(run_at) AS oldest_run_at
    FROM job_queue INDEXED BY job_queue_lease_expires_at_idx
    WHERE status = 'running'
    GROUP BY type
),

live (type, job_count) AS (
    SELECT
        type,
        sum(CASE status WHEN 'stored' THEN job_count ELSE -job_count END) AS job_count
    FROM job_counts
    GROUP BY type
),

counted (type, status, job_count, oldest_run_at) AS (
    SELECT
        live.type,
        'queued' AS status,
        live.job_count - coalesce(running.job_count, 0) AS job_count,
        (
            SELECT
                min(
                    (
                        SELECT min(queued.run_at)
                        FROM job_queue AS queued INDEXED BY job_queue_claim_idx
                        WHERE
                            queued.status = 'queued'
                            AND queued.waits_for IS NULL
                            AND queued.type = live.type
                            AND queued.priority = levels.priority
                    )
                )
            FROM levels
        ) AS oldest_run_at
    FROM live
    LEFT JOIN running ON live.type = running.type
    UNION ALL
    SELECT
        type,
        'running' AS status,
        job_count,
        oldest_run_at
    FROM running
    UNION ALL
    SELECT
        type,
        status,
        job_count,
        NULL AS oldest_run_at
    FROM job_counts
    WHERE status <> 'stored'
)

SELECT
    type,
    status,
    CAST(job_count AS INTEGER) AS count,
    oldest_run_at
FROM counted
WHERE job_count > 0
ORDER BY type, status;

-- name: succeed_jobs(rows, now)
-- Ends running jobs as succeeded, if they still have their lease.
--   rows  rows  a list of [id, lease_token, result as JSON text or null]
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 to the number of rows; missing jobs have lost their lease
-- Differs: SQLite passes a list as JSON (json_each)
-- Allow: max-rows, at most one row per job passed in
UPDATE job_queue
SET
    status = 'succeeded',
    lease_expires_at = NULL,
    result = json_extract(acks.value, '$[2]'),
    last_outcome = 'succeeded',
    last_error = NULL,
    updated_at = :now,
    finished_at = :now
FROM json_each(:rows) AS acks
WHERE
    job_queue.id = json_extract(acks.value, '$[0]')
    AND job_queue.lease_token = json_extract(acks.value, '$[1]')
    AND job_queue.status = 'running'
    AND job_queue.lease_expires_at > :now
RETURNING id;

-- name: add_jobs(rows, now)
-- Enqueues many jobs in the given order: an earlier job gets a lower id. If a live job has the same dedupe_key, returns that job.
--   rows  rows  a list of [type, priority, run_at, payload, max_attempts, backoff_seconds, backoff_cap_seconds, dedupe_key,
--     limit_key, sequence_key, batch_id, after_batch], with distinct dedupe_keys
--   now  timestamp  the instant of the transaction
-- Index: job_queue_dedupe_key_key (unique; decides the conflicts); sorts the rows
-- Rows: 0 to the length of rows: one for each, in any order
-- Record: Job
-- Differs: SQLite passes a list as JSON (json_each)
INSERT INTO job_queue (
    type,
    priority,
    run_at,
    payload,
    max_attempts,
    backoff_seconds,
    backoff_cap_seconds,
    dedupe_key,
    limit_key,
    sequence_key,
    batch_id,
    after_batch,
    created_at,
    updated_at
)
SELECT
    json_extract(new_job.value, '$[0]'),
    json_extract(new_job.value, '$[1]'),
    json_extract(new_job.value, '$[2]'),
    json_extract(new_job.value, '$[3]'),
    json_extract(new_job.value, '$[4]'),
    json_extract(new_job.value, '$[5]'),
    json_extract(new_job.value, '$[6]'),
    json_extract(new_job.value, '$[7]'),
    json_extract(new_job.value, '$[8]'),
    json_extract(new_job.value, '$[9]'),
    json_extract(new_job.value, '$[10]'),
    json_extract(new_job.value, '$[11]'),
    :now,
    :now
FROM json_each(:rows) AS new_job
WHERE TRUE
ORDER BY new_job.key
ON CONFLICT (dedupe_key) WHERE dedupe_key IS NOT NULL AND status IN ('queued', 'running') DO UPDATE
SET dedupe_key = excluded.dedupe_key
RETURNING
    id,
    type,
    status,
    priority,
    run_at,
    payload,
    dedupe_key,
    limit_key,
    sequence_key,
    batch_id,
    after_batch,
    waits_for,
    attempts,
    max_attempts,
    backoff_seconds,
    backoff_cap_seconds,
    lease_token,
    lease_expires_at,
    worker,
    progress,
    cancel_requested,
    result,
    last_outcome,
    last_error,
    created_at,
    updated_at,
    started_at,
    finished_at;

-- name: find_claim_work(now)^
-- What a claim has to do before it leases jobs.
--   now  timestamp  the instant of the transaction
-- Index: job_queue_lease_expires_at_idx (one seek), schedules_next_at_idx (one seek), job_limits (its first row)
-- Rows: 1
-- Returns: has_expired integer, has_due_schedules integer, has_limits integer
-- Differs: only SQLite has INDEXED BY, which prevents the use of an index on status alone, if an application adds one
-- Allow: full-scan, reads at most one row of job_limits
SELECT
    CAST(
        EXISTS (
            SELECT 1
            FROM job_queue AS leased INDEXED BY job_queue_lease_expires_at_idx
            WHERE
                leased.status = 'running'
                AND leased.lease_expires_at <= :now
        ) AS INTEGER
    ) AS has_expired,
    CAST(
        EXISTS (
            SELECT 1
            FROM schedules
            WHERE next_at <= :now
        ) AS INTEGER
    ) AS has_due_schedules,
    CAST(
        EXISTS (
            SELECT 1
            FROM job_limits
        ) AS INTEGER
    ) AS has_limits;

-- name: lock_job_limits(types)
-- The limits of the given types, which are locked until the transaction ends, so that claims of a limited type follow one another.
--   types  json  a list of distinct types
-- Index: job_limits primary key (one lookup per type)
-- Rows: 0 to the number of types, by type
-- Record: JobLimit
-- Differs: a SQLite writer already has the only write lock; SQLite passes a list as JSON (json_each)
-- Allow: max-rows, at most one row per type
SELECT
    type,
    max_running,
    max_running_per_key,
    max_starts,
    interval_seconds,
    burst,
    bucket_full_at,
    next_start_at,
    created_at,
    updated_at
FROM job_limits
WHERE
    type IN (
        SELECT value
        FROM json_each(:types)
    )
ORDER BY type;

-- name: count_running_jobs(types)
-- The number of running jobs of the given types, per limit_key.
--   types  json  a list of types
-- Index: job_queue_lease_expires_at_idx (covering scan of the running jobs); sorts one row per type and key
-- Rows: 0 to the number of running jobs
-- Differs: SQLite passes a list as JSON (json_each); only SQLite has INDEXED BY
-- Allow: full-scan, the index contains only running jobs, of which there are as many as the workers run
-- Allow: max-rows, at most one row per running job
SELECT
    type,
    limit_key,
    count(*) AS job_count
FROM job_queue INDEXED BY job_queue_lease_expires_at_idx
WHERE
    status = 'running'
    AND type IN (
        SELECT value
        FROM json_each(:types)
    )
GROUP BY type, limit_key;

-- name: list_claimable_jobs(types, now, max_rows)
-- The first jobs that are due, in the order of claim_jobs, which also reads only the head of each type and priority.
--   types  json  a list of distinct types
--   now  timestamp  the instant of the transaction
--   max_rows  integer  1 to 2000
-- Index: job_queue_claim_idx (one seek per type and priority); sorts at most max_rows jobs for each of them
-- Rows: 0 to max_rows
-- Differs: SQLite passes a list as JSON (json_each); only SQLite has INDEXED BY
-- Allow: limit-order, the types are distinct, so a job occurs once, and its id makes the order total
WITH levels (priority) AS (
    VALUES (9), (8), (7), (6), (5), (4), (3), (2), (1), (0)
)

SELECT
    candidates.id,
    candidates.type,
    candidates.limit_key,
    candidates.priority,
    candidates.run_at
FROM json_each(:types) AS wanted
CROSS JOIN levels
CROSS JOIN job_queue AS candidates
WHERE
    NOT EXISTS (
        SELECT 1
        FROM job_pauses
        WHERE job_pauses.type = wanted.value
    )
    AND candidates.id IN (
        SELECT heads.id
        FROM job_queue AS heads INDEXED BY job_queue_claim_idx
        WHERE
            heads.status = 'queued'
            AND heads.waits_for IS NULL
            AND heads.type = wanted.value
            AND heads.priority = levels.priority
            AND heads.run_at <= :now
        ORDER BY heads.run_at, heads.id
        LIMIT :max_rows
    )
ORDER BY candidates.priority DESC, candidates.run_at, candidates.id
LIMIT :max_rows;

-- name: list_limited_jobs(type, full_keys, max_rows)
-- Jobs of a type that found no free place before: the first ones of each key that has one now. There are about as many keys as
-- running jobs, because only a key of running jobs is full.
--   type  text  the job type
--   full_keys  json  a list of the keys without a free place
--   max_rows  integer  jobs per key; 1 to 1000
-- Index: job_queue_limit_key_idx (two seeks per key), then job_queue primary key (integer)
-- Rows: 0 to max_rows per key, in any order
-- Differs: SQLite passes a list as JSON (json_each); only SQLite has INDEXED BY, and likely(), without which statistics of short
--   keys make the planner sort all jobs of a long one
-- Allow: max-rows, at most max_rows for each key, and there are about as many keys as running jobs
WITH RECURSIVE limit_keys (limit_key) AS (
    SELECT min(first_job.limit_key)
    FROM job_queue AS first_job INDEXED BY job_queue_limit_key_idx
    WHERE
        first_job.waits_for = 'limit'
        AND first_job.type = :type
    UNION ALL
    SELECT (
        SELECT min(next_job.limit_key)
        FROM job_queue AS next_job INDEXED BY job_queue_limit_key_idx
        WHERE
            next_job.waits_for = 'limit'
            AND next_job.type = :type
            AND next_job.limit_key > limit_keys.limit_key
    )
    FROM limit_keys
    WHERE limit_keys.limit_key IS NOT NULL
)

SELECT
    candidates.id,
    candidates.type,
    candidates.limit_key,
    candidates.priority,
    candidates.run_at
FROM limit_keys
CROSS JOIN job_queue AS candidates
WHERE
    limit_keys.limit_key IS NOT NULL
    AND limit_keys.limit_key NOT IN (
        SELECT value
        FROM json_each(:full_keys)
    )
    AND NOT EXISTS (
        SELECT 1
        FROM job_pauses
        WHERE job_pauses.type = :type
    )
    AND candidates.id IN (
        SELECT heads.id
        FROM job_queue AS heads INDEXED BY job_queue_limit_key_idx
        WHERE
            heads.waits_for = 'limit'
            AND heads.type = :type
            AND likely(heads.limit_key = limit_keys.limit_key)
        ORDER BY heads.priority DESC, heads.run_at, heads.id
        LIMIT :max_rows
    );

-- name: claim_jobs_by_id(ids, worker, now, lease_expires_at)
-- Leases the given jobs, which list_claimable_jobs and list_limited_jobs found in the same transaction.
--   ids  json  a list of ids
--   worker  text  name of the worker that claims
--   now  timestamp  the instant of the transaction
--   lease_expires_at  timestamp  the end of the lease
-- Index: job_queue primary key (integer)
-- Rows: 0 to the number of ids, in any order
-- Record: Job
-- Differs: SQLite passes a list as JSON (json_each); PostgreSQL skips jobs that another worker is claiming
-- Allow: max-rows, at most one row per id
UPDATE job_queue
SET
    status = 'running',
    waits_for = NULL,
    attempts = attempts + 1,
    lease_token = lease_token + 1,
    lease_expires_at = :lease_expires_at,
    worker = :worker,
    cancel_requested = 0,
    updated_at = :now,
    started_at = :now
WHERE
    id IN (
        SELECT value
        FROM json_each(:ids)
    )
    AND status = 'queued'
RETURNING
    id,
    type,
    status,
    priority,
    run_at,
    payload,
    dedupe_key,
    limit_key,
    sequence_key,
    batch_id,
    after_batch,
    waits_for,
    attempts,
    max_attempts,
    backoff_seconds,
    backoff_cap_seconds,
    lease_token,
    lease_expires_at,
    worker,
    progress,
    cancel_requested,
    result,
    last_outcome,
    last_error,
    created_at,
    updated_at,
    started_at,
    finished_at;

-- name: limit_jobs(ids)!
-- Marks jobs that are due but whose limit_key has no free place: they leave the claim's index until it has one.
--   ids  json  a list of ids
-- Index: job_queue primary key (integer)
-- Rows: 0 to the number of ids
-- Differs: SQLite passes a list as JSON (json_each); PostgreSQL skips jobs that another transaction is changing
UPDATE job_queue
SET waits_for = 'limit'
WHERE
    id IN (
        SELECT value
        FROM json_each(:ids)
    )
    AND status = 'queued'
    AND waits_for IS NULL;

-- name: heartbeat_jobs(rows, lease_expires_at, now)
-- Extends the leases of many jobs, if the caller still has them, and returns which of them were asked to stop.
--   rows  rows  a list of [id, lease_token]
--   lease_expires_at  timestamp  the new end of the leases
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 to the number of rows; missing jobs have lost their lease
-- Differs: SQLite passes a list as JSON (json_each)
-- Allow: max-rows, at most one row per job passed in
UPDATE job_queue
SET
    lease_expires_at = :lease_expires_at,
    updated_at = :now
FROM json_each(:rows) AS held
WHERE
    job_queue.id = json_extract(held.value, '$[0]')
    AND job_queue.lease_token = json_extract(held.value, '$[1]')
    AND job_queue.status = 'running'
    AND job_queue.lease_expires_at > :now
RETURNING
    id,
    cancel_requested;
