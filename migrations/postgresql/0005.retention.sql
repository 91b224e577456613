-- Retention: the register of backups, the last runs of maintenance, legal holds, policies, erasures with receipts, tombstones.
--
-- No table of this step stores content. Only legal_holds stores the id of a subject; receipts and tombstones store keyed hashes.
--
-- Locks: writes to every table that a hold protects wait until the step ends, for milliseconds, because it adds triggers to them.
-- Rollback: LOSES DATA (the register of backups, the holds, policies, receipts and tombstones).
-- depends: 0004.search

-- Adding foreign keys and triggers locks these tables. They are locked at once, and in the order of an append, so that no client
-- that writes one and then the other meets this step halfway.
LOCK TABLE messages, redactions, learning_messages, uploads, learnings, conversations IN SHARE ROW EXCLUSIVE MODE;

-- Every function of this step resolves names in this schema, and among the session's temporary tables last, never first.
DO $$
BEGIN
    PERFORM set_config('search_path', quote_ident(current_schema()) || ', pg_temp', TRUE);
END;
$$;

-- Backups: the copies of this database, so that an erasure can name the copies that it does not reach.
CREATE TABLE backups (
    id TEXT COLLATE "C" NOT NULL,
    -- The absolute path of the file on the machine that wrote it.
    path TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL DEFAULT 'writing',
    created_at TIMESTAMPTZ NOT NULL,
    -- When it was verified and moved to its final path.
    finished_at TIMESTAMPTZ,
    -- When rotation deleted it, or when it was found to be missing.
    removed_at TIMESTAMPTZ,
    -- The size of the file in bytes, and its SHA-256 in lower-case hex.
    file_bytes BIGINT,
    checksum TEXT COLLATE "C",
    -- The high-water mark: the id and the hash of the newest audit entry in the copy; 0 and '' if it has none.
    audit_id BIGINT,
    audit_hash TEXT COLLATE "C",
    CONSTRAINT backups_pkey PRIMARY KEY (id),
    CONSTRAINT backups_id_check CHECK (length(id) BETWEEN 1 AND 200),
    CONSTRAINT backups_path_check CHECK (length(path) BETWEEN 1 AND 4096),
    CONSTRAINT backups_status_check CHECK (status IN ('writing', 'kept', 'removed', 'failed')),
    CONSTRAINT backups_file_bytes_check CHECK (file_bytes >= 0),
    CONSTRAINT backups_checksum_check CHECK (length(checksum) = 64),
    CONSTRAINT backups_audit_id_check CHECK (audit_id >= 0),
    -- A kept copy was verified: it has a size, a checksum and a high-water mark.
    CONSTRAINT backups_kept_check CHECK (
        status <> 'kept'
        OR (
            finished_at IS NOT NULL
            AND file_bytes IS NOT NULL
            AND checksum IS NOT NULL
            AND audit_id IS NOT NULL
            AND audit_hash IS NOT NULL
        )
    ),
    CONSTRAINT backups_removed_check CHECK ((status = 'removed') = (removed_at IS NOT NULL))
);

-- Serves list_backups.
CREATE INDEX backups_status_created_at_id_idx ON backups (status, created_at, id);

-- When each task of store.maintenance last completed.
CREATE TABLE maintenance_tasks (
    name TEXT COLLATE "C" NOT NULL,
    ran_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT maintenance_tasks_pkey PRIMARY KEY (name),
    CONSTRAINT maintenance_tasks_name_check
    CHECK (name IN ('free_pages', 'full_text', 'checkpoint', 'optimize', 'vacuum'))
);

-- Legal holds: a conversation on hold may not be deleted or changed until the hold is released.
CREATE TABLE legal_holds (
    id TEXT COLLATE "C" NOT NULL,
    conversation_id TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    -- Who placed and who released the hold: the names that the store was opened with.
    placed_by TEXT COLLATE "C" NOT NULL,
    placed_at TIMESTAMPTZ NOT NULL,
    released_by TEXT COLLATE "C",
    released_at TIMESTAMPTZ,
    CONSTRAINT legal_holds_pkey PRIMARY KEY (id),
    CONSTRAINT legal_holds_conversation_id_fkey
    FOREIGN KEY (conversation_id) REFERENCES conversations (id) ON DELETE CASCADE,
    CONSTRAINT legal_holds_id_check CHECK (length(id) BETWEEN 1 AND 200),
    CONSTRAINT legal_holds_reason_check
    CHECK (length(reason) BETWEEN 1 AND 1000),
    CONSTRAINT legal_holds_released_check CHECK ((released_by IS NULL) = (released_at IS NULL))
);

-- A conversation has at most one hold in force. Serves list_purgeable_conversations, find_legal_hold, and the view held_conversations.
CREATE UNIQUE INDEX legal_holds_conversation_id_key ON legal_holds (conversation_id)
WHERE released_at IS NULL;

-- Serves list_legal_holds.
CREATE INDEX legal_holds_placed_at_id_idx ON legal_holds (placed_at, id)
WHERE released_at IS NULL;

-- Serves the foreign key.
CREATE INDEX legal_holds_conversation_id_idx ON legal_holds (conversation_id);

-- The conversations on hold.
CREATE VIEW held_conversations AS
SELECT conversation_id
FROM legal_holds
WHERE released_at IS NULL;

-- The learnings of the conversations on hold.
CREATE VIEW held_learnings AS
SELECT learned.id AS learning_id
FROM learnings AS learned
INNER JOIN held_conversations AS held ON learned.conversation_id = held.conversation_id;

-- Refuses changes of held rows; the trigger's argument is the name of the rule. A concurrently placed hold is not missed: the
-- trigger runs after the row was locked, and the foreign key of a hold locks its conversation's row.
CREATE FUNCTION datastore_refuse_held() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    is_held BOOLEAN;
BEGIN
    -- A write that changes nothing in an upload comes from an insert that found the existing row (ON CONFLICT DO UPDATE).
    IF TG_TABLE_NAME = 'uploads' AND TG_OP = 'UPDATE' AND CAST(new AS TEXT) = CAST(old AS TEXT) THEN
        RETURN new;
    END IF;
    -- A message that is still being written may grow and be finished.
    IF TG_TABLE_NAME = 'messages' AND TG_OP = 'UPDATE' THEN
        IF
            old.partial = 1
            AND left(new.content, length(old.content)) = old.content
            AND (
                new.seq, new.id, new.conversation_id, new.branch, new.position, new.role, new.created_at, new.source_id
            )
            IS NOT DISTINCT FROM (
                old.seq, old.id, old.conversation_id, old.branch, old.position, old.role, old.created_at, old.source_id
            )
            THEN
            RETURN new;
        END IF;
    END IF;
    IF TG_TABLE_NAME = 'conversations' THEN
        is_held := EXISTS (SELECT 1 FROM held_conversations WHERE conversation_id = old.id);
    ELSIF TG_TABLE_NAME IN ('learning_messages', 'uploads') THEN
        is_held := EXISTS (SELECT 1 FROM held_learnings WHERE learning_id = old.learning_id);
    ELSE
        is_held := EXISTS (SELECT 1 FROM held_conversations WHERE conversation_id = old.conversation_id);
    END IF;
    IF is_held THEN
        RAISE EXCEPTION USING ERRCODE = 'DS001', CONSTRAINT = TG_ARGV[0], MESSAGE = TG_ARGV[0];
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN old ELSE new END;
END;
$$;

-- A held learning may be hidden only with its conversation.
CREATE FUNCTION datastore_refuse_hiding_held() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF
        new.deleted_at IS DISTINCT FROM (SELECT deleted_at FROM conversations WHERE id = old.conversation_id)
        AND EXISTS (SELECT 1 FROM held_conversations WHERE conversation_id = old.conversation_id)
        THEN
        RAISE EXCEPTION USING ERRCODE = 'DS001', CONSTRAINT = TG_ARGV[0], MESSAGE = TG_ARGV[0];
    END IF;
    RETURN new;
END;
$$;

-- While a hold is in force, none of the tables may be truncated: TRUNCATE fires no row triggers.
CREATE FUNCTION datastore_refuse_truncate() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM held_conversations) THEN
        RAISE EXCEPTION USING ERRCODE = 'DS001', CONSTRAINT = TG_ARGV[0], MESSAGE = TG_ARGV[0];
    END IF;
    RETURN NULL;
END;
$$;

-- Held rows may not be changed or deleted, regardless of which program writes; new rows may be added (docs/retention.md).
-- The conversation may not be deleted, ...
CREATE TRIGGER conversations_legal_hold_delete BEFORE DELETE ON conversations
FOR EACH ROW
EXECUTE FUNCTION datastore_refuse_held('conversations_legal_hold');

-- ... nor may its fields change; but it may be hidden and restored, and new messages are counted.
CREATE TRIGGER conversations_legal_hold_update
BEFORE UPDATE OF seq, id, session_id, correlation_id, source, title, sanitization_version, metadata, created_at, completed_at
ON conversations
FOR EACH ROW
EXECUTE FUNCTION datastore_refuse_held('conversations_legal_hold');

-- Its branches may not be deleted, nor may their fields change; new messages are counted.
CREATE TRIGGER branches_legal_hold_delete BEFORE DELETE ON branches
FOR EACH ROW
EXECUTE FUNCTION datastore_refuse_held('branches_legal_hold');

CREATE TRIGGER branches_legal_hold_update
BEFORE UPDATE OF conversation_id, branch, parent_branch, fork_position, created_at, label ON branches
FOR EACH ROW
EXECUTE FUNCTION datastore_refuse_held('branches_legal_hold');

-- Its messages may not be changed or deleted; but one that is still being written may grow and be finished.
CREATE TRIGGER messages_legal_hold_change BEFORE UPDATE OR DELETE ON messages
FOR EACH ROW
EXECUTE FUNCTION datastore_refuse_held('messages_legal_hold');

-- Its redactions may not be changed or deleted.
CREATE TRIGGER redactions_legal_hold_change BEFORE UPDATE OR DELETE ON redactions
FOR EACH ROW
EXECUTE FUNCTION datastore_refuse_held('redactions_legal_hold');

-- Its learnings may not be deleted, ...
CREATE TRIGGER learnings_legal_hold_delete BEFORE DELETE ON learnings
FOR EACH ROW
EXECUTE FUNCTION datastore_refuse_held('learnings_legal_hold');

-- ... may not be changed, ...
CREATE TRIGGER learnings_legal_hold_update
BEFORE UPDATE OF seq, id, conversation_id, category, title, content, confidence, tags, dedupe_key, metadata, created_at, updated_at
ON learnings
FOR EACH ROW
EXECUTE FUNCTION datastore_refuse_held('learnings_legal_hold');

-- ... and are hidden only with their conversation.
CREATE TRIGGER learnings_legal_hold_hide BEFORE UPDATE OF deleted_at ON learnings
FOR EACH ROW
EXECUTE FUNCTION datastore_refuse_hiding_held('learnings_legal_hold');

-- The source messages of its learnings may not be changed or deleted, ...
CREATE TRIGGER learning_messages_legal_hold_change BEFORE UPDATE OR DELETE ON learning_messages
FOR EACH ROW
EXECUTE FUNCTION datastore_refuse_held('learning_messages_legal_hold');

-- ... and neither may its uploads.
CREATE TRIGGER uploads_legal_hold_change BEFORE UPDATE OR DELETE ON uploads
FOR EACH ROW
EXECUTE FUNCTION datastore_refuse_held('uploads_legal_hold');

-- A hold can only be released, and only once: a hold in force may not be deleted, ...
CREATE TRIGGER legal_holds_legal_hold_delete BEFORE DELETE ON legal_holds
FOR EACH ROW WHEN (old.released_at IS NULL)
EXECUTE FUNCTION datastore_refuse('legal_holds_legal_hold');

-- ... and the fields that say who placed it, when and why, and who released it, are written once.
CREATE TRIGGER legal_holds_legal_hold_update BEFORE UPDATE ON legal_holds
FOR EACH ROW
WHEN (
    (new.id, new.conversation_id, new.reason, new.placed_by, new.placed_at)
    IS DISTINCT FROM (old.id, old.conversation_id, old.reason, old.placed_by, old.placed_at)
    OR (
        (new.released_by, new.released_at) IS DISTINCT FROM (old.released_by, old.released_at)
        AND (old.released_at IS NOT NULL OR new.released_at IS NULL)
    )
)
EXECUTE FUNCTION datastore_refuse('legal_holds_legal_hold');

CREATE TRIGGER conversations_legal_hold_truncate BEFORE TRUNCATE ON conversations
FOR EACH STATEMENT EXECUTE FUNCTION datastore_refuse_truncate('conversations_legal_hold');

CREATE TRIGGER branches_legal_hold_truncate BEFORE TRUNCATE ON branches
FOR EACH STATEMENT EXECUTE FUNCTION datastore_refuse_truncate('branches_legal_hold');

CREATE TRIGGER messages_legal_hold_truncate BEFORE TRUNCATE ON messages
FOR EACH STATEMENT EXECUTE FUNCTION datastore_refuse_truncate('messages_legal_hold');

CREATE TRIGGER redactions_legal_hold_truncate BEFORE TRUNCATE ON redactions
FOR EACH STATEMENT EXECUTE FUNCTION datastore_refuse_truncate('redactions_legal_hold');

CREATE TRIGGER learnings_legal_hold_truncate BEFORE TRUNCATE ON learnings
FOR EACH STATEMENT EXECUTE FUNCTION datastore_refuse_truncate('learnings_legal_hold');

CREATE TRIGGER learning_messages_legal_hold_truncate BEFORE TRUNCATE ON learning_messages
FOR EACH STATEMENT EXECUTE FUNCTION datastore_refuse_truncate('learning_messages_legal_hold');

CREATE TRIGGER uploads_legal_hold_truncate BEFORE TRUNCATE ON uploads
FOR EACH STATEMENT EXECUTE FUNCTION datastore_refuse_truncate('uploads_legal_hold');

CREATE TRIGGER legal_holds_legal_hold_truncate BEFORE TRUNCATE ON legal_holds
FOR EACH STATEMENT EXECUTE FUNCTION datastore_refuse_truncate('legal_holds_legal_hold');

-- Retention policies: how long rows are kept.
CREATE TABLE retention_policies (
    name TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL DEFAULT 'all',
    -- The source, the prefix of the session id, or the category.
    scope_value TEXT COLLATE "C",
    -- The event that the age is counted from.
    since TEXT COLLATE "C" NOT NULL,
    age_days DOUBLE PRECISION NOT NULL,
    -- How long a conversation stays hidden before it is deleted permanently. Other rows are deleted immediately.
    grace_days DOUBLE PRECISION NOT NULL DEFAULT 0,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT retention_policies_pkey PRIMARY KEY (name),
    CONSTRAINT retention_policies_name_check
    CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT retention_policies_target_check
    CHECK (target IN ('conversations', 'learnings', 'jobs', 'attempts', 'uploads', 'redactions')),
    CONSTRAINT retention_policies_scope_check
    CHECK (
        (scope = 'all' AND scope_value IS NULL)
        OR (scope IN ('source', 'session_prefix') AND target = 'conversations' AND length(coalesce(scope_value, '')) BETWEEN 1 AND 200)
        OR (scope = 'category' AND target = 'learnings' AND length(coalesce(scope_value, '')) BETWEEN 1 AND 200)
    ),
    CONSTRAINT retention_policies_since_check
    CHECK (since = 'completion' OR (since = 'activity' AND target IN ('conversations', 'learnings', 'redactions'))),
    CONSTRAINT retention_policies_age_days_check CHECK (age_days BETWEEN 0.0 AND 36500.0),
    CONSTRAINT retention_policies_grace_days_check
    CHECK (grace_days BETWEEN 0.0 AND 36500.0 AND (grace_days = 0.0 OR target = 'conversations'))
);

-- Erasures: the subject, the progress and the receipt of each request.
CREATE TABLE erasures (
    id TEXT COLLATE "C" NOT NULL,
    subject_kind TEXT COLLATE "C" NOT NULL,
    -- HMAC-SHA-256 of the subject's id with one of erasure_keys, lower-case hex.
    subject_hash TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL DEFAULT 'deleting',
    -- Who requested it, and why; without content.
    actor TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    -- Counts and names of what was erased and of what could not be reached, never content.
    receipt JSON NOT NULL DEFAULT '{}',
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT erasures_pkey PRIMARY KEY (id),
    CONSTRAINT erasures_id_check CHECK (length(id) BETWEEN 1 AND 200),
    CONSTRAINT erasures_subject_kind_check
    CHECK (subject_kind IN ('conversation', 'session', 'correlation', 'learning')),
    CONSTRAINT erasures_subject_hash_check CHECK (length(subject_hash) = 64),
    CONSTRAINT erasures_status_check
    CHECK (status IN ('blocked', 'deleting', 'deleted', 'scrubbed', 'verified')),
    CONSTRAINT erasures_receipt_check CHECK (json_typeof(receipt) = 'object')
);

-- Serves list_erasures.
CREATE INDEX erasures_created_at_id_idx ON erasures (created_at, id);

-- The keys of the hashes: the key of this database, and those imported with the tombstones of an older copy of it.
CREATE TABLE erasure_keys (
    id TEXT COLLATE "C" NOT NULL,
    -- 32 random bytes, lower-case hex.
    secret TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT erasure_keys_pkey PRIMARY KEY (id),
    CONSTRAINT erasure_keys_secret_check CHECK (length(secret) = 64)
);

-- Tombstones of erased subjects, so that a restored backup or an imported file does not bring them back.
CREATE TABLE tombstones (
    kind TEXT COLLATE "C" NOT NULL,
    subject_hash TEXT COLLATE "C" NOT NULL,
    erasure_id TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    -- When the subject was deliberately imported again.
    lifted_at TIMESTAMPTZ,
    CONSTRAINT tombstones_pkey PRIMARY KEY (kind, subject_hash),
    CONSTRAINT tombstones_kind_check CHECK (kind IN ('conversation', 'session', 'correlation', 'learning')),
    CONSTRAINT tombstones_subject_hash_check CHECK (length(subject_hash) = 64)
);
