-- The job queue: statements specific to PostgreSQL.

-- name: lock_job(id)^
-- The current state of one job, which is locked until the transaction ends.
--   id  integer  id of the job
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1
-- Record: Job
-- Differs: the row is locked (FOR UPDATE)
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
WHERE id = :id
FOR UPDATE;

-- name: list_queued_job_types(max_rows)
-- The types that have queued jobs, in order. Each type takes one seek, regardless of the number of its jobs.
--   max_rows  integer  1 to 1000
-- Index: job_queue_claim_idx (one seek per type); sorts the types
-- Rows: 0 to max_rows
-- Differs: PostgreSQL finds the minimum in a partial index by ORDER BY and LIMIT 1
WITH RECURSIVE queued_types (type) AS (
    (
        SELECT first_job.type
        FROM job_queue AS first_job
        WHERE
            first_job.status = 'queued'
            AND first_job.waits_for IS NULL
        ORDER BY first_job.type
        LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT next_job.type
        FROM job_queue AS next_job
        WHERE
            next_job.status = 'queued'
            AND next_job.waits_for IS NULL
            AND next_job.type > queued_types.type
        ORDER BY next_job.type
        LIMIT 1
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
-- Differs: skips jobs that another worker is claiming (FOR UPDATE SKIP LOCKED) instead of waiting for them
WITH levels (priority) AS (
    VALUES (9), (8), (7), (6), (5), (4), (3), (2), (1), (0)
),

claimed AS MATERIALIZED (
    SELECT heads.id
    FROM levels
    CROSS JOIN
        LATERAL (
            SELECT
                candidates.id,
                candidates.run_at
            FROM json_array_elements_text(CAST(:types AS JSON)) AS wanted
            CROSS JOIN
                LATERAL (
                    SELECT
                        job_queue.id,
                        job_queue.run_at
                    FROM job_queue
                    WHERE
                        job_queue.status = 'queued'
                        AND job_queue.waits_for IS NULL
                        AND job_queue.type = wanted.value
                        AND job_queue.priority = levels.priority
                        AND job_queue.run_at <= :now
                    ORDER BY job_queue.run_at, job_queue.id
                    LIMIT :max_rows
                    FOR UPDATE SKIP LOCKED
                ) AS candidates
            WHERE
                NOT EXISTS (
                    SELECT 1
                    FROM job_pauses
                    WHERE job_pauses.type = wanted.value
                )
            ORDER BY candidates.run_at, candidates.id
            LIMIT :max_rows
        ) AS heads
    LIMIT :max_rows
)

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
FROM claimed
WHERE job_queue.id = claimed.id
RETURNING
    job_queue.id,
    job_queue.type,
    job_queue.status,
    job_queue.priority,
    job_queue.run_at,
    job_queue.payload,
    job_queue.dedupe_key,
    job_queue.limit_key,
    job_queue.sequence_key,
    job_queue.batch_id,
    job_queue.after_batch,
    job_queue.waits_for,
    job_queue.attempts,
    job_queue.max_attempts,
    job_queue.backoff_seconds,
    job_queue.backoff_cap_seconds,
    job_queue.lease_token,
    job_queue.lease_expires_at,
    job_queue.worker,
    job_queue.progress,
    job_queue.cancel_requested,
    job_queue.result,
    job_queue.last_outcome,
    job_queue.last_error,
    job_queue.created_at,
    job_queue.updated_at,
    job_queue.started_at,
    job_queue.finished_at;

-- name: list_expired_jobs(now, max_rows)
-- The running jobs whose lease has expired, longest expired first.
--   now  timestamp  the instant of the transaction
--   max_rows  integer  1 to 1000
-- Index: job_queue_lease_expires_at_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Job
-- Differs: FOR UPDATE SKIP LOCKED prevents two workers from recovering the same lease
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
    status = 'running'
    AND lease_expires_at <= :now
ORDER BY lease_expires_at, id
LIMIT :max_rows
FOR UPDATE SKIP LOCKED;

-- name: find_next_job_time(types)$
-- The earliest instant at which a claim has something to do: the earliest run_at of the queued jobs of the given types that are
-- not paused and have a free place, the earliest end of a lease of any job, or the earliest slot of a schedule.
--   types  json  a list of distinct types
-- Index: job_queue_claim_idx (one seek per type and priority), job_queue_limit_key_idx (two seeks per key without a free place),
--   job_queue_lease_expires_at_idx (one seek; a scan of the running jobs if a type is limited), schedules_next_at_idx (one seek); sorts one row per
--   type and key of the running jobs
-- Rows: 1 (NULL: nothing is queued, running or scheduled)
-- Returns: next_at text?
-- Differs: PostgreSQL has other functions to unnest a JSON list
-- Allow: full-scan, a scan of the running jobs, of which there are as many as the workers run
WITH RECURSIVE levels (priority) AS (
    VALUES (9), (8), (7), (6), (5), (4), (3), (2), (1), (0)
),

running (type, limit_key, job_count) AS MATERIALIZED (
    SELECT
        leased.type,
        leased.limit_key,
        count(*) AS job_count
    FROM job_queue AS leased
    WHERE
        leased.status = 'running'
        AND EXISTS (
            SELECT 1
            FROM job_limits
        )
    GROUP BY leased.type, leased.limit_key
),

open_types (type, not_before, max_running_per_key) AS MATERIALIZED (
    SELECT
        wanted.value AS type,
        coalesce(job_limits.next_start_at, '-infinity') AS not_before,
        job_limits.max_running_per_key
    FROM json_array_elements_text(CAST(:types AS JSON)) AS wanted
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
            SELECT first_job.limit_key
            FROM job_queue AS first_job
            WHERE
                first_job.waits_for = 'limit'
                AND first_job.type = open_types.type
            ORDER BY first_job.limit_key
            LIMIT 1
        )
    FROM open_types
    WHERE open_types.max_running_per_key IS NOT NULL
    UNION ALL
    SELECT
        limit_keys.type,
        (
            SELECT next_job.limit_key
            FROM job_queue AS next_job
            WHERE
                next_job.waits_for = 'limit'
                AND next_job.type = limit_keys.type
                AND next_job.limit_key > limit_keys.limit_key
            ORDER BY next_job.limit_key
            LIMIT 1
        )
    FROM limit_keys
    WHERE limit_keys.limit_key IS NOT NULL
),

times (run_at) AS (
    SELECT greatest(open_types.not_before, heads.run_at)
    FROM open_types
    CROSS JOIN levels
    CROSS JOIN
        LATERAL (
            SELECT queued.run_at
            FROM job_queue AS queued
            WHERE
                queued.status = 'queued'
                AND queued.waits_for IS NULL
                AND queued.type = open_types.type
                AND queued.priority = levels.priority
            ORDER BY queued.run_at, queued.id
            LIMIT 1
        ) AS heads
    UNION ALL
    SELECT greatest(open_types.not_before, heads.run_at)
    FROM limit_keys
    INNER JOIN open_types ON limit_keys.type = open_types.type
    LEFT JOIN running ON limit_keys.type = running.type AND limit_keys.limit_key = running.limit_key
    CROSS JOIN
        LATERAL (
            SELECT first_job.run_at
            FROM job_queue AS first_job
            WHERE
                first_job.waits_for = 'limit'
                AND first_job.type = limit_keys.type
                AND first_job.limit_key = limit_keys.limit_key
            ORDER BY first_job.priority DESC, first_job.run_at, first_job.id
            LIMIT 1
        ) AS heads
    WHERE
        limit_keys.limit_key IS NOT NULL
        AND coalesce(running.job_count, 0) < open_types.max_running_per_key
    UNION ALL
    SELECT (
        SELECT min(leased.lease_expires_at)
        FROM job_queue AS leased
        WHERE leased.status = 'running'
    )
    UNION ALL
    SELECT (
        SELECT min(next_at)
        FROM schedules
    )
)

SELECT min(run_at) AS next_at
FROM times;

-- name: list_running_jobs(before_id, max_rows, type)
-- One page of the running jobs, newest first. Reads all of them; there are only as many as the workers run.
--   before_id  integer  2^63 - 1 for the first page
--   max_rows  integer  1 to 1001
--   type  text  only of this type
-- Index: job_queue_lease_expires_at_idx (full scan), then job_queue primary key (integer)
-- Rows: 0 to max_rows
-- Record: Job
-- Differs: PostgreSQL has no INDEXED BY
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
        FROM job_queue AS leased
        WHERE
            leased.status = 'running'
            AND leased.id < :before_id
    )
    AND type = :type -- if: type
ORDER BY id DESC
LIMIT :max_rows;

-- name: count_jobs()
-- The number of jobs per type and status; for queued and running jobs also the earliest run_at.
-- Index: job_queue_claim_idx (covering scan), job_queue_lease_expires_at_idx, job_counts primary key; sorts one row per type
--   and status
-- Rows: 0 to the number of types times the six statuses
-- Record: JobCount
-- Differs: each count of ended jobs has several rows, so that workers do not wait for one another
-- Allow: full-scan, because a summary counts every live job; ended jobs are counted when they end
WITH counted (type, status, job_count, oldest_run_at) AS (
    SELECT
        type,
        'queued' AS status,
        count(*) AS job_count,
        min(run_at) AS oldest_run_at
    FROM job_queue
    WHERE
        status = 'queued'
        AND waits_for IS NULL
    GROUP BY type
    UNION ALL
    SELECT
        type,
        'queued' AS status,
        count(*) AS job_count,
        NULL AS oldest_run_at
    FROM job_queue
    WHERE waits_for = 'limit'
    GROUP BY type
    UNION ALL
    SELECT
        type,
        'queued' AS status,
        count(*) AS job_count,
        NULL AS oldest_run_at
    FROM job_queue
    WHERE waits_for = 'sequence'
    GROUP BY type
    UNION ALL
    SELECT
        type,
        'queued' AS status,
        count(*) AS job_count,
        NULL AS oldest_run_at
    FROM job_queue
    WHERE waits_for = 'batch'
    GROUP BY type
    UNION ALL
    SELECT
        type,
        'running' AS status,
        count(*) AS job_count,
        min(run_at) AS oldest_run_at
    FROM job_queue
    WHERE status = 'running'
    GROUP BY type
    UNION ALL
    SELECT
        type,
        status,
        CAST(sum(job_count) AS BIGINT) AS job_count,
        NULL AS oldest_run_at
    FROM job_counts
    GROUP BY type, status
    HAVING sum(job_count) > 0
)

SELECT
    type,
    status,
    CAST(sum(job_count) AS BIGINT) AS count,
    min(oldest_run_at) AS oldest_run_at
FROM counted
GROUP BY type, status
ORDER BY type, status;

-- name: succeed_jobs(rows, now)
-- Ends running jobs as succeeded, if they still have their lease.
--   rows  rows  a list of [id, lease_token, result as JSON text or null]
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 to the number of rows; missing jobs have lost their lease
-- Differs: PostgreSQL has other functions to unnest a JSON list
UPDATE job_queue
SET
    status = 'succeeded',
    lease_expires_at = NULL,
    result = CAST(acks.value ->> 2 AS JSON),
    last_outcome = 'succeeded',
    last_error = NULL,
    updated_at = :now,
    finished_at = :now
FROM json_array_elements(CAST(:rows AS JSON)) AS acks
WHERE
    job_queue.id = CAST(acks.value ->> 0 AS BIGINT)
    AND job_queue.lease_token = CAST(acks.value ->> 1 AS BIGINT)
    AND job_queue.status = 'running'
    AND job_queue.lease_expires_at > :now
RETURNING id;

-- name: add_jobs(rows, now)
-- Enqueues many jobs in the given order: an earlier job gets a lower id. If a live job has the same dedupe_key, returns that job.
--   rows  rows  a list of [type, priority, run_at, payload, max_attempts, backoff_seconds, backoff_cap_seconds, dedupe_key,
--     limit_key, sequence_key, batch_id, after_batch], with distinct dedupe_keys
--   now  timestamp  the instant of the transaction
-- Index: job_queue_dedupe_key_key (unique; one lookup per key, and decides the conflicts); sorts the rows
-- Rows: 0 to the length of rows: one for each, in any order
-- Record: Job
-- Differs: PostgreSQL has other functions to unnest a JSON list
-- Locks: a live job that already has a key is read, but not locked. The others are inserted in the order of their keys, so that two
--   callers with the same keys cannot deadlock; their ids are assigned before that, in the caller's order
WITH new_job AS MATERIALIZED (
    SELECT
        given.value,
        given.place,
        given.value ->> 7 AS dedupe_key
    FROM json_array_elements(CAST(:rows AS JSON)) WITH ORDINALITY AS given (value, place)
),

present AS MATERIALIZED (
    SELECT
        live.id,
        live.type,
        live.status,
        live.priority,
        live.run_at,
        live.payload,
        live.dedupe_key,
        live.limit_key,
        live.sequence_key,
        live.batch_id,
        live.after_batch,
        live.waits_for,
        live.attempts,
        live.max_attempts,
        live.backoff_seconds,
        live.backoff_cap_seconds,
        live.lease_token,
        live.lease_expires_at,
        live.worker,
        live.progress,
        live.cancel_requested,
        live.result,
        live.last_outcome,
        live.last_error,
        live.created_at,
        live.updated_at,
        live.started_at,
        live.finished_at
    FROM new_job
    INNER JOIN job_queue AS live ON new_job.dedupe_key = live.dedupe_key
    WHERE live.status IN ('queued', 'running')
),

absent AS MATERIALIZED (
    SELECT
        nextval(pg_get_serial_sequence('job_queue', 'id')) AS id,
        ordered.value,
        ordered.dedupe_key
    FROM (
        SELECT
            new_job.value,
            new_job.dedupe_key
        FROM new_job
        WHERE NOT EXISTS (SELECT 1 FROM present WHERE present.dedupe_key = new_job.dedupe_key)
        ORDER BY new_job.place
    ) AS ordered
),

added AS (
    INSERT INTO job_queue (
        id,
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
        absent.id,
        absent.value ->> 0,
        CAST(absent.value ->> 1 AS SMALLINT),
        CAST(absent.value ->> 2 AS TIMESTAMPTZ),
        CAST(absent.value ->> 3 AS JSON),
        CAST(absent.value ->> 4 AS INTEGER),
        CAST(absent.value ->> 5 AS DOUBLE PRECISION),
        CAST(absent.value ->> 6 AS DOUBLE PRECISION),
        absent.dedupe_key,
        absent.value ->> 8,
        absent.value ->> 9,
        absent.value ->> 10,
        absent.value ->> 11,
        :now,
        :now
    FROM absent
    ORDER BY absent.dedupe_key COLLATE "C", absent.id
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
        finished_at
)

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
FROM present
UNION ALL
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
FROM added;

-- name: find_claim_work(now)^
-- What a claim has to do before it leases jobs.
--   now  timestamp  the instant of the transaction
-- Index: job_queue_lease_expires_at_idx (one seek), schedules_next_at_idx (one seek), job_limits (its first row)
-- Rows: 1
-- Returns: has_expired integer, has_due_schedules integer, has_limits integer
-- Differs: PostgreSQL has no INDEXED BY, and its EXISTS is a boolean
-- Allow: full-scan, reads at most one row of job_limits
SELECT
    CAST(
        EXISTS (
            SELECT 1
            FROM job_queue AS leased
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
-- Index: job_limits primary key (one lookup per type); sorts the types
-- Rows: 0 to the number of types, by type
-- Record: JobLimit
-- Differs: the rows are locked (FOR UPDATE), in the order of the types
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
        SELECT wanted.value
        FROM json_array_elements_text(CAST(:types AS JSON)) AS wanted
    )
ORDER BY type
FOR UPDATE;

-- name: count_running_jobs(types)
-- The number of running jobs of the given types, per limit_key.
--   types  json  a list of types
-- Index: job_queue_lease_expires_at_idx (covering scan of the running jobs); sorts one row per type and key
-- Rows: 0 to the number of running jobs
-- Differs: PostgreSQL has other functions to unnest a JSON list
-- Allow: full-scan, the index contains only running jobs, of which there are as many as the workers run
-- Allow: max-rows, at most one row per running job
SELECT
    type,
    limit_key,
    count(*) AS job_count
FROM job_queue
WHERE
    status = 'running'
    AND type IN (
        SELECT wanted.value
        FROM json_array_elements_text(CAST(:types AS JSON)) AS wanted
    )
GROUP BY type, limit_key;

-- name: list_claimable_jobs(types, now, max_rows)
-- The first jobs that are due, in the order of claim_jobs, which also reads only the head of each type and priority.
--   types  json  a list of distinct types
--   now  timestamp  the instant of the transaction
--   max_rows  integer  1 to 2000
-- Index: job_queue_claim_idx (one seek per type and priority); sorts at most max_rows jobs for each of them
-- Rows: 0 to max_rows
-- Differs: PostgreSQL has other functions to unnest a JSON list; it locks nothing: claim_jobs_by_id does
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
FROM json_array_elements_text(CAST(:types AS JSON)) AS wanted
CROSS JOIN levels
CROSS JOIN
    LATERAL (
        SELECT
            heads.id,
            heads.type,
            heads.limit_key,
            heads.priority,
            heads.run_at
        FROM job_queue AS heads
        WHERE
            heads.status = 'queued'
            AND heads.waits_for IS NULL
            AND heads.type = wanted.value
            AND heads.priority = levels.priority
            AND heads.run_at <= :now
        ORDER BY heads.run_at, heads.id
        LIMIT :max_rows
    ) AS candidates
WHERE
    NOT EXISTS (
        SELECT 1
        FROM job_pauses
        WHERE job_pauses.type = wanted.value
    )
ORDER BY candidates.priority DESC, candidates.run_at, candidates.id
LIMIT :max_rows;

-- name: list_limited_jobs(type, full_keys, max_rows)
-- Jobs of a type that found no free place before: the first ones of each key that has one now. There are about as many keys as
-- running jobs, because only a key of running jobs is full.
--   type  text  the job type
--   full_keys  json  a list of the keys without a free place
--   max_rows  integer  jobs per key; 1 to 1000
-- Index: job_queue_limit_key_idx (two seeks per key)
-- Rows: 0 to max_rows per key, in any order
-- Differs: PostgreSQL finds the minimum in a partial index by ORDER BY and LIMIT 1
-- Allow: max-rows, at most max_rows for each key, and there are about as many keys as running jobs
WITH RECURSIVE limit_keys (limit_key) AS (
    (
        SELECT first_job.limit_key
        FROM job_queue AS first_job
        WHERE
            first_job.waits_for = 'limit'
            AND first_job.type = :type
        ORDER BY first_job.limit_key
        LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT next_job.limit_key
        FROM job_queue AS next_job
        WHERE
            next_job.waits_for = 'limit'
            AND next_job.type = :type
            AND next_job.limit_key > limit_keys.limit_key
        ORDER BY next_job.limit_key
        LIMIT 1
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
CROSS JOIN
    LATERAL (
        SELECT
            heads.id,
            heads.type,
            heads.limit_key,
            heads.priority,
            heads.run_at
        FROM job_queue AS heads
        WHERE
            heads.waits_for = 'limit'
            AND heads.type = :type
            AND heads.limit_key = limit_keys.limit_key
        ORDER BY heads.priority DESC, heads.run_at, heads.id
        LIMIT :max_rows
    ) AS candidates
WHERE
    limit_keys.limit_key IS NOT NULL
    AND limit_keys.limit_key NOT IN (
        SELECT full_key.value
        FROM json_array_elements_text(CAST(:full_keys AS JSON)) AS full_key
    )
    AND NOT EXISTS (
        SELECT 1
        FROM job_pauses
        WHERE job_pauses.type = :type
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
-- Differs: skips jobs that another worker is claiming (FOR UPDATE SKIP LOCKED) instead of waiting for them
-- Allow: max-rows, at most one row per id
WITH claimed AS MATERIALIZED (
    SELECT candidates.id
    FROM job_queue AS candidates
    WHERE
        candidates.id = ANY(
            ARRAY(
                SELECT CAST(wanted.value AS BIGINT)
                FROM json_array_elements_text(CAST(:ids AS JSON)) AS wanted
            )
        )
        AND candidates.status = 'queued'
    FOR UPDATE SKIP LOCKED
)

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
FROM claimed
WHERE job_queue.id = claimed.id
RETURNING
    job_queue.id,
    job_queue.type,
    job_queue.status,
    job_queue.priority,
    job_queue.run_at,
    job_queue.payload,
    job_queue.dedupe_key,
    job_queue.limit_key,
    job_queue.sequence_key,
    job_queue.batch_id,
    job_queue.after_batch,
    job_queue.waits_for,
    job_queue.attempts,
    job_queue.max_attempts,
    job_queue.backoff_seconds,
    job_queue.backoff_cap_seconds,
    job_queue.lease_token,
    job_queue.lease_expires_at,
    job_queue.worker,
    job_queue.progress,
    job_queue.cancel_requested,
    job_queue.result,
    job_queue.last_outcome,
    job_queue.last_error,
    job_queue.created_at,
    job_queue.updated_at,
    job_queue.started_at,
    job_queue.finished_at;

-- name: limit_jobs(ids)!
-- Marks jobs that are due but whose limit_key has no free place: they leave the claim's index until it has one.
--   ids  json  a list of ids
-- Index: job_queue primary key (integer)
-- Rows: 0 to the number of ids
-- Differs: skips jobs that another transaction is changing (FOR UPDATE SKIP LOCKED)
UPDATE job_queue
SET waits_for = 'limit'
WHERE
    id IN (
        SELECT candidates.id
        FROM job_queue AS candidates
        WHERE
            candidates.id = ANY(
                ARRAY(
                    SELECT CAST(wanted.value AS BIGINT)
                    FROM json_array_elements_text(CAST(:ids AS JSON)) AS wanted
                )
            )
            AND candidates.status = 'queued'
            AND candidates.waits_for IS NULL
        FOR UPDATE SKIP LOCKED
    );

-- name: heartbeat_jobs(rows, lease_expires_at, now)
-- Extends the leases of many jobs, if the caller still has them, and returns which of them were asked to stop.
--   rows  rows  a list of [id, lease_token]
--   lease_expires_at  timestamp  the new end of the leases
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 to the number of rows; missing jobs have lost their lease
-- Differs: PostgreSQL has other functions to unnest a JSON list
-- Allow: max-rows, at most one row per job passed in
UPDATE job_queue
SET
    lease_expires_at = :lease_expires_at,
    updated_at = :now
FROM json_array_elements(CAST(:rows AS JSON)) AS held
WHERE
    job_queue.id = CAST(held.value ->> 0 AS BIGINT)
    AND job_queue.lease_token = CAST(held.value ->> 1 AS BIGINT)
    AND job_queue.status = 'running'
    AND job_queue.lease_expires_at > :now
RETURNING
    id,
    cancel_requested;
