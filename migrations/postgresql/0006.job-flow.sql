-- The flow of jobs: limits per type and key, sequences, batches, schedules.
--
-- Locks: changes of jobs wait until the step ends, for milliseconds, because it adds triggers to job_queue. After a rollback of this
-- step the jobs are read once: a second per million live jobs that have a key.
-- Rollback: LOSES DATA (the limits and the schedules); waiting jobs no longer wait.
-- depends: 0005.retention

-- Adding triggers locks the table: at once, so that no client that writes it meets this step halfway.
LOCK TABLE job_queue IN SHARE ROW EXCLUSIVE MODE;

-- Every function of this step resolves names in this schema, and among the session's temporary tables last, never first.
DO $$
BEGIN
    PERFORM set_config('search_path', quote_ident(current_schema()) || ', pg_temp', TRUE);
END;
$$;

-- Limits: how many jobs of a type may run at once and start per interval. A type without a row has none. A claim enforces them.
CREATE TABLE job_limits (
    type TEXT COLLATE "C" NOT NULL,
    -- Running jobs of the type.
    max_running BIGINT,
    -- Running jobs of the type with the same limit_key.
    max_running_per_key BIGINT,
    -- Starts of jobs of the type in any interval of this many seconds. A token bucket of *burst* tokens counts them.
    max_starts BIGINT,
    interval_seconds DOUBLE PRECISION,
    burst BIGINT,
    -- When the bucket is full again: each start takes a token and moves this on by the time in which one token is added.
    bucket_full_at TIMESTAMPTZ NOT NULL,
    -- When the bucket has a token again: no start before.
    next_start_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT job_limits_pkey PRIMARY KEY (type),
    CONSTRAINT job_limits_type_check CHECK (length(type) BETWEEN 1 AND 200),
    CONSTRAINT job_limits_max_running_check CHECK (max_running BETWEEN 1 AND 100000),
    CONSTRAINT job_limits_max_running_per_key_check CHECK (max_running_per_key BETWEEN 1 AND 100000),
    CONSTRAINT job_limits_max_starts_check CHECK (
        (max_starts IS NULL AND interval_seconds IS NULL AND burst IS NULL)
        OR (
            max_starts IS NOT NULL
            AND interval_seconds IS NOT NULL
            AND burst IS NOT NULL
            AND max_starts BETWEEN 1 AND 1000000
            AND interval_seconds BETWEEN 0.001 AND 31536000.0
            AND burst BETWEEN 1 AND max_starts
        )
    ),
    CONSTRAINT job_limits_any_check
    CHECK (max_running IS NOT NULL OR max_running_per_key IS NOT NULL OR max_starts IS NOT NULL)
);

-- The number of live (queued or running) jobs per batch and per sequence. Triggers on job_queue maintain it, regardless of which
-- program writes; a row whose number reaches 0 is deleted.
CREATE TABLE job_groups (
    -- 'batch' or 'sequence'.
    kind TEXT COLLATE "C" NOT NULL,
    -- The jobs' batch_id or sequence_key.
    name TEXT COLLATE "C" NOT NULL,
    live BIGINT NOT NULL,
    CONSTRAINT job_groups_pkey PRIMARY KEY (kind, name),
    CONSTRAINT job_groups_kind_check CHECK (kind IN ('batch', 'sequence')),
    CONSTRAINT job_groups_live_check CHECK (live >= 0)
);

-- Schedules: a job is enqueued for each slot of a cron expression, exactly once.
CREATE TABLE schedules (
    name TEXT COLLATE "C" NOT NULL,
    -- Five fields (minute, hour, day of month, month, day of week), or six with the second first.
    cron TEXT COLLATE "C" NOT NULL,
    -- The IANA time zone of the expression: Europe/Berlin.
    timezone TEXT COLLATE "C" NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    -- The payload of each job, a JSON object; "slot" is added to it.
    payload JSON NOT NULL DEFAULT '{}',
    priority BIGINT NOT NULL DEFAULT 0,
    max_attempts BIGINT NOT NULL DEFAULT 5,
    -- 1: slots that passed while no worker ran are enqueued later. 0: only the latest of them is.
    catch_up BIGINT NOT NULL DEFAULT 1,
    -- The next slot, for which no job was enqueued yet.
    next_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT schedules_pkey PRIMARY KEY (name),
    CONSTRAINT schedules_name_check CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT schedules_cron_check CHECK (length(cron) BETWEEN 1 AND 200),
    CONSTRAINT schedules_timezone_check CHECK (length(timezone) BETWEEN 1 AND 100),
    CONSTRAINT schedules_type_check CHECK (length(type) BETWEEN 1 AND 200),
    CONSTRAINT schedules_payload_check CHECK (json_typeof(payload) = 'object'),
    CONSTRAINT schedules_priority_check CHECK (priority BETWEEN 0 AND 9),
    CONSTRAINT schedules_max_attempts_check CHECK (max_attempts BETWEEN 1 AND 1000),
    CONSTRAINT schedules_catch_up_check CHECK (catch_up IN (0, 1))
);

-- Serves list_due_schedules, find_claim_work, find_next_job_time.
CREATE INDEX schedules_next_at_idx ON schedules (next_at, name);

-- Jobs that were stored while this step was rolled back: count them, ...
INSERT INTO job_groups (kind, name, live)
SELECT
    'batch' AS kind,
    batch_id,
    count(*) AS live
FROM job_queue
WHERE batch_id IS NOT NULL AND finished_at IS NULL
GROUP BY batch_id
UNION ALL
SELECT
    'sequence' AS kind,
    sequence_key,
    count(*) AS live
FROM job_queue
WHERE sequence_key IS NOT NULL AND finished_at IS NULL
GROUP BY sequence_key;

-- ... and let all but one of each sequence wait, and those that start after a batch.
UPDATE job_queue
SET waits_for = 'sequence'
WHERE
    status = 'queued'
    AND sequence_key IS NOT NULL
    AND id NOT IN (
        SELECT coalesce(min(CASE WHEN heads.status = 'running' THEN heads.id END), min(heads.id))
        FROM job_queue AS heads
        WHERE heads.sequence_key IS NOT NULL AND heads.finished_at IS NULL
        GROUP BY heads.sequence_key
    );

UPDATE job_queue
SET waits_for = 'batch'
WHERE
    status = 'queued'
    AND after_batch IN (
        SELECT name
        FROM job_groups
        WHERE kind = 'batch'
    );

-- A live job joins its batch and its sequence, and waits if it has to. The row of job_groups is locked until the transaction ends, so
-- that a job is not stored as waiting while the one that it waits for ends.
CREATE FUNCTION datastore_join_groups() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    members BIGINT;
BEGIN
    IF new.batch_id IS NOT NULL THEN
        INSERT INTO job_groups (kind, name, live)
        VALUES ('batch', new.batch_id, 1)
        ON CONFLICT (kind, name) DO UPDATE SET live = job_groups.live + 1;
    END IF;
    IF new.sequence_key IS NOT NULL THEN
        INSERT INTO job_groups (kind, name, live)
        VALUES ('sequence', new.sequence_key, 1)
        ON CONFLICT (kind, name) DO UPDATE SET live = job_groups.live + 1
        RETURNING live INTO members;
        IF members > 1 THEN
            UPDATE job_queue
            SET waits_for = 'sequence'
            WHERE id = new.id AND status = 'queued';
        END IF;
    END IF;
    IF new.after_batch IS NOT NULL THEN
        PERFORM 1
        FROM job_groups
        WHERE kind = 'batch' AND name = new.after_batch
        FOR UPDATE;
        IF FOUND THEN
            UPDATE job_queue
            SET waits_for = 'batch'
            WHERE id = new.id AND status = 'queued';
        END IF;
    END IF;
    RETURN NULL;
END;
$$;

-- A job that ends leaves them: the next job of the sequence may be claimed, and after the last job of a batch those that wait for it.
CREATE FUNCTION datastore_leave_groups() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    members BIGINT;
BEGIN
    IF old.batch_id IS NOT NULL THEN
        UPDATE job_groups
        SET live = live - 1
        WHERE kind = 'batch' AND name = old.batch_id
        RETURNING live INTO members;
        IF members = 0 THEN
            DELETE FROM job_groups
            WHERE kind = 'batch' AND name = old.batch_id;
            UPDATE job_queue
            SET waits_for = NULL
            WHERE waits_for = 'batch' AND after_batch = old.batch_id;
        END IF;
    END IF;
    IF old.sequence_key IS NOT NULL THEN
        UPDATE job_groups
        SET live = live - 1
        WHERE kind = 'sequence' AND name = old.sequence_key
        RETURNING live INTO members;
        IF members = 0 THEN
            DELETE FROM job_groups
            WHERE kind = 'sequence' AND name = old.sequence_key;
        ELSIF old.waits_for IS DISTINCT FROM 'sequence' THEN
            UPDATE job_queue
            SET waits_for = NULL
            WHERE
                id = (
                    SELECT next_job.id
                    FROM job_queue AS next_job
                    WHERE next_job.waits_for = 'sequence' AND next_job.sequence_key = old.sequence_key
                    ORDER BY next_job.id
                    LIMIT 1
                );
        END IF;
    END IF;
    RETURN NULL;
END;
$$;

-- When a job is stored, ...
CREATE TRIGGER job_queue_groups_insert AFTER INSERT ON job_queue
FOR EACH ROW
WHEN (
    new.finished_at IS NULL
    AND (new.batch_id IS NOT NULL OR new.sequence_key IS NOT NULL OR new.after_batch IS NOT NULL)
)
EXECUTE FUNCTION datastore_join_groups();

-- ... when it is requeued, ...
CREATE TRIGGER job_queue_groups_requeue AFTER UPDATE OF status ON job_queue
FOR EACH ROW
WHEN (
    old.finished_at IS NOT NULL
    AND new.finished_at IS NULL
    AND (new.batch_id IS NOT NULL OR new.sequence_key IS NOT NULL OR new.after_batch IS NOT NULL)
)
EXECUTE FUNCTION datastore_join_groups();

-- ... when it ends, ...
CREATE TRIGGER job_queue_groups_end AFTER UPDATE OF status ON job_queue
FOR EACH ROW
WHEN (
    old.finished_at IS NULL
    AND new.finished_at IS NOT NULL
    AND (old.batch_id IS NOT NULL OR old.sequence_key IS NOT NULL)
)
EXECUTE FUNCTION datastore_leave_groups();

-- ... and when it is deleted while it is live.
CREATE TRIGGER job_queue_groups_delete AFTER DELETE ON job_queue
FOR EACH ROW
WHEN (
    old.finished_at IS NULL
    AND (old.batch_id IS NOT NULL OR old.sequence_key IS NOT NULL)
)
EXECUTE FUNCTION datastore_leave_groups();

-- Jobs that found no free place can be claimed again when their limit is deleted, ...
CREATE FUNCTION datastore_lift_limit() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE job_queue
    SET waits_for = NULL
    WHERE waits_for = 'limit' AND type = old.type;
    RETURN NULL;
END;
$$;

CREATE TRIGGER job_limits_delete AFTER DELETE ON job_limits
FOR EACH ROW
EXECUTE FUNCTION datastore_lift_limit();

-- ... and when it no longer counts keys.
CREATE TRIGGER job_limits_update AFTER UPDATE OF max_running_per_key ON job_limits
FOR EACH ROW
WHEN (new.max_running_per_key IS NULL AND old.max_running_per_key IS NOT NULL)
EXECUTE FUNCTION datastore_lift_limit();

-- Notifies waiting workers when a job's turn has come, ...
CREATE TRIGGER job_queue_notify_turn AFTER UPDATE OF waits_for ON job_queue
FOR EACH ROW
WHEN (new.waits_for IS NULL AND old.waits_for IS NOT NULL AND new.status = 'queued')
EXECUTE FUNCTION datastore_notify_jobs();

-- ... when a job of a limited type has left its place, ...
CREATE FUNCTION datastore_notify_place() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_notify('datastore_jobs', '')
    FROM job_limits
    WHERE type = old.type;
    RETURN NULL;
END;
$$;

CREATE TRIGGER job_queue_notify_place AFTER UPDATE OF status ON job_queue
FOR EACH ROW
WHEN (old.status = 'running' AND new.finished_at IS NOT NULL)
EXECUTE FUNCTION datastore_notify_place();

-- ... and when a limit or a schedule changes.
CREATE TRIGGER job_limits_notify AFTER INSERT OR UPDATE OF max_running, max_running_per_key, max_starts OR DELETE ON job_limits
FOR EACH STATEMENT EXECUTE FUNCTION datastore_notify_jobs();

CREATE TRIGGER schedules_notify AFTER INSERT OR UPDATE OF cron ON schedules
FOR EACH STATEMENT EXECUTE FUNCTION datastore_notify_jobs();
