-- The job queue. Portable: every statement runs unchanged on every engine.
--
-- Fencing: every statement that a worker runs on its job names the job and its lease_token, and changes no row whose lease
-- was lost (it expired, or the job was claimed again, recovered or ended).

-- name: add_job(type, priority, run_at, payload, dedupe_key, limit_key, sequence_key, batch_id, after_batch, max_attempts, backoff_seconds, backoff_cap_seconds, now)^
-- Enqueues a job. If a live job has the same dedupe_key, returns that job unchanged.
--   type  text  selects the handler; 1 to 200 characters
--   priority  integer  0 to 9; 9 is claimed first
--   run_at  timestamp  not claimed before this instant
--   payload  json  any value, at most 1 MiB
--   dedupe_key  text?  at most one live (queued or running) job has a given key; 1 to 200 characters
--   limit_key  text?  jobs of a type with the same key share max_running_per_key places
--   sequence_key  text?  jobs with the same key run one at a time, in order
--   batch_id  text?  the batch that the job belongs to
--   after_batch  text?  the job starts when no job of this batch is live; not with sequence_key
--   max_attempts  integer  1 to 1000
--   backoff_seconds  real  wait after the first failure, doubled after each further one
--   backoff_cap_seconds  real  the longest wait, at most a year
--   now  timestamp  the instant of the transaction
-- Index: job_queue_dedupe_key_key (unique; decides the conflict)
-- Rows: 1
-- Record: Job
-- Locks: the DO UPDATE changes nothing, but waits for any transaction that is storing or ending a job with the key.
--   DO NOTHING would return no row, and a later lookup would miss a job that has just ended
INSERT INTO job_queue (
    type,
    priority,
    run_at,
    payload,
    dedupe_key,
    limit_key,
    sequence_key,
    batch_id,
    after_batch,
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
    :limit_key,
    :sequence_key,
    :batch_id,
    :after_batch,
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

-- name: get_job(id)^
-- One job.
--   id  integer  id of the job
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
    dedupe_key = :dedupe_key
    AND status IN ('queued', 'running');

-- name: list_jobs(before_id, max_rows, status, type)
-- One page of the jobs, newest first. Scans the ids downwards and skips other statuses and types, so a filter that few jobs
-- match reads many rows. Running and unsuccessful jobs have separate statements.
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
    status = :status
    AND status IN ('failed', 'quarantined', 'cancelled')
    AND id < :before_id
    AND type = :type -- if: type
ORDER BY id DESC
LIMIT :max_rows;

-- name: list_job_attempts(job_id, max_rows)
-- The latest claims of a job, newest first.
--   job_id  integer  id of the job
--   max_rows  integer  1 to 1000
-- Index: job_attempts primary key (range scan), job_queue primary key (integer); sorts a job's attempts
-- Rows: 0 to max_rows
-- Record: JobAttempt
-- Allow: limit-order, each claim increases lease_token, so it is unique among the attempts of a job
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
-- Extends a lease and returns whether the worker was asked to stop (cancel_requested).
--   id  integer  id of the job
--   lease_token  integer  lease_token of the caller's claim
--   lease_expires_at  timestamp  the new end of the lease
--   progress  json?  any value; NULL keeps the stored value
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: the lease was lost, and nothing changed)
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

-- name: succeed_job(id, lease_token, result, now)!
-- Ends a running job as succeeded. Like finish_job, but does not return the job, because most jobs end with this statement.
--   id  integer  id of the job
--   lease_token  integer  lease_token of the caller's claim
--   result  json?  any value
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: the lease was lost, and nothing changed)
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
-- Ends a running job with a final status.
--   id  integer  id of the job
--   lease_token  integer  lease_token of the caller's claim
--   lease_after  timestamp  the lease must end after this: now for its holder, the lowest timestamp for recovery
--   status  text  succeeded, quarantined or cancelled
--   result  json?  any value, for a job that succeeded
--   last_outcome  text  succeeded, failed, expired or cancelled
--   last_error  text?  why, at most 10000 characters
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: the lease was lost, and nothing changed)
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

-- name: retry_job(id, lease_token, lease_after, run_at, last_outcome, last_error, now)^
-- Returns a running job to the queue after a failed attempt; its progress is kept.
--   id  integer  id of the job
--   lease_token  integer  lease_token of the caller's claim
--   lease_after  timestamp  the lease must end after this: now for its holder, the lowest timestamp for recovery
--   run_at  timestamp  the next attempt starts no earlier than this
--   last_outcome  text  failed or expired
--   last_error  text?  why, at most 10000 characters
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: the lease was lost, and nothing changed)
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

-- name: release_job(id, lease_token, lease_after, now)^
-- Returns a running job to its place in the queue and does not count the attempt; its progress is kept.
--   id  integer  id of the job
--   lease_token  integer  lease_token of the caller's claim
--   lease_after  timestamp  the lease must end after this: now for its holder, the lowest timestamp for recovery
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: the lease was lost, and nothing changed)
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

-- name: snooze_job(id, lease_token, lease_after, run_at, now)^
-- Returns a running job to the queue for later and does not count the attempt; its progress is kept.
--   id  integer  id of the job
--   lease_token  integer  lease_token of the caller's claim
--   lease_after  timestamp  the lease must end after this instant
--   run_at  timestamp  not claimed before this instant
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: the lease was lost, and nothing changed)
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

-- name: requeue_job(id, now)^
-- Returns a job that ended without success to the queue and allows it all its attempts again; its history is kept.
--   id  integer  id of the job
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: not found, or live, or succeeded)
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

-- name: update_job_run_at(id, run_at, now)^
-- Changes when a queued job may be claimed.
--   id  integer  id of the job
--   run_at  timestamp  not claimed before this instant
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: not found, or not queued)
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

-- name: cancel_job(id, now)^
-- Ends a queued job, or asks the worker of a running one to stop: its next heartbeat tells it, and the job is not retried.
--   id  integer  id of the job
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: not found, or already ended)
-- Record: Job
UPDATE job_queue
SET
    status = CASE status WHEN 'queued' THEN 'cancelled' ELSE status END,
    waits_for = NULL,
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

-- name: delete_job(id)!
-- Deletes a job and its history, unless the job is running.
--   id  integer  id of the job
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1 (0: not found, or running), and by cascade its attempts
DELETE FROM job_queue
WHERE
    id = :id
    AND status <> 'running';

-- name: prune_jobs(finished_before, max_rows)
-- Deletes ended jobs and their history, longest ended first. finished_at is compared twice: if another transaction requeues the
-- job meanwhile, PostgreSQL evaluates the outer condition again, but not the inner one.
--   finished_before  timestamp  upper bound of finished_at, exclusive
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
-- Pauses a job type: its jobs are not claimed. A type that is already paused keeps its reason.
--   type  text  1 to 200 characters
--   reason  text?  why, at most 1000 characters
--   now  timestamp  the instant of the transaction
-- Index: none (an insert; the primary key of job_pauses decides the conflict)
-- Rows: 0 or 1 (0: already paused)
INSERT INTO job_pauses (type, reason, created_at)
VALUES (:type, :reason, :now)
ON CONFLICT (type) DO NOTHING;

-- name: delete_job_pause(type)!
-- Resumes a job type.
--   type  text  the job type
-- Index: job_pauses primary key
-- Rows: 0 or 1 (0: not paused)
DELETE FROM job_pauses
WHERE type = :type;

-- name: list_job_pauses(max_rows)
-- The paused job types, in order.
--   max_rows  integer  1 to 1000
-- Index: job_pauses primary key (full scan in its order, no sort)
-- Rows: 0 to max_rows
-- Record: JobPause
SELECT
    type,
    reason,
    created_at
FROM job_pauses
ORDER BY type
LIMIT :max_rows;

-- name: list_jobs_by_batch(batch_id, before_id, max_rows)
-- One page of the jobs of a batch, newest first.
--   batch_id  text  the batch
--   before_id  integer  2^63 - 1 for the first page
--   max_rows  integer  1 to 1001
-- Index: job_queue_batch_id_status_idx; sorts the jobs of the batch
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
    batch_id = :batch_id
    AND id < :before_id
ORDER BY id DESC
LIMIT :max_rows;

-- name: count_batch_jobs(batch_id)
-- The number of jobs of a batch per status.
--   batch_id  text  the batch
-- Index: job_queue_batch_id_status_idx (covering scan of the batch, no sort)
-- Rows: 0 to six, by status
-- Allow: max-rows, at most one row per status
SELECT
    status,
    count(*) AS job_count
FROM job_queue
WHERE batch_id = :batch_id
GROUP BY status
ORDER BY status;

-- name: add_job_limit(type, max_running, max_running_per_key, max_starts, interval_seconds, burst, now)^
-- Sets the limits of a job type, or replaces them; the bucket of starts is full.
--   type  text  1 to 200 characters
--   max_running  integer?  running jobs of the type; 1 to 100000
--   max_running_per_key  integer?  running jobs of the type with the same limit_key; 1 to 100000
--   max_starts  integer?  starts in any interval; 1 to 1000000
--   interval_seconds  real?  the interval; 0.001 to a year
--   burst  integer?  starts without a pause between them; 1 to max_starts
--   now  timestamp  the instant of the transaction
-- Index: none (an insert; the primary key of job_limits decides the conflict)
-- Rows: 1
-- Record: JobLimit
INSERT INTO job_limits (
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
)
VALUES (
    :type,
    :max_running,
    :max_running_per_key,
    :max_starts,
    :interval_seconds,
    :burst,
    :now,
    :now,
    :now,
    :now
)
ON CONFLICT (type) DO UPDATE
SET
    max_running = excluded.max_running,
    max_running_per_key = excluded.max_running_per_key,
    max_starts = excluded.max_starts,
    interval_seconds = excluded.interval_seconds,
    burst = excluded.burst,
    next_start_at = job_limits.bucket_full_at,
    updated_at = excluded.updated_at
RETURNING
    type,
    max_running,
    max_running_per_key,
    max_starts,
    interval_seconds,
    burst,
    bucket_full_at,
    next_start_at,
    created_at,
    updated_at;

-- name: delete_job_limit(type)!
-- Deletes the limits of a job type.
--   type  text  the job type
-- Index: job_limits primary key
-- Rows: 0 or 1 (0: it has none)
DELETE FROM job_limits
WHERE type = :type;

-- name: list_job_limits(max_rows)
-- The limits, by type.
--   max_rows  integer  1 to 1000
-- Index: job_limits primary key (full scan in its order, no sort)
-- Rows: 0 to max_rows
-- Record: JobLimit
-- Allow: full-scan, a row for each type that is limited
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
ORDER BY type
LIMIT :max_rows;

-- name: update_job_limit_bucket(type, bucket_full_at, next_start_at)!
-- Takes tokens from the bucket of a job type: its jobs start.
--   type  text  the job type
--   bucket_full_at  timestamp  when the bucket is full again
--   next_start_at  timestamp  when it has a token again
-- Index: job_limits primary key
-- Rows: 0 or 1
UPDATE job_limits
SET
    bucket_full_at = :bucket_full_at,
    next_start_at = :next_start_at
WHERE type = :type;
