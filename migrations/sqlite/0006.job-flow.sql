-- The flow of jobs: limits per type and key, sequences, batches, schedules.
--
-- Locks: the write lock, for milliseconds: the tables are new. After a rollback of this step the jobs are read once: a second per
-- million live jobs that have a key.
-- Rollback: LOSES DATA (the limits and the schedules); waiting jobs no longer wait.
-- depends: 0005.retention

-- Limits: how many jobs of a type may run at once and start per interval. A type without a row has none. A claim enforces them.
CREATE TABLE job_limits (
    type TEXT NOT NULL,
    -- Running jobs of the type.
    max_running INTEGER,
    -- Running jobs of the type with the same limit_key.
    max_running_per_key INTEGER,
    -- Starts of jobs of the type in any interval of this many seconds. A token bucket of *burst* tokens counts them.
    max_starts INTEGER,
    interval_seconds REAL,
    burst INTEGER,
    -- When the bucket is full again: each start takes a token and moves this on by the time in which one token is added.
    bucket_full_at TEXT NOT NULL,
    -- When the bucket has a token again: no start before.
    next_start_at TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    CONSTRAINT job_limits_pkey PRIMARY KEY (type),
    CONSTRAINT job_limits_type_check CHECK (length(type) BETWEEN 1 AND 200 AND instr(type, char(0)) = 0),
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
    CHECK (max_running IS NOT NULL OR max_running_per_key IS NOT NULL OR max_starts IS NOT NULL),
    CONSTRAINT job_limits_bucket_full_at_check CHECK (bucket_full_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT job_limits_next_start_at_check CHECK (next_start_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT job_limits_created_at_check CHECK (created_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT job_limits_updated_at_check CHECK (updated_at GLOB '????-??-??T??:??:??.??????Z')
) STRICT, WITHOUT ROWID;

-- The number of live (queued or running) jobs per batch and per sequence. Triggers on job_queue maintain it, regardless of which
-- program writes; a row whose number reaches 0 is deleted.
CREATE TABLE job_groups (
    -- 'batch' or 'sequence'.
    kind TEXT NOT NULL,
    -- The jobs' batch_id or sequence_key.
    name TEXT NOT NULL,
    live INTEGER NOT NULL,
    CONSTRAINT job_groups_pkey PRIMARY KEY (kind, name),
    CONSTRAINT job_groups_kind_check CHECK (kind IN ('batch', 'sequence')),
    CONSTRAINT job_groups_live_check CHECK (live >= 0)
) STRICT, WITHOUT ROWID;

-- Schedules: a job is enqueued for each slot of a cron expression, exactly once.
CREATE TABLE schedules (
    name TEXT NOT NULL,
    -- Five fields (minute, hour, day of month, month, day of week), or six with the second first.
    cron TEXT NOT NULL,
    -- The IANA time zone of the expression: Europe/Berlin.
    timezone TEXT NOT NULL,
    type TEXT NOT NULL,
    -- The payload of each job, a JSON object; "slot" is added to it.
    payload TEXT NOT NULL DEFAULT '{}',
    priority INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER NOT NULL DEFAULT 5,
    -- 1: slots that passed while no worker ran are enqueued later. 0: only the latest of them is.
    catch_up INTEGER NOT NULL DEFAULT 1,
    -- The next slot, for which no job was enqueued yet.
    next_at TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    CONSTRAINT schedules_pkey PRIMARY KEY (name),
    CONSTRAINT schedules_name_check CHECK (length(name) BETWEEN 1 AND 100 AND instr(name, char(0)) = 0),
    CONSTRAINT schedules_cron_check CHECK (length(cron) BETWEEN 1 AND 200),
    CONSTRAINT schedules_timezone_check CHECK (length(timezone) BETWEEN 1 AND 100),
    CONSTRAINT schedules_type_check CHECK (length(type) BETWEEN 1 AND 200 AND instr(type, char(0)) = 0),
    CONSTRAINT schedules_payload_check CHECK (json_valid(payload) AND json_type(payload) = 'object'),
    CONSTRAINT schedules_priority_check CHECK (priority BETWEEN 0 AND 9),
    CONSTRAINT schedules_max_attempts_check CHECK (max_attempts BETWEEN 1 AND 1000),
    CONSTRAINT schedules_catch_up_check CHECK (catch_up IN (0, 1)),
    CONSTRAINT schedules_next_at_check CHECK (next_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT schedules_created_at_check CHECK (created_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT schedules_updated_at_check CHECK (updated_at GLOB '????-??-??T??:??:??.??????Z')
) STRICT, WITHOUT ROWID;

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

-- A live job joins its batch and its sequence, and waits if it has to: when it is stored, ...
CREATE TRIGGER job_queue_groups_insert AFTER INSERT ON job_queue
WHEN
    new.finished_at IS NULL
    AND (new.batch_id IS NOT NULL OR new.sequence_key IS NOT NULL OR new.after_batch IS NOT NULL)
BEGIN
    INSERT INTO job_groups (kind, name, live)
    SELECT
        'batch',
        new.batch_id,
        1
    WHERE new.batch_id IS NOT NULL
    ON CONFLICT (kind, name) DO UPDATE SET live = live + 1;
    INSERT INTO job_groups (kind, name, live)
    SELECT
        'sequence',
        new.sequence_key,
        1
    WHERE new.sequence_key IS NOT NULL
    ON CONFLICT (kind, name) DO UPDATE SET live = live + 1;
    UPDATE job_queue
    SET waits_for = CASE WHEN new.after_batch IS NULL THEN 'sequence' ELSE 'batch' END
    WHERE
        id = new.id
        AND status = 'queued'
        AND EXISTS (
            SELECT 1
            FROM job_groups
            WHERE
                (job_groups.kind = 'sequence' AND job_groups.name = new.sequence_key AND job_groups.live > 1)
                OR (job_groups.kind = 'batch' AND job_groups.name = new.after_batch)
        );
END;

-- ... and when it is requeued.
CREATE TRIGGER job_queue_groups_requeue AFTER UPDATE OF status ON job_queue
WHEN
    old.finished_at IS NOT NULL
    AND new.finished_at IS NULL
    AND (new.batch_id IS NOT NULL OR new.sequence_key IS NOT NULL OR new.after_batch IS NOT NULL)
BEGIN
    INSERT INTO job_groups (kind, name, live)
    SELECT
        'batch',
        new.batch_id,
        1
    WHERE new.batch_id IS NOT NULL
    ON CONFLICT (kind, name) DO UPDATE SET live = live + 1;
    INSERT INTO job_groups (kind, name, live)
    SELECT
        'sequence',
        new.sequence_key,
        1
    WHERE new.sequence_key IS NOT NULL
    ON CONFLICT (kind, name) DO UPDATE SET live = live + 1;
    UPDATE job_queue
    SET waits_for = CASE WHEN new.after_batch IS NULL THEN 'sequence' ELSE 'batch' END
    WHERE
        id = new.id
        AND status = 'queued'
        AND EXISTS (
            SELECT 1
            FROM job_groups
            WHERE
                (job_groups.kind = 'sequence' AND job_groups.name = new.sequence_key AND job_groups.live > 1)
                OR (job_groups.kind = 'batch' AND job_groups.name = new.after_batch)
        );
END;

-- A job that ends leaves them: the next job of the sequence may be claimed, and after the last job of a batch those that wait for it.
CREATE TRIGGER job_queue_groups_end AFTER UPDATE OF status ON job_queue
WHEN
    old.finished_at IS NULL
    AND new.finished_at IS NOT NULL
    AND (old.batch_id IS NOT NULL OR old.sequence_key IS NOT NULL)
BEGIN
    UPDATE job_groups
    SET live = live - 1
    WHERE (kind = 'batch' AND name = old.batch_id) OR (kind = 'sequence' AND name = old.sequence_key);
    DELETE FROM job_groups
    WHERE
        live = 0
        AND ((kind = 'batch' AND name = old.batch_id) OR (kind = 'sequence' AND name = old.sequence_key));
    UPDATE job_queue
    SET waits_for = NULL
    WHERE
        old.waits_for IS NOT 'sequence'
        AND id = (
            SELECT min(next_job.id)
            FROM job_queue AS next_job
            WHERE
                next_job.waits_for = 'sequence'
                AND next_job.sequence_key = old.sequence_key
        );
    UPDATE job_queue
    SET waits_for = NULL
    WHERE
        waits_for = 'batch'
        AND after_batch = old.batch_id
        AND NOT EXISTS (
            SELECT 1
            FROM job_groups
            WHERE job_groups.kind = 'batch' AND job_groups.name = old.batch_id
        );
END;

-- So does a live job that is deleted.
CREATE TRIGGER job_queue_groups_delete AFTER DELETE ON job_queue
WHEN
    old.finished_at IS NULL
    AND (old.batch_id IS NOT NULL OR old.sequence_key IS NOT NULL)
BEGIN
    UPDATE job_groups
    SET live = live - 1
    WHERE (kind = 'batch' AND name = old.batch_id) OR (kind = 'sequence' AND name = old.sequence_key);
    DELETE FROM job_groups
    WHERE
        live = 0
        AND ((kind = 'batch' AND name = old.batch_id) OR (kind = 'sequence' AND name = old.sequence_key));
    UPDATE job_queue
    SET waits_for = NULL
    WHERE
        old.waits_for IS NOT 'sequence'
        AND id = (
            SELECT min(next_job.id)
            FROM job_queue AS next_job
            WHERE
                next_job.waits_for = 'sequence'
                AND next_job.sequence_key = old.sequence_key
        );
    UPDATE job_queue
    SET waits_for = NULL
    WHERE
        waits_for = 'batch'
        AND after_batch = old.batch_id
        AND NOT EXISTS (
            SELECT 1
            FROM job_groups
            WHERE job_groups.kind = 'batch' AND job_groups.name = old.batch_id
        );
END;

-- Jobs that found no free place can be claimed again when their limit is deleted, ...
CREATE TRIGGER job_limits_delete AFTER DELETE ON job_limits
BEGIN
    UPDATE job_queue
    SET waits_for = NULL
    WHERE waits_for = 'limit' AND type = old.type;
END;

-- ... and when it no longer counts keys.
CREATE TRIGGER job_limits_update AFTER UPDATE OF max_running_per_key ON job_limits
WHEN new.max_running_per_key IS NULL AND old.max_running_per_key IS NOT NULL
BEGIN
    UPDATE job_queue
    SET waits_for = NULL
    WHERE waits_for = 'limit' AND type = old.type;
END;
