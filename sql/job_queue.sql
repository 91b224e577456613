-- The job queue. Portable: each statement runs as it stands on every engine.
--
-- The fence: whatever a worker does to its job names the job and its lease_token, and touches no row whose lease
-- was lost (it expired, or the job was claimed again, recovered or ended).

-- name: add_job(type, priority, run_at, payload, dedupe_key, max_attempts, backoff_seconds, backoff_cap_seconds, now)^
-- Enqueues a job; where a live one has its key, gives that one, unchanged.
--   type  text  which handler; 1 to 200 characters
--   priority  integer  0 to 9; 9 is claimed first
--   run_at  timestamp  not claimed before this instant
--   payload  json  any value, at most 1 MiB
--   dedupe_key  text?  at most one live (queued or running) job has it; 1 to 200 characters
--   max_attempts  integer  1 to 1000
--   backoff_seconds  real  wait after the first failure, doubled after each further one
--   backoff_cap_seconds  real  the longest wait, at most a year
--   now  timestamp  the instant of the transaction
-- Index: job_queue_dedupe_key_key (unique; decides the conflict)
-- Rows: 1
-- Record: Job
-- Locks: DO UPDATE, which changes nothing, waits for whoever is storing or ending a job with the key; DO NOTHING would give no
--   row, and to look for it later would miss one that has just ended
INSERT INTO job_queue (
    type,
    priority,
    run_at,
    payload,
    dedupe_key,
    max_attempts,
    backoff_seconds,
    backoff_cap_seconds,
    created_at,
    updated_at
)
VALUES (
    :type,
    :priority,
    :run_at,
    :payload,
    :dedupe_key,
    :max_attempts,
    :backoff_seconds,
    :backoff_cap_seconds,
    :now,
    :now
)
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

-- name: get_job(id)^
-- One job.
--   id  integer  which one
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1
-- Record: Job
SELECT
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
    finished_at
FROM job_queue
WHERE id = :id;

-- name: find_live_job(dedupe_key)^
-- The live (queued or running) job with a key.
--   dedupe_key  text  the key
-- Index: job_queue_dedupe_key_key (unique)
-- Rows: 0 or 1
-- Record: Job
SELECT
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
    finished_at
FROM job_queue
WHERE
    dedupe_key = :dedupe_key
    AND status IN ('queued', 'running');

-- name: list_jobs(before_id, max_rows, status, type)
-- One page of the jobs, newest first. Goes down the ids and passes over other statuses and types, so that a filter
-- that few jobs meet reads many; running and unsuccessful jobs have statements of their own.
--   before_id  integer  2^63 - 1 for the first page
--   max_rows  integer  1 to 1001
--   status  text  only with this status
--   type  text  only of this type
-- Index: job_queue primary key (integer), range scan, no sort
-- Rows: 0 to max_rows
-- Record: Job
SELECT
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
    finished_at
FROM job_queue
WHERE
    id < :before_id
    AND status = :status -- if: status
    AND type = :type -- if: type
ORDER BY id DESC
LIMIT :max_rows;

-- name: list_unsuccessful_jobs(status, before_id, max_rows, type)
-- One page of the jobs that ended without success, newest first.
--   status  text  failed, quarantined or cancelled
--   before_id  integer  2^63 - 1 for the first page
--   max_rows  integer  1 to 1001
--   type  text  only of this type
-- Index: job_queue_unsuccessful_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Job
SELECT
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
    finished_at
FROM job_queue
WHERE
    status = :status
    AND status IN ('failed', 'quarantined', 'cancelled')
    AND id < :before_id
    AND type = :type -- if: type
ORDER BY id DESC
LIMIT :max_rows;

-- name: list_job_attempts(job_id, max_rows)
-- The latest claims of a job, newest first.
--   job_id  integer  which job
--   max_rows  integer  1 to 1000
-- Index: job_attempts primary key (range scan), job_queue primary key (integer); sorts a job's attempts
-- Rows: 0 to max_rows
-- Record: JobAttempt
-- Allow: limit-order, each claim raises lease_token, so no two attempts of a job have the same
SELECT
    job_id,
    lease_token,
    attempt,
    worker,
    started_at,
    finished_at,
    outcome,
    error
FROM job_history
WHERE job_id = :job_id
ORDER BY lease_token DESC
LIMIT :max_rows;

-- name: heartbeat_job(id, lease_token, lease_expires_at, progress, now)^
-- Extends a lease and says whether somebody asked the worker to stop (cancel_requested).
--   id  integer  which one
--   lease_token  integer  the caller's lease
--   lease_expires_at  timestamp  the new end of the lease
--   progress  json?  any value; NULL keeps what is stored
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: the lease is lost, nothing was changed)
-- Record: Job
UPDATE job_queue
SET
    lease_expires_at = :lease_expires_at,
    progress = coalesce(:progress, progress),
    updated_at = :now
WHERE
    id = :id
    AND lease_token = :lease_token
    AND status = 'running'
    AND lease_expires_at > :now
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

-- name: succeed_job(id, lease_token, result, now)!
-- Ends a running job well. The same as finish_job, without reading the job back: it is what every job ends with.
--   id  integer  which one
--   lease_token  integer  the caller's lease
--   result  json?  any value
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: the lease is lost, nothing was changed)
UPDATE job_queue
SET
    status = 'succeeded',
    lease_expires_at = NULL,
    result = :result,
    last_outcome = 'succeeded',
    last_error = NULL,
    updated_at = :now,
    finished_at = :now
WHERE
    id = :id
    AND lease_token = :lease_token
    AND status = 'running'
    AND lease_expires_at > :now;

-- name: finish_job(id, lease_token, lease_after, status, result, last_outcome, last_error, now)^
-- Ends a running job for good.
--   id  integer  which one
--   lease_token  integer  the caller's lease
--   lease_after  timestamp  the lease must end after this: now for its holder, the earliest instant for recovery
--   status  text  succeeded, quarantined or cancelled
--   result  json?  any value, of a job that succeeded
--   last_outcome  text  succeeded, failed, expired or cancelled
--   last_error  text?  why, at most 10000 characters
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: the lease is lost, nothing was changed)
-- Record: Job
UPDATE job_queue
SET
    status = :status,
    lease_expires_at = NULL,
    result = :result,
    last_outcome = :last_outcome,
    last_error = :last_error,
    updated_at = :now,
    finished_at = :now
WHERE
    id = :id
    AND lease_token = :lease_token
    AND status = 'running'
    AND lease_expires_at > :lease_after
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

-- name: retry_job(id, lease_token, lease_after, run_at, last_outcome, last_error, now)^
-- Puts a running job back into the queue after an attempt that failed; its progress stays.
--   id  integer  which one
--   lease_token  integer  the caller's lease
--   lease_after  timestamp  the lease must end after this: now for its holder, the earliest instant for recovery
--   run_at  timestamp  the next attempt, not before this
--   last_outcome  text  failed or expired
--   last_error  text?  why, at most 10000 characters
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: the lease is lost, nothing was changed)
-- Record: Job
UPDATE job_queue
SET
    status = 'queued',
    run_at = :run_at,
    lease_expires_at = NULL,
    worker = NULL,
    last_outcome = :last_outcome,
    last_error = :last_error,
    updated_at = :now
WHERE
    id = :id
    AND lease_token = :lease_token
    AND status = 'running'
    AND lease_expires_at > :lease_after
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

-- name: release_job(id, lease_token, lease_after, now)^
-- Puts a running job back at its place in the queue and gives the attempt back; its progress stays.
--   id  integer  which one
--   lease_token  integer  the caller's lease
--   lease_after  timestamp  the lease must end after this: now for its holder, the earliest instant for recovery
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: the lease is lost, nothing was changed)
-- Record: Job
UPDATE job_queue
SET
    status = 'queued',
    attempts = attempts - 1,
    lease_expires_at = NULL,
    worker = NULL,
    last_outcome = 'released',
    last_error = NULL,
    updated_at = :now
WHERE
    id = :id
    AND lease_token = :lease_token
    AND status = 'running'
    AND lease_expires_at > :lease_after
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

-- name: snooze_job(id, lease_token, lease_after, run_at, now)^
-- Puts a running job back into the queue for later and gives the attempt back; its progress stays.
--   id  integer  which one
--   lease_token  integer  the caller's lease
--   lease_after  timestamp  the lease must end after this
--   run_at  timestamp  not claimed before this instant
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: the lease is lost, nothing was changed)
-- Record: Job
UPDATE job_queue
SET
    status = 'queued',
    run_at = :run_at,
    attempts = attempts - 1,
    lease_expires_at = NULL,
    worker = NULL,
    last_outcome = 'snoozed',
    last_error = NULL,
    updated_at = :now
WHERE
    id = :id
    AND lease_token = :lease_token
    AND status = 'running'
    AND lease_expires_at > :lease_after
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

-- name: requeue_job(id, now)^
-- Puts an ended job that did not succeed back into the queue with all its attempts; the history stays.
--   id  integer  which one
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: there is none, or it is live, or it succeeded)
-- Record: Job
UPDATE job_queue
SET
    status = 'queued',
    run_at = :now,
    attempts = 0,
    worker = NULL,
    progress = NULL,
    cancel_requested = 0,
    updated_at = :now,
    finished_at = NULL
WHERE
    id = :id
    AND status IN ('quarantined', 'failed', 'cancelled')
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

-- name: update_job_run_at(id, run_at, now)^
-- Changes when a job that waits may be claimed.
--   id  integer  which one
--   run_at  timestamp  not claimed before this instant
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: there is none, or it does not wait)
-- Record: Job
UPDATE job_queue
SET
    run_at = :run_at,
    updated_at = :now
WHERE
    id = :id
    AND status = 'queued'
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

-- name: cancel_job(id, now)^
-- Ends a queued job; asks the worker of a running one to stop: its next heartbeat says so, and the job is not tried again.
--   id  integer  which one
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: there is none, or it has ended)
-- Record: Job
UPDATE job_queue
SET
    status = CASE status WHEN 'queued' THEN 'cancelled' ELSE status END,
    cancel_requested = CASE status WHEN 'running' THEN 1 ELSE cancel_requested END,
    last_outcome = CASE status WHEN 'queued' THEN 'cancelled' ELSE last_outcome END,
    last_error = CASE status WHEN 'running' THEN last_error END,
    updated_at = :now,
    finished_at = CASE status WHEN 'queued' THEN :now ELSE finished_at END
WHERE
    id = :id
    AND status IN ('queued', 'running')
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

-- name: delete_job(id)!
-- Deletes a job and its history, unless it runs.
--   id  integer  which one
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: there is none, or it runs), and by cascade its attempts
DELETE FROM job_queue
WHERE
    id = :id
    AND status <> 'running';

-- name: prune_jobs(finished_before, max_rows)
-- Deletes ended jobs and their history, longest ended first. finished_at is asked twice: PostgreSQL looks at the outer condition
-- again where somebody queued the job meanwhile, not at the inner one.
--   finished_before  timestamp  the latest finished_at, exclusive
--   max_rows  integer  1 to 1000
-- Index: job_queue_finished_at_idx (range scan, no sort)
-- Rows: 0 to max_rows, in any order; by cascade their attempts
DELETE FROM job_queue
WHERE
    id IN (
        SELECT candidates.id
        FROM job_queue AS candidates
        WHERE
            candidates.status IN ('succeeded', 'failed', 'quarantined', 'cancelled')
            AND candidates.finished_at < :finished_before
        ORDER BY candidates.finished_at, candidates.id
        LIMIT :max_rows
    )
    AND finished_at < :finished_before
RETURNING id;

-- name: add_job_pause(type, reason, now)!
-- Pauses a type: its jobs are not claimed. One that is paused keeps its reason.
--   type  text  1 to 200 characters
--   reason  text?  why, at most 1000 characters
--   now  timestamp  the instant of the transaction
-- Index: none (an insert; the primary key of job_pauses decides the conflict)
-- Rows: 0 or 1 (0: it is paused already)
INSERT INTO job_pauses (type, reason, created_at)
VALUES (:type, :reason, :now)
ON CONFLICT (type) DO NOTHING;

-- name: delete_job_pause(type)!
-- Resumes a type.
--   type  text  which one
-- Index: job_pauses primary key
-- Rows: 0 or 1 (0: it is not paused)
DELETE FROM job_pauses
WHERE type = :type;

-- name: list_job_pauses(max_rows)
-- The paused types, in order.
--   max_rows  integer  1 to 1000
-- Index: job_pauses primary key (read as a whole, in its order, no sort)
-- Rows: 0 to max_rows
-- Record: JobPause
SELECT
    type,
    reason,
    created_at
FROM job_pauses
ORDER BY type
LIMIT :max_rows;
