-- The job queue: what SQLite needs its own words for.

-- name: list_queued_job_types(max_rows)
-- The types that have queued jobs, in order: one seek a type, however many jobs it has.
--   max_rows  integer  1 to 1000
-- Index: job_queue_claim_idx (one seek a type); sorts the types
-- Rows: 0 to max_rows
-- Differs: INDEXED BY is SQLite's; without it an index on status alone, added by somebody, would be scanned instead
-- Allow: limit-order, each step of the recursion finds the next greater type, so a type stands once
WITH RECURSIVE queued_types (type) AS (
    SELECT min(first_job.type)
    FROM job_queue AS first_job INDEXED BY job_queue_claim_idx
    WHERE first_job.status = 'queued'
    UNION ALL
    SELECT (
        SELECT min(next_job.type)
        FROM job_queue AS next_job INDEXED BY job_queue_claim_idx
        WHERE
            next_job.status = 'queued'
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
-- Leases the first jobs that are due: highest priority, then earliest run_at, then lowest id. Looks at the head of
-- each type and priority only, so that jobs of the future, of other types and ended ones cost nothing.
--   types  json  a list of distinct types
--   worker  text  who claims
--   now  timestamp  the instant of the transaction
--   lease_expires_at  timestamp  the end of the lease
--   max_rows  integer  1 to 1000
-- Index: job_queue_claim_idx (one seek a type and priority); sorts at most max_rows jobs for each of them
-- Rows: 0 to max_rows, in any order
-- Record: Job
-- Differs: json_each is SQLite's way to hand in a list; PostgreSQL locks rows with FOR UPDATE SKIP LOCKED
-- Allow: limit-order, the types are distinct, so a job stands once, and its id ends the order
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
            candidates.id IN (
                SELECT heads.id
                FROM job_queue AS heads INDEXED BY job_queue_claim_idx
                WHERE
                    heads.status = 'queued'
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
