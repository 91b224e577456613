-- The job queue: paused types, the history of attempts, the counts of ended jobs.
--
-- As SQLite's step of this name leaves them: an attempt is written to job_attempts when its job goes on without it (tried
-- again, released, snoozed, requeued). The latest one stands on the job itself, running or ended, for as long as worker is
-- not NULL; the view job_history shows both.
--
-- Locks: writes to job_queue wait while an index is built and the ended jobs are counted.
-- Rollback: LOSES DATA (which types are paused).
-- depends: 0003.audit

-- Every function of this step looks for names in this schema, and in the session's own temporary tables last, never first.
DO $$
BEGIN
    PERFORM set_config('search_path', quote_ident(current_schema()) || ', pg_temp', TRUE);
END;
$$;

-- Types that are not claimed until they are resumed.
CREATE TABLE job_pauses (
    type TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    created_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT job_pauses_pkey PRIMARY KEY (type),
    CONSTRAINT job_pauses_type_check CHECK (length(type) BETWEEN 1 AND 200),
    CONSTRAINT job_pauses_reason_check CHECK (length(reason) <= 1000)
);

-- How many ended jobs there are, kept by triggers on job_queue, whoever writes: live jobs are few and are counted,
-- ended ones may be millions.
CREATE TABLE job_counts (
    type TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    -- Which of 16 rows: two workers that end jobs of one type wait for each other in one case of 16 only.
    shard BIGINT NOT NULL,
    job_count BIGINT NOT NULL,
    CONSTRAINT job_counts_pkey PRIMARY KEY (type, status, shard)
);

-- Serves list_unsuccessful_jobs. Jobs that succeed never come into it.
CREATE INDEX job_queue_unsuccessful_idx ON job_queue (status, id)
WHERE status IN ('failed', 'quarantined', 'cancelled');

-- The history of a job: an attempt is written when the job goes back to the queue, or is put there again after it had
-- ended.
CREATE FUNCTION datastore_keep_attempt() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO job_attempts (job_id, lease_token, attempt, worker, started_at, finished_at, outcome, error)
    VALUES (
        old.id,
        old.lease_token,
        old.attempts,
        old.worker,
        old.started_at,
        CASE WHEN old.status = 'running' THEN new.updated_at ELSE old.finished_at END,
        CASE WHEN old.status = 'running' THEN new.last_outcome ELSE old.last_outcome END,
        CASE WHEN old.status = 'running' THEN new.last_error ELSE old.last_error END
    );
    RETURN NULL;
END;
$$;

CREATE TRIGGER job_queue_attempt_end AFTER UPDATE OF status ON job_queue
FOR EACH ROW WHEN (new.status = 'queued' AND old.status = 'running')
EXECUTE FUNCTION datastore_keep_attempt();

CREATE TRIGGER job_queue_attempt_requeue AFTER UPDATE OF status ON job_queue
FOR EACH ROW WHEN (new.status = 'queued' AND old.finished_at IS NOT NULL AND old.worker IS NOT NULL)
EXECUTE FUNCTION datastore_keep_attempt();

-- Every attempt of every job: those written down, and the latest one, which stands on the job.
CREATE VIEW job_history AS
SELECT
    job_id,
    lease_token,
    attempt,
    worker,
    started_at,
    finished_at,
    outcome,
    error
FROM job_attempts
UNION ALL
SELECT
    id AS job_id,
    lease_token,
    attempts AS attempt,
    worker,
    -- A claim sets it; updated_at is there for whoever reads NULL out of the column.
    coalesce(started_at, updated_at) AS started_at,
    finished_at,
    CASE WHEN status = 'running' THEN NULL ELSE last_outcome END AS outcome,
    CASE WHEN status = 'running' THEN NULL ELSE last_error END AS error
FROM job_queue
WHERE worker IS NOT NULL;

-- The count of ended jobs: one more, ...
CREATE FUNCTION datastore_count_ended_job() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO job_counts (type, status, shard, job_count)
    VALUES (new.type, new.status, pg_backend_pid() % 16, 1)
    ON CONFLICT (type, status, shard) DO UPDATE SET job_count = job_counts.job_count + 1;
    RETURN NULL;
END;
$$;

-- ... or one less: a row of the 16 may go below zero, their sum never does.
CREATE FUNCTION datastore_discount_ended_job() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO job_counts (type, status, shard, job_count)
    VALUES (old.type, old.status, pg_backend_pid() % 16, -1)
    ON CONFLICT (type, status, shard) DO UPDATE SET job_count = job_counts.job_count - 1;
    RETURN NULL;
END;
$$;

-- One ends, ...
CREATE TRIGGER job_queue_count_end AFTER UPDATE OF type, status ON job_queue
FOR EACH ROW WHEN (new.finished_at IS NOT NULL)
EXECUTE FUNCTION datastore_count_ended_job();

-- ... one is queued again, ...
CREATE TRIGGER job_queue_count_requeue AFTER UPDATE OF type, status ON job_queue
FOR EACH ROW WHEN (old.finished_at IS NOT NULL)
EXECUTE FUNCTION datastore_discount_ended_job();

-- ... one is stored as ended, ...
CREATE TRIGGER job_queue_count_insert AFTER INSERT ON job_queue
FOR EACH ROW WHEN (new.finished_at IS NOT NULL)
EXECUTE FUNCTION datastore_count_ended_job();

-- ... one is purged.
CREATE TRIGGER job_queue_count_delete AFTER DELETE ON job_queue
FOR EACH ROW WHEN (old.finished_at IS NOT NULL)
EXECUTE FUNCTION datastore_discount_ended_job();

-- Wakes the workers that wait, when the transaction commits; the same word twice in one is sent once.
CREATE FUNCTION datastore_notify_jobs() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_notify('datastore_jobs', '');
    RETURN NULL;
END;
$$;

CREATE TRIGGER job_queue_notify_insert AFTER INSERT ON job_queue
FOR EACH STATEMENT EXECUTE FUNCTION datastore_notify_jobs();

CREATE TRIGGER job_queue_notify_update AFTER UPDATE OF status ON job_queue
FOR EACH ROW WHEN (new.status = 'queued')
EXECUTE FUNCTION datastore_notify_jobs();

-- A type that is resumed may have jobs that are due.
CREATE TRIGGER job_pauses_notify AFTER DELETE ON job_pauses
FOR EACH STATEMENT EXECUTE FUNCTION datastore_notify_jobs();

-- Counts what ended before this step.
INSERT INTO job_counts (type, status, shard, job_count)
SELECT
    type,
    status,
    0,
    count(*)
FROM job_queue
WHERE finished_at IS NOT NULL
GROUP BY type, status;
