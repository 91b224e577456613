-- Initial tables: conversations, messages, learnings, the job queue, uploads; and the counter of the audit log.
--
-- The same tables, columns and rules as in SQLite's step of this name, with PostgreSQL's types: TIMESTAMPTZ for time, JSON
-- (which keeps the original text, unlike JSONB), and text that is compared byte by byte (COLLATE "C"), as in SQLite, so that
-- lists have the same order on both engines and on every server.
-- Keys: seq is the order in which rows were stored, and is never exposed outside the database. id is the key that applications
-- use: a time-ordered UUID, or supplied by the caller. Requires PostgreSQL 14 or later and a database with encoding UTF8.
--
-- Locks: none, the tables are new.
-- Rollback: LOSES DATA (drops every table of this step).

-- Every function of this step resolves names in this schema, and among the session's temporary tables last, never first.
DO $$
BEGIN
    PERFORM set_config('search_path', quote_ident(current_schema()) || ', pg_temp', TRUE);
END;
$$;

-- A conversation: its session, its source, and the sanitization that was applied to its text.
CREATE TABLE conversations (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C",
    -- The caller's own key, which identifies the same conversation; unique if set.
    correlation_id TEXT COLLATE "C",
    source TEXT COLLATE "C" NOT NULL,
    title TEXT COLLATE "C",
    -- The version of the sanitization applied to the text. No text is stored without one.
    sanitization_version TEXT COLLATE "C" NOT NULL,
    metadata JSON NOT NULL DEFAULT '{}',
    -- Maintained by triggers on messages, regardless of which program writes.
    message_count BIGINT NOT NULL DEFAULT 0,
    -- The highest position ever assigned on branch 0; positions are never reused.
    last_position BIGINT NOT NULL DEFAULT 0,
    -- The branch that calls without a branch read and append to.
    active_branch BIGINT NOT NULL DEFAULT 0,
    -- The highest number ever given to a branch; 0 if the conversation never had a fork. Numbers are never reused.
    last_branch BIGINT NOT NULL DEFAULT 0,
    created_at TIMESTAMPTZ NOT NULL,
    -- The last change of this row or the last message, whichever is later.
    updated_at TIMESTAMPTZ NOT NULL,
    completed_at TIMESTAMPTZ,
    -- Soft deletion: hidden from lists and search until restored or purged.
    deleted_at TIMESTAMPTZ,
    CONSTRAINT conversations_id_check
    CHECK (length(id) BETWEEN 1 AND 200),
    CONSTRAINT conversations_session_id_check
    CHECK (length(session_id) BETWEEN 1 AND 200),
    CONSTRAINT conversations_correlation_id_check
    CHECK (length(correlation_id) BETWEEN 1 AND 200),
    CONSTRAINT conversations_source_check
    CHECK (length(source) BETWEEN 1 AND 200),
    CONSTRAINT conversations_title_check
    CHECK (length(title) <= 1000),
    CONSTRAINT conversations_sanitization_version_check
    CHECK (length(sanitization_version) BETWEEN 1 AND 100),
    CONSTRAINT conversations_metadata_check
    CHECK (json_typeof(metadata) = 'object'),
    CONSTRAINT conversations_message_count_check CHECK (message_count >= 0),
    CONSTRAINT conversations_last_position_check CHECK (last_position >= 0),
    CONSTRAINT conversations_active_branch_check CHECK (active_branch BETWEEN 0 AND last_branch),
    CONSTRAINT conversations_last_branch_check CHECK (last_branch >= 0),
    CONSTRAINT conversations_created_at_check CHECK (created_at < '9999-12-31 23:59:59.999999+00'),
    CONSTRAINT conversations_updated_at_check CHECK (updated_at < '9999-12-31 23:59:59.999999+00')
);

-- Serves get_conversation and every other statement by id; foreign keys refer to it.
CREATE UNIQUE INDEX conversations_id_key ON conversations (id);

-- The branches of a conversation except branch 0, which every conversation has: alternatives to what follows a message.
-- A branch shares the messages of its parent up to fork_position, and those of the parent's parent up to the parent's fork.
-- Its own messages have positions above fork_position, so that the positions of a branch ascend through all of them.
CREATE TABLE branches (
    conversation_id TEXT COLLATE "C" NOT NULL,
    -- 1, 2, 3, ... in the order of the forks.
    branch BIGINT NOT NULL,
    -- The branch that owns the message at fork_position.
    parent_branch BIGINT NOT NULL,
    -- The last shared position; 0 if the branch shares no message.
    fork_position BIGINT NOT NULL,
    -- The highest position ever assigned on this branch; positions are never reused.
    last_position BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    label TEXT COLLATE "C",
    CONSTRAINT branches_pkey PRIMARY KEY (conversation_id, branch),
    CONSTRAINT branches_conversation_id_fkey
    FOREIGN KEY (conversation_id) REFERENCES conversations (id) ON DELETE CASCADE,
    CONSTRAINT branches_branch_check CHECK (branch >= 1),
    CONSTRAINT branches_parent_branch_check CHECK (parent_branch BETWEEN 0 AND branch - 1),
    CONSTRAINT branches_fork_position_check CHECK (fork_position >= 0 AND (fork_position > 0 OR parent_branch = 0)),
    CONSTRAINT branches_last_position_check CHECK (last_position >= fork_position),
    CONSTRAINT branches_created_at_check CHECK (created_at < '9999-12-31 23:59:59.999999+00'),
    CONSTRAINT branches_label_check CHECK (length(label) BETWEEN 1 AND 200)
);

-- The messages of a conversation, in order.
CREATE TABLE messages (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL,
    conversation_id TEXT COLLATE "C" NOT NULL,
    -- The branch that the message was appended to; branches that fork after it share it.
    branch BIGINT NOT NULL DEFAULT 0,
    -- Position on the branch: 1, 2, 3, ... A deleted message leaves a gap.
    position BIGINT NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    -- Sanitized text, 1 byte to 1 MiB of UTF-8, no NUL; may be empty if there are parts without text, or while it is partial.
    content TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of the content in UTF-8, lower-case hex; with parts, of the content, a NUL and the text of the parts.
    content_hash TEXT COLLATE "C" NOT NULL,
    token_count BIGINT NOT NULL,
    -- A JSON list: text, tool calls and results, images, files, ... content is derived from it. NULL: plain text.
    parts JSON,
    metadata JSON NOT NULL DEFAULT '{}',
    created_at TIMESTAMPTZ NOT NULL,
    -- The id that the message has where it was imported from; unique on its branch.
    source_id TEXT COLLATE "C",
    -- Whether the message is still being written: more text follows, and it is not indexed yet.
    partial BIGINT NOT NULL DEFAULT 0,
    CONSTRAINT messages_conversation_id_fkey
    FOREIGN KEY (conversation_id) REFERENCES conversations (id) ON DELETE CASCADE,
    CONSTRAINT messages_id_check CHECK (length(id) BETWEEN 1 AND 200),
    CONSTRAINT messages_branch_check CHECK (branch >= 0),
    CONSTRAINT messages_position_check CHECK (position >= 1),
    CONSTRAINT messages_role_check CHECK (role IN ('user', 'assistant', 'system', 'tool')),
    CONSTRAINT messages_content_check
    CHECK (octet_length(content) BETWEEN 1 AND 1048576 OR (content = '' AND (parts IS NOT NULL OR partial = 1))),
    CONSTRAINT messages_content_hash_check CHECK (length(content_hash) = 64),
    CONSTRAINT messages_token_count_check CHECK (token_count >= 0),
    CONSTRAINT messages_parts_check
    CHECK (json_typeof(parts) = 'array'),
    CONSTRAINT messages_source_id_check CHECK (length(source_id) BETWEEN 1 AND 200),
    CONSTRAINT messages_partial_check CHECK (partial IN (0, 1)),
    CONSTRAINT messages_metadata_check
    CHECK (json_typeof(metadata) = 'object'),
    CONSTRAINT messages_created_at_check CHECK (created_at < '9999-12-31 23:59:59.999999+00')
);

-- Serves get_message and every other statement by id; foreign keys refer to it.
CREATE UNIQUE INDEX messages_id_key ON messages (id);

-- Learnings: what was learned from a conversation; searchable.
CREATE TABLE learnings (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL,
    conversation_id TEXT COLLATE "C" NOT NULL,
    category TEXT COLLATE "C" NOT NULL,
    title TEXT COLLATE "C" NOT NULL,
    content TEXT COLLATE "C" NOT NULL,
    -- 0 (a guess) to 1 (certain).
    confidence DOUBLE PRECISION NOT NULL,
    -- A JSON list of distinct strings, sorted; triggers maintain its index, learning_tags.
    tags JSON NOT NULL DEFAULT '[]',
    -- Two learnings of a conversation with the same key are the same learning.
    dedupe_key TEXT COLLATE "C" NOT NULL,
    metadata JSON NOT NULL DEFAULT '{}',
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    -- Copied from the conversation by a trigger, so that lists and search can exclude the learning without a join.
    deleted_at TIMESTAMPTZ,
    CONSTRAINT learnings_conversation_id_fkey
    FOREIGN KEY (conversation_id) REFERENCES conversations (id) ON DELETE CASCADE,
    CONSTRAINT learnings_id_check CHECK (length(id) BETWEEN 1 AND 200),
    CONSTRAINT learnings_category_check
    CHECK (length(category) BETWEEN 1 AND 200),
    CONSTRAINT learnings_title_check
    CHECK (length(title) BETWEEN 1 AND 1000),
    CONSTRAINT learnings_content_check
    CHECK (octet_length(content) BETWEEN 1 AND 1048576),
    CONSTRAINT learnings_confidence_check CHECK (confidence BETWEEN 0.0 AND 1.0),
    CONSTRAINT learnings_tags_check CHECK (json_typeof(tags) = 'array'),
    CONSTRAINT learnings_dedupe_key_check
    CHECK (length(dedupe_key) BETWEEN 1 AND 200),
    CONSTRAINT learnings_metadata_check
    CHECK (json_typeof(metadata) = 'object'),
    CONSTRAINT learnings_created_at_check CHECK (created_at < '9999-12-31 23:59:59.999999+00'),
    CONSTRAINT learnings_updated_at_check CHECK (updated_at < '9999-12-31 23:59:59.999999+00')
);

-- Serves get_learning and every other statement by id; foreign keys refer to it.
CREATE UNIQUE INDEX learnings_id_key ON learnings (id);

-- The tag index of the learnings that are not hidden, newest first. created_at repeats that of the learning, so that a
-- page of one tag is a range of this table and needs no sort.
CREATE TABLE learning_tags (
    tag TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    learning_id TEXT COLLATE "C" NOT NULL,
    CONSTRAINT learning_tags_pkey PRIMARY KEY (tag, created_at, learning_id),
    CONSTRAINT learning_tags_learning_id_fkey
    FOREIGN KEY (learning_id) REFERENCES learnings (id) ON DELETE CASCADE,
    CONSTRAINT learning_tags_tag_check
    CHECK (length(tag) BETWEEN 1 AND 100)
);

-- The source messages of the learnings.
CREATE TABLE learning_messages (
    learning_id TEXT COLLATE "C" NOT NULL,
    message_id TEXT COLLATE "C" NOT NULL,
    CONSTRAINT learning_messages_pkey PRIMARY KEY (learning_id, message_id),
    CONSTRAINT learning_messages_learning_id_fkey
    FOREIGN KEY (learning_id) REFERENCES learnings (id) ON DELETE CASCADE,
    CONSTRAINT learning_messages_message_id_fkey
    FOREIGN KEY (message_id) REFERENCES messages (id) ON DELETE CASCADE
);

-- Background jobs: claimed with a lease, retried after failure, and kept as history.
CREATE TABLE job_queue (
    -- Ascending and never reused: first in, first out within a priority.
    id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    type TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL DEFAULT 'queued',
    -- 0 to 9; 9 is claimed first.
    priority BIGINT NOT NULL DEFAULT 0,
    -- Not claimed before this instant. "Scheduled" is queued with run_at in the future.
    run_at TIMESTAMPTZ NOT NULL,
    payload JSON NOT NULL DEFAULT '{}',
    -- At most one live (queued or running) job has a given key.
    dedupe_key TEXT COLLATE "C",
    -- Jobs of a type with the same key share the places of job_limits.max_running_per_key.
    limit_key TEXT COLLATE "C",
    -- Jobs with the same key run one at a time, in the order in which they were stored.
    sequence_key TEXT COLLATE "C",
    -- The batch that the job belongs to.
    batch_id TEXT COLLATE "C",
    -- The job starts when no job of this batch is queued or running.
    after_batch TEXT COLLATE "C",
    -- Why a queued job is not claimed yet: 'sequence' (its predecessor has not ended), 'batch' (after_batch has not ended),
    -- 'limit' (it was due, but its limit_key had no free place). NULL: it is claimed when it is due. Triggers of 0006.job-flow
    -- set 'sequence' and 'batch', regardless of which program writes; a claim sets 'limit'.
    waits_for TEXT COLLATE "C",
    -- The number of claims so far; a released or snoozed claim does not count.
    attempts BIGINT NOT NULL DEFAULT 0,
    max_attempts BIGINT NOT NULL,
    -- The wait after attempt n: backoff_seconds * 2^(n-1), at most backoff_cap_seconds, with jitter.
    backoff_seconds DOUBLE PRECISION NOT NULL,
    backoff_cap_seconds DOUBLE PRECISION NOT NULL,
    -- Increased by every claim; a worker with an older token has lost the job.
    lease_token BIGINT NOT NULL DEFAULT 0,
    lease_expires_at TIMESTAMPTZ,
    worker TEXT COLLATE "C",
    progress JSON,
    cancel_requested BIGINT NOT NULL DEFAULT 0,
    result JSON,
    -- How the last attempt ended, and why.
    last_outcome TEXT COLLATE "C",
    last_error TEXT COLLATE "C",
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    started_at TIMESTAMPTZ,
    finished_at TIMESTAMPTZ,
    CONSTRAINT job_queue_type_check
    CHECK (length(type) BETWEEN 1 AND 200),
    CONSTRAINT job_queue_status_check
    CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'quarantined', 'cancelled')),
    CONSTRAINT job_queue_priority_check CHECK (priority BETWEEN 0 AND 9),
    CONSTRAINT job_queue_dedupe_key_check
    CHECK (length(dedupe_key) BETWEEN 1 AND 200),
    CONSTRAINT job_queue_limit_key_check
    CHECK (length(limit_key) BETWEEN 1 AND 200),
    CONSTRAINT job_queue_sequence_key_check
    CHECK (length(sequence_key) BETWEEN 1 AND 200),
    CONSTRAINT job_queue_batch_id_check
    CHECK (length(batch_id) BETWEEN 1 AND 200),
    -- A job waits for one thing at a time, and never for itself.
    CONSTRAINT job_queue_after_batch_check CHECK (
        after_batch IS NULL
        OR (
            length(after_batch) BETWEEN 1 AND 200
            AND sequence_key IS NULL
            AND (batch_id IS NULL OR batch_id <> after_batch)
        )
    ),
    CONSTRAINT job_queue_waits_for_check CHECK (
        waits_for IS NULL
        OR (
            status = 'queued'
            AND (
                (waits_for = 'sequence' AND sequence_key IS NOT NULL)
                OR (waits_for = 'batch' AND after_batch IS NOT NULL)
                OR (waits_for = 'limit' AND limit_key IS NOT NULL)
            )
        )
    ),
    CONSTRAINT job_queue_attempts_check CHECK (attempts >= 0),
    CONSTRAINT job_queue_max_attempts_check CHECK (max_attempts BETWEEN 1 AND 1000),
    CONSTRAINT job_queue_backoff_check
    CHECK (backoff_seconds >= 0.0 AND backoff_cap_seconds BETWEEN 0.0 AND 31536000.0),
    -- A lease exists exactly while the job runs.
    CONSTRAINT job_queue_lease_check
    CHECK ((status = 'running') = (lease_expires_at IS NOT NULL) AND lease_token >= 0),
    CONSTRAINT job_queue_cancel_requested_check CHECK (cancel_requested IN (0, 1)),
    CONSTRAINT job_queue_last_outcome_check CHECK (
        last_outcome IN ('succeeded', 'failed', 'expired', 'released', 'snoozed', 'cancelled')
    ),
    -- An ended job has finished_at; a live one does not.
    CONSTRAINT job_queue_finished_at_check CHECK (
        (finished_at IS NOT NULL) = (status NOT IN ('queued', 'running'))
    )
);

-- Earlier attempts of jobs that were then retried, released, snoozed or requeued. Triggers on job_queue write them, regardless of
-- which program writes. The latest attempt, running or ended, is in the job's row while worker is not NULL.
CREATE TABLE job_attempts (
    job_id BIGINT NOT NULL,
    lease_token BIGINT NOT NULL,
    -- The value of the job's attempts after this claim.
    attempt BIGINT NOT NULL,
    worker TEXT COLLATE "C",
    started_at TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ,
    outcome TEXT COLLATE "C",
    error TEXT COLLATE "C",
    CONSTRAINT job_attempts_pkey PRIMARY KEY (job_id, lease_token),
    CONSTRAINT job_attempts_job_id_fkey
    FOREIGN KEY (job_id) REFERENCES job_queue (id) ON DELETE CASCADE
);

-- Every attempt of every job: those in job_attempts, and the latest one from the job's row. outcome is NULL while it runs.
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
    -- A claim always sets started_at; coalesce tells this to tools that infer whether the column can be NULL.
    coalesce(started_at, updated_at) AS started_at,
    finished_at,
    CASE WHEN status = 'running' THEN NULL ELSE last_outcome END AS outcome,
    CASE WHEN status = 'running' THEN NULL ELSE last_error END AS error
FROM job_queue
WHERE worker IS NOT NULL;

-- Paused job types: their jobs are not claimed until the type is resumed.
CREATE TABLE job_pauses (
    type TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    created_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT job_pauses_pkey PRIMARY KEY (type),
    CONSTRAINT job_pauses_type_check CHECK (length(type) BETWEEN 1 AND 200),
    CONSTRAINT job_pauses_reason_check CHECK (length(reason) <= 1000)
);

-- The number of ended jobs per type and status. Triggers on job_queue maintain the counts, regardless of which program writes.
-- Live jobs are few and are counted on request; there may be millions of ended jobs.
CREATE TABLE job_counts (
    type TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    -- Each type and status has a row for each transaction that ended such jobs at the same time, so that none waits for another.
    shard BIGINT NOT NULL,
    job_count BIGINT NOT NULL,
    CONSTRAINT job_counts_pkey PRIMARY KEY (type, status, shard)
);

-- Uploads: the transfer of a learning to a destination.
CREATE TABLE uploads (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL,
    learning_id TEXT COLLATE "C" NOT NULL,
    -- Where the learning is uploaded to; a learning has at most one upload per destination.
    destination TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL DEFAULT 'pending',
    -- The destination's key for the upload, set once it is uploaded.
    remote_id TEXT COLLATE "C",
    -- The destination's response.
    receipt JSON,
    attempts BIGINT NOT NULL DEFAULT 0,
    last_error TEXT COLLATE "C",
    metadata JSON NOT NULL DEFAULT '{}',
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    uploaded_at TIMESTAMPTZ,
    confirmed_at TIMESTAMPTZ,
    CONSTRAINT uploads_learning_id_fkey
    FOREIGN KEY (learning_id) REFERENCES learnings (id) ON DELETE CASCADE,
    CONSTRAINT uploads_id_check CHECK (length(id) BETWEEN 1 AND 200),
    CONSTRAINT uploads_destination_check
    CHECK (length(destination) BETWEEN 1 AND 200),
    CONSTRAINT uploads_status_check
    CHECK (status IN ('pending', 'uploading', 'uploaded', 'confirmed', 'failed')),
    CONSTRAINT uploads_attempts_check CHECK (attempts >= 0),
    CONSTRAINT uploads_metadata_check
    CHECK (json_typeof(metadata) = 'object'),
    -- An upload that has arrived has the destination's key.
    CONSTRAINT uploads_remote_id_check
    CHECK (status NOT IN ('uploaded', 'confirmed') OR remote_id IS NOT NULL),
    CONSTRAINT uploads_created_at_check CHECK (created_at < '9999-12-31 23:59:59.999999+00'),
    CONSTRAINT uploads_updated_at_check CHECK (updated_at < '9999-12-31 23:59:59.999999+00')
);

-- Serves get_upload and every other statement by id.
CREATE UNIQUE INDEX uploads_id_key ON uploads (id);

-- Raises the error of a rule; the trigger's argument is the name of the rule.
CREATE FUNCTION datastore_refuse() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'DS001', CONSTRAINT = TG_ARGV[0], MESSAGE = TG_ARGV[0];
END;
$$;

-- Maintains the number of messages and the last activity, regardless of which program writes. Runs once per statement, not per
-- row: a thousand messages appended together update their conversation once.
CREATE FUNCTION datastore_count_added_messages() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE conversations
    SET
        message_count = conversations.message_count + counted.message_count,
        last_position = greatest(conversations.last_position, counted.last_position),
        updated_at = greatest(conversations.updated_at, counted.updated_at)
    FROM (
        SELECT
            conversation_id,
            count(*) AS message_count,
            max(position) FILTER (WHERE branch = 0) AS last_position,
            max(created_at) AS updated_at
        FROM added
        GROUP BY conversation_id
    ) AS counted
    WHERE conversations.id = counted.conversation_id;
    RETURN NULL;
END;
$$;

-- Does nothing for `datastore copy`, which sets datastore.copying in its transactions: it copies the counts too. It cannot disable
-- the trigger, because that would lock the table, and two of its connections write concurrently.
CREATE TRIGGER messages_count_insert AFTER INSERT ON messages
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT WHEN (coalesce(current_setting('datastore.copying', TRUE), '') <> 'on')
EXECUTE FUNCTION datastore_count_added_messages();

-- Every branch but 0 has its own last position. A message needs its branch, and a position after the fork.
CREATE FUNCTION datastore_count_branch_message() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE branches
    SET last_position = greatest(last_position, new.position)
    WHERE
        conversation_id = new.conversation_id
        AND branch = new.branch
        AND fork_position < new.position;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'DS001', CONSTRAINT = TG_ARGV[0], MESSAGE = TG_ARGV[0];
    END IF;
    RETURN NULL;
END;
$$;

-- Does nothing for `datastore copy`; see messages_count_insert.
CREATE TRIGGER messages_branch_insert AFTER INSERT ON messages
FOR EACH ROW WHEN (new.branch <> 0 AND coalesce(current_setting('datastore.copying', TRUE), '') <> 'on')
EXECUTE FUNCTION datastore_count_branch_message('messages_branch_fkey');

-- The counterpart of messages_count_insert for deletions; last_position does not change, so that no position is reused.
CREATE FUNCTION datastore_count_deleted_messages() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE conversations
    SET message_count = conversations.message_count - counted.message_count
    FROM (
        SELECT
            conversation_id,
            count(*) AS message_count
        FROM deleted
        GROUP BY conversation_id
    ) AS counted
    WHERE conversations.id = counted.conversation_id;
    RETURN NULL;
END;
$$;

CREATE TRIGGER messages_count_delete AFTER DELETE ON messages
REFERENCING OLD TABLE AS deleted
FOR EACH STATEMENT EXECUTE FUNCTION datastore_count_deleted_messages();

-- A message cannot move to another conversation or branch, because both would have to be counted again.
CREATE TRIGGER messages_conversation_id_fixed BEFORE UPDATE OF conversation_id, branch ON messages
FOR EACH ROW WHEN (new.conversation_id IS DISTINCT FROM old.conversation_id OR new.branch IS DISTINCT FROM old.branch)
EXECUTE FUNCTION datastore_refuse('messages_conversation_id_fixed');

-- Counts the branches, so that no number is reused.
CREATE FUNCTION datastore_number_branch() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE conversations
    SET last_branch = greatest(last_branch, new.branch)
    WHERE id = new.conversation_id;
    RETURN NULL;
END;
$$;

-- Does nothing for `datastore copy`; see messages_count_insert.
CREATE TRIGGER branches_number_insert AFTER INSERT ON branches
FOR EACH ROW WHEN (coalesce(current_setting('datastore.copying', TRUE), '') <> 'on')
EXECUTE FUNCTION datastore_number_branch();

-- The messages of a branch are deleted with it.
CREATE FUNCTION datastore_delete_branch_messages() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM messages
    WHERE
        conversation_id = old.conversation_id
        AND branch = old.branch;
    RETURN NULL;
END;
$$;

CREATE TRIGGER branches_messages_delete AFTER DELETE ON branches
FOR EACH ROW
EXECUTE FUNCTION datastore_delete_branch_messages();

-- Hides and restores a conversation's learnings with the conversation.
CREATE FUNCTION datastore_hide_learnings() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE learnings
    SET deleted_at = new.deleted_at
    WHERE conversation_id = new.id;
    RETURN NULL;
END;
$$;

CREATE TRIGGER conversations_deleted_at_update AFTER UPDATE OF deleted_at ON conversations
FOR EACH ROW WHEN (new.deleted_at IS DISTINCT FROM old.deleted_at)
EXECUTE FUNCTION datastore_hide_learnings();

-- Keeps learning_tags in step with learnings.tags: changed tags replace the old ones.
CREATE FUNCTION datastore_index_tags() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM learning_tags WHERE learning_id = new.id;
    END IF;
    IF new.deleted_at IS NULL THEN
        INSERT INTO learning_tags (tag, created_at, learning_id)
        SELECT DISTINCT
            tag.value,
            new.created_at,
            new.id
        FROM json_array_elements_text(new.tags) AS tag;
    END IF;
    RETURN NULL;
END;
$$;

-- Does nothing for `datastore copy`; see messages_count_insert.
CREATE TRIGGER learnings_tags_insert AFTER INSERT ON learnings
FOR EACH ROW
WHEN (
    json_array_length(new.tags) > 0
    AND new.deleted_at IS NULL
    AND coalesce(current_setting('datastore.copying', TRUE), '') <> 'on'
)
EXECUTE FUNCTION datastore_index_tags();

CREATE TRIGGER learnings_tags_update AFTER UPDATE OF tags, created_at, deleted_at ON learnings
FOR EACH ROW
WHEN (
    (CAST(new.tags AS TEXT), new.created_at, new.deleted_at)
    IS DISTINCT FROM (CAST(old.tags AS TEXT), old.created_at, old.deleted_at)
)
EXECUTE FUNCTION datastore_index_tags();

-- Writes the history of a job: an attempt is stored when a running job returns to the queue, or when an ended job is requeued.
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

-- Maintain the counts of ended jobs: add one to a row that no other transaction uses, or add a row, ...
CREATE FUNCTION datastore_count_ended_job() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE job_counts
    SET job_count = job_counts.job_count + 1
    WHERE
        job_counts.type = new.type
        AND job_counts.status = new.status
        AND job_counts.shard = (
            SELECT own.shard
            FROM job_counts AS own
            WHERE own.type = new.type AND own.status = new.status
            ORDER BY own.shard
            LIMIT 1
            FOR UPDATE SKIP LOCKED
        );
    IF NOT FOUND THEN
        INSERT INTO job_counts (type, status, shard, job_count)
        VALUES (new.type, new.status, CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT), 1);
    END IF;
    RETURN NULL;
END;
$$;

-- ... or subtract one: a row may be negative, but their sum never is.
CREATE FUNCTION datastore_discount_ended_job() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE job_counts
    SET job_count = job_counts.job_count - 1
    WHERE
        job_counts.type = old.type
        AND job_counts.status = old.status
        AND job_counts.shard = (
            SELECT own.shard
            FROM job_counts AS own
            WHERE own.type = old.type AND own.status = old.status
            ORDER BY own.shard
            LIMIT 1
            FOR UPDATE SKIP LOCKED
        );
    IF NOT FOUND THEN
        INSERT INTO job_counts (type, status, shard, job_count)
        VALUES (old.type, old.status, CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT), -1);
    END IF;
    RETURN NULL;
END;
$$;

-- Deletes the counts of a type that no job has any longer, because the type named an erased subject. Runs with the rights of the
-- schema's owner: the application may not delete counts (docs/roles.sql).
CREATE FUNCTION datastore_forget_job_type(forgotten TEXT) RETURNS SETOF TEXT
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DELETE FROM job_counts
WHERE
    job_counts.type = forgotten
    AND NOT EXISTS (SELECT 1 FROM job_queue WHERE job_queue.type = forgotten)
RETURNING job_counts.status;
$$;

-- When a job ends, ...
CREATE TRIGGER job_queue_count_end AFTER UPDATE OF type, status ON job_queue
FOR EACH ROW WHEN (new.finished_at IS NOT NULL)
EXECUTE FUNCTION datastore_count_ended_job();

-- ... when it is requeued, ...
CREATE TRIGGER job_queue_count_requeue AFTER UPDATE OF type, status ON job_queue
FOR EACH ROW WHEN (old.finished_at IS NOT NULL)
EXECUTE FUNCTION datastore_discount_ended_job();

-- ... when it is inserted as ended, ...
CREATE TRIGGER job_queue_count_insert AFTER INSERT ON job_queue
FOR EACH ROW WHEN (new.finished_at IS NOT NULL)
EXECUTE FUNCTION datastore_count_ended_job();

-- ... and when it is deleted.
CREATE TRIGGER job_queue_count_delete AFTER DELETE ON job_queue
FOR EACH ROW WHEN (old.finished_at IS NOT NULL)
EXECUTE FUNCTION datastore_discount_ended_job();

-- Notifies waiting workers when the transaction commits; PostgreSQL sends identical notifications of a transaction once.
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

-- A resumed type may have jobs that are due.
CREATE TRIGGER job_pauses_notify AFTER DELETE ON job_pauses
FOR EACH STATEMENT EXECUTE FUNCTION datastore_notify_jobs();

-- Allows only these transitions:
--   pending -> uploading -> uploaded -> confirmed
--   uploading, uploaded -> failed (refused, or lost at the destination); uploading -> pending (released)
--   failed -> pending (retry) or uploading (immediate retry)
CREATE TRIGGER uploads_status_transition BEFORE UPDATE OF status ON uploads
FOR EACH ROW
WHEN (
    (old.status || '>' || new.status) NOT IN (
        'pending>uploading',
        'uploading>uploaded',
        'uploading>failed',
        'uploading>pending',
        'uploaded>confirmed',
        'uploaded>failed',
        'failed>pending',
        'failed>uploading'
    )
)
EXECUTE FUNCTION datastore_refuse('uploads_status_transition');

-- JSON merge patch (RFC 7396), like SQLite's json_patch(): values of the patch replace those of the target, and a null removes the key.
CREATE FUNCTION datastore_json_patch(target JSON, patch JSON) RETURNS JSON
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path FROM CURRENT AS $$
BEGIN
    IF json_typeof(patch) <> 'object' THEN
        RETURN patch;
    END IF;
    RETURN coalesce((
        SELECT json_object_agg(merged.key, merged.value)
        FROM (
            SELECT
                coalesce(old_pair.key, new_pair.key) AS key,
                CASE
                    WHEN new_pair.key IS NULL THEN old_pair.value
                    WHEN json_typeof(new_pair.value) = 'object'
                        THEN datastore_json_patch(coalesce(old_pair.value, '{}'), new_pair.value)
                    ELSE new_pair.value
                END AS value
            FROM json_each(CASE WHEN json_typeof(target) = 'object' THEN target ELSE '{}' END) AS old_pair
            FULL JOIN json_each(patch) AS new_pair ON old_pair.key = new_pair.key
            WHERE new_pair.key IS NULL OR json_typeof(new_pair.value) <> 'null'
        ) AS merged
    ), '{}');
END;
$$;

-- The number of entries ever added to the audit log (0003.audit), which is also the id of its newest entry. A rollback of that
-- step does not reset it, so that the loss of a log that was dropped and created again is detected.
CREATE TABLE audit_log_counter (
    name TEXT COLLATE "C" PRIMARY KEY,
    last_id BIGINT NOT NULL,
    CONSTRAINT audit_log_counter_name_check CHECK (name = 'audit_log'),
    CONSTRAINT audit_log_counter_last_id_check CHECK (last_id >= 0)
);

INSERT INTO audit_log_counter (name, last_id) VALUES ('audit_log', 0);

-- The number can only increase, ...
CREATE TRIGGER audit_log_counter_forward BEFORE UPDATE ON audit_log_counter
FOR EACH ROW WHEN (new.last_id <= old.last_id OR new.name <> old.name)
EXECUTE FUNCTION datastore_refuse('audit_log_counter_forward');

-- ... and is never deleted.
CREATE TRIGGER audit_log_counter_delete BEFORE DELETE ON audit_log_counter
FOR EACH ROW EXECUTE FUNCTION datastore_refuse('audit_log_counter_forward');

CREATE TRIGGER audit_log_counter_truncate BEFORE TRUNCATE ON audit_log_counter
FOR EACH STATEMENT EXECUTE FUNCTION datastore_refuse('audit_log_counter_forward');
