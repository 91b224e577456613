-- Initial tables: conversations, messages, learnings, the job queue, uploads; and the counter of the audit log.
--
-- Style: tables are STRICT; every constraint has a name; a named index enforces uniqueness, so that query plans show the name.
-- Time: text, UTC, always 27 characters ('2026-11-23T09:14:05.000000Z'), so that text order is chronological order.
-- Keys: seq is the row's place on disk; the full-text index refers to it, and it is never exposed outside the database.
-- id is the key that applications use: a time-ordered UUID, or supplied by the caller.
--
-- Locks: the write lock, for milliseconds: the tables are new.
-- Rollback: LOSES DATA (drops every table of this step).

-- Marks the file as a database of this project ('DatS'). A file without the mark is not opened.
PRAGMA application_id = 1147237459;

-- A conversation: its session, its source, and the sanitization that was applied to its text.
CREATE TABLE conversations (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    session_id TEXT,
    -- The caller's own key, which identifies the same conversation; unique if set.
    correlation_id TEXT,
    source TEXT NOT NULL,
    title TEXT,
    -- The version of the sanitization applied to the text. No text is stored without one.
    sanitization_version TEXT NOT NULL,
    metadata TEXT NOT NULL DEFAULT '{}',
    -- Maintained by triggers on messages, regardless of which program writes.
    message_count INTEGER NOT NULL DEFAULT 0,
    -- The highest position ever assigned on branch 0; positions are never reused.
    last_position INTEGER NOT NULL DEFAULT 0,
    -- The branch that calls without a branch read and append to.
    active_branch INTEGER NOT NULL DEFAULT 0,
    -- The highest number ever given to a branch; 0 if the conversation never had a fork. Numbers are never reused.
    last_branch INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    -- The last change of this row or the last message, whichever is later.
    updated_at TEXT NOT NULL,
    completed_at TEXT,
    -- Soft deletion: hidden from lists and search until restored or purged.
    deleted_at TEXT,
    CONSTRAINT conversations_id_check
    CHECK (length(id) BETWEEN 1 AND 200 AND instr(id, char(0)) = 0),
    CONSTRAINT conversations_session_id_check
    CHECK (length(session_id) BETWEEN 1 AND 200 AND instr(session_id, char(0)) = 0),
    CONSTRAINT conversations_correlation_id_check
    CHECK (length(correlation_id) BETWEEN 1 AND 200 AND instr(correlation_id, char(0)) = 0),
    CONSTRAINT conversations_source_check
    CHECK (length(source) BETWEEN 1 AND 200 AND instr(source, char(0)) = 0),
    CONSTRAINT conversations_title_check
    CHECK (length(title) <= 1000 AND instr(title, char(0)) = 0),
    CONSTRAINT conversations_sanitization_version_check
    CHECK (length(sanitization_version) BETWEEN 1 AND 100 AND instr(sanitization_version, char(0)) = 0),
    CONSTRAINT conversations_metadata_check
    CHECK (json_valid(metadata) AND json_type(metadata) = 'object'),
    CONSTRAINT conversations_message_count_check CHECK (message_count >= 0),
    CONSTRAINT conversations_last_position_check CHECK (last_position >= 0),
    CONSTRAINT conversations_active_branch_check CHECK (active_branch BETWEEN 0 AND last_branch),
    CONSTRAINT conversations_last_branch_check CHECK (last_branch >= 0),
    CONSTRAINT conversations_created_at_check
    CHECK (created_at GLOB '????-??-??T??:??:??.??????Z' AND created_at < '9999-12-31T23:59:59.999999Z'),
    CONSTRAINT conversations_updated_at_check
    CHECK (updated_at GLOB '????-??-??T??:??:??.??????Z' AND updated_at < '9999-12-31T23:59:59.999999Z'),
    CONSTRAINT conversations_completed_at_check
    CHECK (completed_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT conversations_deleted_at_check CHECK (deleted_at GLOB '????-??-??T??:??:??.??????Z')
) STRICT;

-- Serves get_conversation and every other statement by id; foreign keys refer to it.
CREATE UNIQUE INDEX conversations_id_key ON conversations (id);

-- The branches of a conversation except branch 0, which every conversation has: alternatives to what follows a message.
-- A branch shares the messages of its parent up to fork_position, and those of the parent's parent up to the parent's fork.
-- Its own messages have positions above fork_position, so that the positions of a branch ascend through all of them.
CREATE TABLE branches (
    conversation_id TEXT NOT NULL,
    -- 1, 2, 3, ... in the order of the forks.
    branch INTEGER NOT NULL,
    -- The branch that owns the message at fork_position.
    parent_branch INTEGER NOT NULL,
    -- The last shared position; 0 if the branch shares no message.
    fork_position INTEGER NOT NULL,
    -- The highest position ever assigned on this branch; positions are never reused.
    last_position INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    label TEXT,
    CONSTRAINT branches_pkey PRIMARY KEY (conversation_id, branch),
    CONSTRAINT branches_conversation_id_fkey
    FOREIGN KEY (conversation_id) REFERENCES conversations (id) ON DELETE CASCADE,
    CONSTRAINT branches_branch_check CHECK (branch >= 1),
    CONSTRAINT branches_parent_branch_check CHECK (parent_branch BETWEEN 0 AND branch - 1),
    CONSTRAINT branches_fork_position_check CHECK (fork_position >= 0 AND (fork_position > 0 OR parent_branch = 0)),
    CONSTRAINT branches_last_position_check CHECK (last_position >= fork_position),
    CONSTRAINT branches_created_at_check
    CHECK (created_at GLOB '????-??-??T??:??:??.??????Z' AND created_at < '9999-12-31T23:59:59.999999Z'),
    CONSTRAINT branches_label_check CHECK (length(label) BETWEEN 1 AND 200 AND instr(label, char(0)) = 0)
) STRICT, WITHOUT ROWID;

-- The messages of a conversation, in order.
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    -- The branch that the message was appended to; branches that fork after it share it.
    branch INTEGER NOT NULL DEFAULT 0,
    -- Position on the branch: 1, 2, 3, ... A deleted message leaves a gap.
    position INTEGER NOT NULL,
    role TEXT NOT NULL,
    -- Sanitized text, 1 byte to 1 MiB of UTF-8, no NUL; may be empty if there are parts without text, or while it is partial.
    content TEXT NOT NULL,
    -- SHA-256 of the content in UTF-8, lower-case hex; with parts, of the content, a NUL and the text of the parts.
    content_hash TEXT NOT NULL,
    token_count INTEGER NOT NULL,
    -- A JSON list: text, tool calls and results, images, files, ... content is derived from it. NULL: plain text.
    parts TEXT,
    metadata TEXT NOT NULL DEFAULT '{}',
    created_at TEXT NOT NULL,
    -- The id that the message has where it was imported from; unique on its branch.
    source_id TEXT,
    -- Whether the message is still being written: more text follows, and it is not indexed yet.
    partial INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT messages_conversation_id_fkey
    FOREIGN KEY (conversation_id) REFERENCES conversations (id) ON DELETE CASCADE,
    CONSTRAINT messages_id_check CHECK (length(id) BETWEEN 1 AND 200 AND instr(id, char(0)) = 0),
    CONSTRAINT messages_branch_check CHECK (branch >= 0),
    CONSTRAINT messages_position_check CHECK (position >= 1),
    CONSTRAINT messages_role_check CHECK (role IN ('user', 'assistant', 'system', 'tool')),
    CONSTRAINT messages_content_check
    CHECK (
        (length(CAST(content AS BLOB)) BETWEEN 1 AND 1048576 AND instr(content, char(0)) = 0)
        OR (content = '' AND (parts IS NOT NULL OR partial = 1))
    ),
    CONSTRAINT messages_content_hash_check CHECK (length(content_hash) = 64),
    CONSTRAINT messages_token_count_check CHECK (token_count >= 0),
    CONSTRAINT messages_parts_check
    CHECK ((parts IS NULL OR json_valid(parts)) AND json_type(parts) = 'array'),
    CONSTRAINT messages_source_id_check CHECK (length(source_id) BETWEEN 1 AND 200 AND instr(source_id, char(0)) = 0),
    CONSTRAINT messages_partial_check CHECK (partial IN (0, 1)),
    CONSTRAINT messages_metadata_check
    CHECK (json_valid(metadata) AND json_type(metadata) = 'object'),
    CONSTRAINT messages_created_at_check
    CHECK (created_at GLOB '????-??-??T??:??:??.??????Z' AND created_at < '9999-12-31T23:59:59.999999Z')
) STRICT;

-- Serves get_message and every other statement by id; foreign keys refer to it.
CREATE UNIQUE INDEX messages_id_key ON messages (id);

-- Learnings: what was learned from a conversation; searchable.
CREATE TABLE learnings (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    category TEXT NOT NULL,
    title TEXT NOT NULL,
    content TEXT NOT NULL,
    -- 0 (a guess) to 1 (certain).
    confidence REAL NOT NULL,
    -- A JSON list of distinct strings, sorted; triggers maintain its index, learning_tags.
    tags TEXT NOT NULL DEFAULT '[]',
    -- Two learnings of a conversation with the same key are the same learning.
    dedupe_key TEXT NOT NULL,
    metadata TEXT NOT NULL DEFAULT '{}',
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    -- Copied from the conversation by a trigger, so that lists and search can exclude the learning without a join.
    deleted_at TEXT,
    CONSTRAINT learnings_conversation_id_fkey
    FOREIGN KEY (conversation_id) REFERENCES conversations (id) ON DELETE CASCADE,
    CONSTRAINT learnings_id_check CHECK (length(id) BETWEEN 1 AND 200 AND instr(id, char(0)) = 0),
    CONSTRAINT learnings_category_check
    CHECK (length(category) BETWEEN 1 AND 200 AND instr(category, char(0)) = 0),
    CONSTRAINT learnings_title_check
    CHECK (length(title) BETWEEN 1 AND 1000 AND instr(title, char(0)) = 0),
    CONSTRAINT learnings_content_check
    CHECK (length(CAST(content AS BLOB)) BETWEEN 1 AND 1048576 AND instr(content, char(0)) = 0),
    CONSTRAINT learnings_confidence_check CHECK (confidence BETWEEN 0.0 AND 1.0),
    CONSTRAINT learnings_tags_check CHECK (json_valid(tags) AND json_type(tags) = 'array'),
    CONSTRAINT learnings_dedupe_key_check
    CHECK (length(dedupe_key) BETWEEN 1 AND 200 AND instr(dedupe_key, char(0)) = 0),
    CONSTRAINT learnings_metadata_check
    CHECK (json_valid(metadata) AND json_type(metadata) = 'object'),
    CONSTRAINT learnings_created_at_check
    CHECK (created_at GLOB '????-??-??T??:??:??.??????Z' AND created_at < '9999-12-31T23:59:59.999999Z'),
    CONSTRAINT learnings_updated_at_check
    CHECK (updated_at GLOB '????-??-??T??:??:??.??????Z' AND updated_at < '9999-12-31T23:59:59.999999Z'),
    CONSTRAINT learnings_deleted_at_check CHECK (deleted_at GLOB '????-??-??T??:??:??.??????Z')
) STRICT;

-- Serves get_learning and every other statement by id; foreign keys refer to it.
CREATE UNIQUE INDEX learnings_id_key ON learnings (id);

-- The tag index of the learnings that are not hidden, newest first. created_at repeats that of the learning, so that a
-- page of one tag is a range of this table and needs no sort.
CREATE TABLE learning_tags (
    tag TEXT NOT NULL,
    created_at TEXT NOT NULL,
    learning_id TEXT NOT NULL,
    CONSTRAINT learning_tags_pkey PRIMARY KEY (tag, created_at, learning_id),
    CONSTRAINT learning_tags_learning_id_fkey
    FOREIGN KEY (learning_id) REFERENCES learnings (id) ON DELETE CASCADE,
    CONSTRAINT learning_tags_tag_check
    CHECK (length(tag) BETWEEN 1 AND 100 AND instr(tag, char(0)) = 0)
) STRICT, WITHOUT ROWID;

-- The source messages of the learnings.
CREATE TABLE learning_messages (
    learning_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    CONSTRAINT learning_messages_pkey PRIMARY KEY (learning_id, message_id),
    CONSTRAINT learning_messages_learning_id_fkey
    FOREIGN KEY (learning_id) REFERENCES learnings (id) ON DELETE CASCADE,
    CONSTRAINT learning_messages_message_id_fkey
    FOREIGN KEY (message_id) REFERENCES messages (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Background jobs: claimed with a lease, retried after failure, and kept as history.
CREATE TABLE job_queue (
    -- Ascending and never reused: first in, first out within a priority.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    type TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'queued',
    -- 0 to 9; 9 is claimed first.
    priority INTEGER NOT NULL DEFAULT 0,
    -- Not claimed before this instant. "Scheduled" is queued with run_at in the future.
    run_at TEXT NOT NULL,
    payload TEXT NOT NULL DEFAULT '{}',
    -- At most one live (queued or running) job has a given key.
    dedupe_key TEXT,
    -- Jobs of a type with the same key share the places of job_limits.max_running_per_key.
    limit_key TEXT,
    -- Jobs with the same key run one at a time, in the order in which they were stored.
    sequence_key TEXT,
    -- The batch that the job belongs to.
    batch_id TEXT,
    -- The job starts when no job of this batch is queued or running.
    after_batch TEXT,
    -- Why a queued job is not claimed yet: 'sequence' (its predecessor has not ended), 'batch' (after_batch has not ended),
    -- 'limit' (it was due, but its limit_key had no free place). NULL: it is claimed when it is due. Triggers of 0006.job-flow
    -- set 'sequence' and 'batch', regardless of which program writes; a claim sets 'limit'.
    waits_for TEXT,
    -- The number of claims so far; a released or snoozed claim does not count.
    attempts INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER NOT NULL,
    -- The wait after attempt n: backoff_seconds * 2^(n-1), at most backoff_cap_seconds, with jitter.
    backoff_seconds REAL NOT NULL,
    backoff_cap_seconds REAL NOT NULL,
    -- Increased by every claim; a worker with an older token has lost the job.
    lease_token INTEGER NOT NULL DEFAULT 0,
    lease_expires_at TEXT,
    worker TEXT,
    progress TEXT,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    result TEXT,
    -- How the last attempt ended, and why.
    last_outcome TEXT,
    last_error TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    started_at TEXT,
    finished_at TEXT,
    CONSTRAINT job_queue_type_check
    CHECK (length(type) BETWEEN 1 AND 200 AND instr(type, char(0)) = 0),
    CONSTRAINT job_queue_status_check
    CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'quarantined', 'cancelled')),
    CONSTRAINT job_queue_priority_check CHECK (priority BETWEEN 0 AND 9),
    CONSTRAINT job_queue_payload_check CHECK (json_valid(payload)),
    CONSTRAINT job_queue_dedupe_key_check
    CHECK (length(dedupe_key) BETWEEN 1 AND 200 AND instr(dedupe_key, char(0)) = 0),
    CONSTRAINT job_queue_limit_key_check
    CHECK (length(limit_key) BETWEEN 1 AND 200 AND instr(limit_key, char(0)) = 0),
    CONSTRAINT job_queue_sequence_key_check
    CHECK (length(sequence_key) BETWEEN 1 AND 200 AND instr(sequence_key, char(0)) = 0),
    CONSTRAINT job_queue_batch_id_check
    CHECK (length(batch_id) BETWEEN 1 AND 200 AND instr(batch_id, char(0)) = 0),
    -- A job waits for one thing at a time, and never for itself.
    CONSTRAINT job_queue_after_batch_check CHECK (
        after_batch IS NULL
        OR (
            length(after_batch) BETWEEN 1 AND 200
            AND instr(after_batch, char(0)) = 0
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
    CONSTRAINT job_queue_progress_check CHECK (progress IS NULL OR json_valid(progress)),
    CONSTRAINT job_queue_cancel_requested_check CHECK (cancel_requested IN (0, 1)),
    CONSTRAINT job_queue_result_check CHECK (result IS NULL OR json_valid(result)),
    CONSTRAINT job_queue_last_outcome_check CHECK (
        last_outcome IN ('succeeded', 'failed', 'expired', 'released', 'snoozed', 'cancelled')
    ),
    CONSTRAINT job_queue_run_at_check CHECK (run_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT job_queue_lease_expires_at_check
    CHECK (lease_expires_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT job_queue_created_at_check CHECK (created_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT job_queue_updated_at_check CHECK (updated_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT job_queue_started_at_check CHECK (started_at GLOB '????-??-??T??:??:??.??????Z'),
    -- An ended job has finished_at; a live one does not.
    CONSTRAINT job_queue_finished_at_check CHECK (
        (finished_at IS NOT NULL) = (status NOT IN ('queued', 'running'))
        AND (finished_at IS NULL OR finished_at GLOB '????-??-??T??:??:??.??????Z')
    )
) STRICT;

-- Earlier attempts of jobs that were then retried, released, snoozed or requeued. Triggers on job_queue write them, regardless of
-- which program writes. The latest attempt, running or ended, is in the job's row while worker is not NULL.
CREATE TABLE job_attempts (
    job_id INTEGER NOT NULL,
    lease_token INTEGER NOT NULL,
    -- The value of the job's attempts after this claim.
    attempt INTEGER NOT NULL,
    worker TEXT,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    outcome TEXT,
    error TEXT,
    CONSTRAINT job_attempts_pkey PRIMARY KEY (job_id, lease_token),
    CONSTRAINT job_attempts_job_id_fkey
    FOREIGN KEY (job_id) REFERENCES job_queue (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

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
    type TEXT NOT NULL,
    reason TEXT,
    created_at TEXT NOT NULL,
    CONSTRAINT job_pauses_pkey PRIMARY KEY (type),
    CONSTRAINT job_pauses_type_check CHECK (length(type) BETWEEN 1 AND 200 AND instr(type, char(0)) = 0),
    CONSTRAINT job_pauses_reason_check CHECK (length(reason) <= 1000 AND instr(reason, char(0)) = 0),
    CONSTRAINT job_pauses_created_at_check CHECK (created_at GLOB '????-??-??T??:??:??.??????Z')
) STRICT, WITHOUT ROWID;

-- The number of stored jobs per type (status 'stored'), and of ended jobs per type and status. Triggers on job_queue maintain
-- the counts, regardless of which program writes. Running jobs are few and are counted on request; the remaining jobs are queued.
-- A report reads a few rows, regardless of the number of ended and queued jobs, and a claim changes no count.
CREATE TABLE job_counts (
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    job_count INTEGER NOT NULL,
    CONSTRAINT job_counts_pkey PRIMARY KEY (type, status)
) STRICT, WITHOUT ROWID;

-- Uploads: the transfer of a learning to a destination.
CREATE TABLE uploads (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    learning_id TEXT NOT NULL,
    -- Where the learning is uploaded to; a learning has at most one upload per destination.
    destination TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending',
    -- The destination's key for the upload, set once it is uploaded.
    remote_id TEXT,
    -- The destination's response.
    receipt TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    metadata TEXT NOT NULL DEFAULT '{}',
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    uploaded_at TEXT,
    confirmed_at TEXT,
    CONSTRAINT uploads_learning_id_fkey
    FOREIGN KEY (learning_id) REFERENCES learnings (id) ON DELETE CASCADE,
    CONSTRAINT uploads_id_check CHECK (length(id) BETWEEN 1 AND 200 AND instr(id, char(0)) = 0),
    CONSTRAINT uploads_destination_check
    CHECK (length(destination) BETWEEN 1 AND 200 AND instr(destination, char(0)) = 0),
    CONSTRAINT uploads_status_check
    CHECK (status IN ('pending', 'uploading', 'uploaded', 'confirmed', 'failed')),
    CONSTRAINT uploads_receipt_check CHECK (receipt IS NULL OR json_valid(receipt)),
    CONSTRAINT uploads_attempts_check CHECK (attempts >= 0),
    CONSTRAINT uploads_metadata_check
    CHECK (json_valid(metadata) AND json_type(metadata) = 'object'),
    CONSTRAINT uploads_created_at_check
    CHECK (created_at GLOB '????-??-??T??:??:??.??????Z' AND created_at < '9999-12-31T23:59:59.999999Z'),
    CONSTRAINT uploads_updated_at_check
    CHECK (updated_at GLOB '????-??-??T??:??:??.??????Z' AND updated_at < '9999-12-31T23:59:59.999999Z'),
    CONSTRAINT uploads_uploaded_at_check CHECK (uploaded_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT uploads_confirmed_at_check CHECK (confirmed_at GLOB '????-??-??T??:??:??.??????Z'),
    -- An upload that has arrived has the destination's key.
    CONSTRAINT uploads_remote_id_check
    CHECK (status NOT IN ('uploaded', 'confirmed') OR remote_id IS NOT NULL)
) STRICT;

-- Serves get_upload and every other statement by id.
CREATE UNIQUE INDEX uploads_id_key ON uploads (id);

-- Maintains the number of messages and the last activity, regardless of which program writes.
CREATE TRIGGER messages_count_insert AFTER INSERT ON messages
BEGIN
    UPDATE conversations
    SET
        message_count = message_count + 1,
        last_position = CASE WHEN new.branch = 0 THEN max(last_position, new.position) ELSE last_position END,
        updated_at = max(updated_at, new.created_at)
    WHERE id = new.conversation_id;
END;

-- Every branch but 0 has its own last position. A message needs its branch, and a position after the fork.
CREATE TRIGGER messages_branch_insert AFTER INSERT ON messages
WHEN new.branch <> 0
BEGIN
    UPDATE branches
    SET last_position = max(last_position, new.position)
    WHERE
        conversation_id = new.conversation_id
        AND branch = new.branch
        AND fork_position < new.position;
    SELECT RAISE(ABORT, 'messages_branch_fkey') WHERE changes() = 0;
END;

-- The counterpart of messages_count_insert for deletions; last_position does not change, so that no position is reused.
CREATE TRIGGER messages_count_delete AFTER DELETE ON messages
BEGIN
    UPDATE conversations
    SET message_count = message_count - 1
    WHERE id = old.conversation_id;
END;

-- A message cannot move to another conversation or branch, because both would have to be counted again.
CREATE TRIGGER messages_conversation_id_fixed BEFORE UPDATE OF conversation_id, branch ON messages
WHEN new.conversation_id <> old.conversation_id OR new.branch <> old.branch
BEGIN
    SELECT RAISE(ABORT, 'messages_conversation_id_fixed');
END;

-- Counts the branches, so that no number is reused.
CREATE TRIGGER branches_number_insert AFTER INSERT ON branches
BEGIN
    UPDATE conversations
    SET last_branch = max(last_branch, new.branch)
    WHERE id = new.conversation_id;
END;

-- The messages of a branch are deleted with it.
CREATE TRIGGER branches_messages_delete AFTER DELETE ON branches
BEGIN
    DELETE FROM messages
    WHERE
        conversation_id = old.conversation_id
        AND branch = old.branch;
END;

-- Hides and restores a conversation's learnings with the conversation.
CREATE TRIGGER conversations_deleted_at_update AFTER UPDATE OF deleted_at ON conversations
WHEN new.deleted_at IS NOT old.deleted_at
BEGIN
    UPDATE learnings
    SET deleted_at = new.deleted_at
    WHERE conversation_id = new.id;
END;

-- Keeps learning_tags in step with learnings.tags.
CREATE TRIGGER learnings_tags_insert AFTER INSERT ON learnings
WHEN new.tags <> '[]' AND new.deleted_at IS NULL
BEGIN
    INSERT INTO learning_tags (tag, created_at, learning_id)
    SELECT DISTINCT
        value,
        new.created_at,
        new.id
    FROM json_each(new.tags);
END;

-- Changed tags replace the old ones in learning_tags.
CREATE TRIGGER learnings_tags_update AFTER UPDATE OF tags, created_at, deleted_at ON learnings
WHEN (new.tags, new.created_at, new.deleted_at) IS NOT (old.tags, old.created_at, old.deleted_at)
BEGIN
    DELETE FROM learning_tags WHERE learning_id = new.id;
    INSERT INTO learning_tags (tag, created_at, learning_id)
    SELECT DISTINCT
        value,
        new.created_at,
        new.id
    FROM json_each(new.tags)
    WHERE new.deleted_at IS NULL;
END;

-- Writes the history of a job: an attempt is stored when a running job returns to the queue, ...
CREATE TRIGGER job_queue_attempt_end AFTER UPDATE OF status ON job_queue
WHEN new.status = 'queued' AND old.status = 'running'
BEGIN
    INSERT INTO job_attempts (job_id, lease_token, attempt, worker, started_at, finished_at, outcome, error)
    VALUES (
        old.id,
        old.lease_token,
        old.attempts,
        old.worker,
        old.started_at,
        new.updated_at,
        new.last_outcome,
        new.last_error
    );
END;

-- ... or when an ended job is requeued.
CREATE TRIGGER job_queue_attempt_requeue AFTER UPDATE OF status ON job_queue
WHEN new.status = 'queued' AND old.finished_at IS NOT NULL AND old.worker IS NOT NULL
BEGIN
    INSERT INTO job_attempts (job_id, lease_token, attempt, worker, started_at, finished_at, outcome, error)
    VALUES (
        old.id,
        old.lease_token,
        old.attempts,
        old.worker,
        old.started_at,
        old.finished_at,
        old.last_outcome,
        old.last_error
    );
END;

-- Maintain job_counts: when a job is stored, ...
CREATE TRIGGER job_queue_count_store AFTER INSERT ON job_queue
BEGIN
    INSERT INTO job_counts (type, status, job_count)
    VALUES (new.type, 'stored', 1)
    ON CONFLICT (type, status) DO UPDATE SET job_count = job_count + 1;
END;

-- ... when its type changes (no statement of the library does this), ...
CREATE TRIGGER job_queue_count_retype AFTER UPDATE OF type ON job_queue
WHEN new.type <> old.type
BEGIN
    UPDATE job_counts
    SET job_count = job_count - 1
    WHERE type = old.type AND status = 'stored';
    INSERT INTO job_counts (type, status, job_count)
    VALUES (new.type, 'stored', 1)
    ON CONFLICT (type, status) DO UPDATE SET job_count = job_count + 1;
END;

-- ... when it ends, ...
CREATE TRIGGER job_queue_count_end AFTER UPDATE OF type, status ON job_queue
WHEN new.finished_at IS NOT NULL
BEGIN
    INSERT INTO job_counts (type, status, job_count)
    VALUES (new.type, new.status, 1)
    ON CONFLICT (type, status) DO UPDATE SET job_count = job_count + 1;
END;

-- ... when it is requeued, ...
CREATE TRIGGER job_queue_count_requeue AFTER UPDATE OF type, status ON job_queue
WHEN old.finished_at IS NOT NULL
BEGIN
    UPDATE job_counts
    SET job_count = job_count - 1
    WHERE type = old.type AND status = old.status;
END;

-- ... when it is inserted as ended, ...
CREATE TRIGGER job_queue_count_insert AFTER INSERT ON job_queue
WHEN new.finished_at IS NOT NULL
BEGIN
    INSERT INTO job_counts (type, status, job_count)
    VALUES (new.type, new.status, 1)
    ON CONFLICT (type, status) DO UPDATE SET job_count = job_count + 1;
END;

-- ... and when it is deleted. (The status of a live job has no count.)
CREATE TRIGGER job_queue_count_delete AFTER DELETE ON job_queue
BEGIN
    UPDATE job_counts
    SET job_count = job_count - 1
    WHERE type = old.type AND status IN ('stored', old.status);
END;

-- Allows only these transitions:
--   pending -> uploading -> uploaded -> confirmed
--   uploading, uploaded -> failed (refused, or lost at the destination); uploading -> pending (released)
--   failed -> pending (retry) or uploading (immediate retry)
CREATE TRIGGER uploads_status_transition BEFORE UPDATE OF status ON uploads
WHEN (old.status || '>' || new.status) NOT IN (
    'pending>uploading',
    'uploading>uploaded',
    'uploading>failed',
    'uploading>pending',
    'uploaded>confirmed',
    'uploaded>failed',
    'failed>pending',
    'failed>uploading'
)
BEGIN
    SELECT RAISE(ABORT, 'uploads_status_transition');
END;

-- The number of entries ever added to the audit log (0003.audit). A rollback of that step does not reset it, so that the loss
-- of a log that was dropped and created again is detected.
CREATE TABLE audit_log_counter (
    name TEXT NOT NULL,
    last_id INTEGER NOT NULL,
    CONSTRAINT audit_log_counter_pkey PRIMARY KEY (name),
    CONSTRAINT audit_log_counter_name_check CHECK (name = 'audit_log'),
    CONSTRAINT audit_log_counter_last_id_check CHECK (last_id >= 0)
) STRICT, WITHOUT ROWID;

INSERT INTO audit_log_counter (name, last_id) VALUES ('audit_log', 0);

-- The number can only increase, ...
CREATE TRIGGER audit_log_counter_forward BEFORE UPDATE ON audit_log_counter
WHEN new.last_id <= old.last_id OR new.name <> old.name
BEGIN
    SELECT RAISE(ABORT, 'audit_log_counter_forward');
END;

-- ... is never deleted, ...
CREATE TRIGGER audit_log_counter_delete BEFORE DELETE ON audit_log_counter
BEGIN
    SELECT RAISE(ABORT, 'audit_log_counter_forward');
END;

-- ... and is never replaced by a lower one: INSERT OR REPLACE would delete the row without firing the trigger above.
CREATE TRIGGER audit_log_counter_insert BEFORE INSERT ON audit_log_counter
WHEN new.last_id < (SELECT coalesce(max(last_id), 0) FROM audit_log_counter)
BEGIN
    SELECT RAISE(ABORT, 'audit_log_counter_forward');
END;
