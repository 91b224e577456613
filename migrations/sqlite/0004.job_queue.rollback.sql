-- LOSES DATA: which types are paused.

DROP TRIGGER job_queue_count_delete;

DROP TRIGGER job_queue_count_insert;

DROP TRIGGER job_queue_count_requeue;

DROP TRIGGER job_queue_count_end;

DROP TRIGGER job_queue_count_retype;

DROP TRIGGER job_queue_count_store;

-- The latest attempts go back into the table of all.
INSERT INTO job_attempts (job_id, lease_token, attempt, worker, started_at, finished_at, outcome, error)
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
EXCEPT
SELECT
    job_id,
    lease_token,
    attempt,
    worker,
    started_at,
    finished_at,
    outcome,
    error
FROM job_attempts;

DROP VIEW job_history;

DROP TRIGGER job_queue_attempt_requeue;

DROP TRIGGER job_queue_attempt_end;

-- The history of a job: a claim opens an attempt ...
CREATE TRIGGER job_queue_attempt_start AFTER UPDATE OF lease_token ON job_queue
WHEN new.lease_token > old.lease_token
BEGIN
    INSERT INTO job_attempts (job_id, lease_token, attempt, worker, started_at)
    VALUES (new.id, new.lease_token, new.attempts, new.worker, new.started_at);
END;

-- ... and leaving running closes it.
CREATE TRIGGER job_queue_attempt_finish AFTER UPDATE OF status ON job_queue
WHEN old.status = 'running' AND new.status <> 'running'
BEGIN
    UPDATE job_attempts
    SET
        finished_at = new.updated_at,
        outcome = new.last_outcome,
        error = new.last_error
    WHERE job_id = new.id AND lease_token = old.lease_token;
END;

DROP INDEX job_queue_unsuccessful_idx;

DROP INDEX job_queue_dedupe_key_key;

-- Serves add_job, find_live_job: at most one live job per key.
CREATE UNIQUE INDEX job_queue_dedupe_key_key ON job_queue (dedupe_key)
WHERE status IN ('queued', 'running');

-- Serves count_jobs: the report reads this index only, in its order. It leads with type, not with
-- status, so that no planner takes it for the claim.
CREATE INDEX job_queue_type_status_run_at_idx ON job_queue (type, status, run_at);

DROP TABLE job_counts;

DROP TABLE job_pauses;
