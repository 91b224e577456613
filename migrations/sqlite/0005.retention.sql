-- Retention: the register of backups, the last runs of maintenance, legal holds, policies, erasures with receipts, tombstones.
--
-- No table of this step stores content. Only legal_holds stores the id of a subject; receipts and tombstones store keyed hashes.
--
-- Locks: the write lock, for milliseconds: the tables are new.
-- Rollback: LOSES DATA (the register of backups, the holds, policies, receipts and tombstones).
-- depends: 0004.search

-- Backups: the copies of this database, so that an erasure can name the copies that it does not reach.
CREATE TABLE backups (
    id TEXT NOT NULL,
    -- The absolute path of the file on the machine that wrote it.
    path TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'writing',
    created_at TEXT NOT NULL,
    -- When it was verified and moved to its final path.
    finished_at TEXT,
    -- When rotation deleted it, or when it was found to be missing.
    removed_at TEXT,
    -- The size of the file in bytes, and its SHA-256 in lower-case hex.
    file_bytes INTEGER,
    checksum TEXT,
    -- The high-water mark: the id and the hash of the newest audit entry in the copy; 0 and '' if it has none.
    audit_id INTEGER,
    audit_hash TEXT,
    CONSTRAINT backups_pkey PRIMARY KEY (id),
    CONSTRAINT backups_id_check CHECK (length(id) BETWEEN 1 AND 200 AND instr(id, char(0)) = 0),
    CONSTRAINT backups_path_check CHECK (length(path) BETWEEN 1 AND 4096 AND instr(path, char(0)) = 0),
    CONSTRAINT backups_status_check CHECK (status IN ('writing', 'kept', 'removed', 'failed')),
    CONSTRAINT backups_created_at_check CHECK (created_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT backups_finished_at_check CHECK (finished_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT backups_removed_at_check CHECK (removed_at GLOB '????-??-??T??:??:??.??????Z'),
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
) STRICT, WITHOUT ROWID;

-- Serves list_backups.
CREATE INDEX backups_status_created_at_id_idx ON backups (status, created_at, id);

-- When each task of store.maintenance last completed.
CREATE TABLE maintenance_tasks (
    name TEXT NOT NULL,
    ran_at TEXT NOT NULL,
    CONSTRAINT maintenance_tasks_pkey PRIMARY KEY (name),
    CONSTRAINT maintenance_tasks_name_check
    CHECK (name IN ('free_pages', 'full_text', 'checkpoint', 'optimize', 'vacuum')),
    CONSTRAINT maintenance_tasks_ran_at_check CHECK (ran_at GLOB '????-??-??T??:??:??.??????Z')
) STRICT, WITHOUT ROWID;

-- Legal holds: a conversation on hold may not be deleted or changed until the hold is released.
CREATE TABLE legal_holds (
    id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    -- Who placed and who released the hold: the names that the store was opened with.
    placed_by TEXT NOT NULL,
    placed_at TEXT NOT NULL,
    released_by TEXT,
    released_at TEXT,
    CONSTRAINT legal_holds_pkey PRIMARY KEY (id),
    CONSTRAINT legal_holds_conversation_id_fkey
    FOREIGN KEY (conversation_id) REFERENCES conversations (id) ON DELETE CASCADE,
    CONSTRAINT legal_holds_id_check CHECK (length(id) BETWEEN 1 AND 200 AND instr(id, char(0)) = 0),
    CONSTRAINT legal_holds_reason_check
    CHECK (length(reason) BETWEEN 1 AND 1000 AND instr(reason, char(0)) = 0),
    CONSTRAINT legal_holds_placed_at_check CHECK (placed_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT legal_holds_released_at_check CHECK (released_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT legal_holds_released_check CHECK ((released_by IS NULL) = (released_at IS NULL))
) STRICT, WITHOUT ROWID;

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

-- Held rows may not be changed or deleted, regardless of which program writes; new rows may be added (docs/retention.md).
-- The conversation may not be deleted, ...
CREATE TRIGGER conversations_legal_hold_delete BEFORE DELETE ON conversations
WHEN EXISTS (SELECT 1 FROM held_conversations AS held WHERE held.conversation_id = old.id)
BEGIN
    SELECT RAISE(ABORT, 'conversations_legal_hold');
END;

-- ... nor may its fields change; but it may be hidden and restored, and new messages are counted.
CREATE TRIGGER conversations_legal_hold_update
BEFORE UPDATE OF seq, id, session_id, correlation_id, source, title, sanitization_version, metadata, created_at, completed_at
ON conversations
WHEN EXISTS (SELECT 1 FROM held_conversations AS held WHERE held.conversation_id = old.id)
BEGIN
    SELECT RAISE(ABORT, 'conversations_legal_hold');
END;

-- Its branches may not be deleted, nor may their fields change; new messages are counted.
CREATE TRIGGER branches_legal_hold_delete BEFORE DELETE ON branches
WHEN EXISTS (SELECT 1 FROM held_conversations AS held WHERE held.conversation_id = old.conversation_id)
BEGIN
    SELECT RAISE(ABORT, 'branches_legal_hold');
END;

CREATE TRIGGER branches_legal_hold_update
BEFORE UPDATE OF conversation_id, branch, parent_branch, fork_position, created_at, label ON branches
WHEN EXISTS (SELECT 1 FROM held_conversations AS held WHERE held.conversation_id = old.conversation_id)
BEGIN
    SELECT RAISE(ABORT, 'branches_legal_hold');
END;

-- Its messages may not be changed or deleted; but one that is still being written may grow and be finished.
CREATE TRIGGER messages_legal_hold_delete BEFORE DELETE ON messages
WHEN EXISTS (SELECT 1 FROM held_conversations AS held WHERE held.conversation_id = old.conversation_id)
BEGIN
    SELECT RAISE(ABORT, 'messages_legal_hold');
END;

CREATE TRIGGER messages_legal_hold_update BEFORE UPDATE ON messages
WHEN (
    EXISTS (SELECT 1 FROM held_conversations AS held WHERE held.conversation_id = old.conversation_id)
    AND NOT (
        old.partial = 1
        AND substr(new.content, 1, length(old.content)) = old.content
        AND (
            new.seq, new.id, new.conversation_id, new.branch, new.position, new.role, new.created_at, new.source_id
        )
        IS (
            old.seq, old.id, old.conversation_id, old.branch, old.position, old.role, old.created_at, old.source_id
        )
    )
)
BEGIN
    SELECT RAISE(ABORT, 'messages_legal_hold');
END;

-- Its redactions may not be changed or deleted.
CREATE TRIGGER redactions_legal_hold_delete BEFORE DELETE ON redactions
WHEN EXISTS (SELECT 1 FROM held_conversations AS held WHERE held.conversation_id = old.conversation_id)
BEGIN
    SELECT RAISE(ABORT, 'redactions_legal_hold');
END;

CREATE TRIGGER redactions_legal_hold_update BEFORE UPDATE ON redactions
WHEN EXISTS (SELECT 1 FROM held_conversations AS held WHERE held.conversation_id = old.conversation_id)
BEGIN
    SELECT RAISE(ABORT, 'redactions_legal_hold');
END;

-- Its learnings may not be deleted, ...
CREATE TRIGGER learnings_legal_hold_delete BEFORE DELETE ON learnings
WHEN EXISTS (SELECT 1 FROM held_conversations AS held WHERE held.conversation_id = old.conversation_id)
BEGIN
    SELECT RAISE(ABORT, 'learnings_legal_hold');
END;

-- ... may not be changed, ...
CREATE TRIGGER learnings_legal_hold_update
BEFORE UPDATE OF seq, id, conversation_id, category, title, content, confidence, tags, dedupe_key, metadata, created_at, updated_at
ON learnings
WHEN EXISTS (SELECT 1 FROM held_conversations AS held WHERE held.conversation_id = old.conversation_id)
BEGIN
    SELECT RAISE(ABORT, 'learnings_legal_hold');
END;

-- ... and are hidden only with their conversation.
CREATE TRIGGER learnings_legal_hold_hide BEFORE UPDATE OF deleted_at ON learnings
WHEN (
    new.deleted_at IS NOT (SELECT conversations.deleted_at FROM conversations WHERE conversations.id = old.conversation_id)
    AND EXISTS (SELECT 1 FROM held_conversations AS held WHERE held.conversation_id = old.conversation_id)
)
BEGIN
    SELECT RAISE(ABORT, 'learnings_legal_hold');
END;

-- The source messages of its learnings may not be changed or deleted.
CREATE TRIGGER learning_messages_legal_hold_delete BEFORE DELETE ON learning_messages
WHEN EXISTS (SELECT 1 FROM held_learnings AS held WHERE held.learning_id = old.learning_id)
BEGIN
    SELECT RAISE(ABORT, 'learning_messages_legal_hold');
END;

CREATE TRIGGER learning_messages_legal_hold_update BEFORE UPDATE ON learning_messages
WHEN EXISTS (SELECT 1 FROM held_learnings AS held WHERE held.learning_id = old.learning_id)
BEGIN
    SELECT RAISE(ABORT, 'learning_messages_legal_hold');
END;

-- Its uploads may not be changed or deleted.
CREATE TRIGGER uploads_legal_hold_delete BEFORE DELETE ON uploads
WHEN EXISTS (SELECT 1 FROM held_learnings AS held WHERE held.learning_id = old.learning_id)
BEGIN
    SELECT RAISE(ABORT, 'uploads_legal_hold');
END;

-- (A write that changes nothing comes from an insert that found the existing row: ON CONFLICT DO UPDATE.)
CREATE TRIGGER uploads_legal_hold_update BEFORE UPDATE ON uploads
WHEN (
    (
        new.seq, new.id, new.learning_id, new.destination, new.status, new.remote_id, new.receipt, new.attempts,
        new.last_error, new.metadata, new.created_at, new.updated_at, new.uploaded_at, new.confirmed_at
    )
    IS NOT (
        old.seq, old.id, old.learning_id, old.destination, old.status, old.remote_id, old.receipt, old.attempts,
        old.last_error, old.metadata, old.created_at, old.updated_at, old.uploaded_at, old.confirmed_at
    )
    AND EXISTS (SELECT 1 FROM held_learnings AS held WHERE held.learning_id = old.learning_id)
)
BEGIN
    SELECT RAISE(ABORT, 'uploads_legal_hold');
END;

-- A hold can only be released, and only once: a hold in force may not be deleted, ...
CREATE TRIGGER legal_holds_legal_hold_delete BEFORE DELETE ON legal_holds
WHEN old.released_at IS NULL
BEGIN
    SELECT RAISE(ABORT, 'legal_holds_legal_hold');
END;

-- ... and the fields that say who placed it, when and why, and who released it, are written once.
CREATE TRIGGER legal_holds_legal_hold_update BEFORE UPDATE ON legal_holds
WHEN (
    (new.id, new.conversation_id, new.reason, new.placed_by, new.placed_at)
    IS NOT (old.id, old.conversation_id, old.reason, old.placed_by, old.placed_at)
    OR (
        (new.released_by, new.released_at) IS NOT (old.released_by, old.released_at)
        AND (old.released_at IS NOT NULL OR new.released_at IS NULL)
    )
)
BEGIN
    SELECT RAISE(ABORT, 'legal_holds_legal_hold');
END;

-- REPLACE (INSERT OR REPLACE, UPDATE OR REPLACE) deletes the conflicting row without firing its DELETE trigger. Therefore no row
-- may take the key of a held row while a hold is in force. Without REPLACE, the unique index refuses the row.
CREATE TRIGGER conversations_replace_insert BEFORE INSERT ON conversations
WHEN EXISTS (SELECT 1 FROM held_conversations)
BEGIN
    SELECT RAISE(ABORT, 'conversations_key')
    FROM conversations AS kept
    INNER JOIN held_conversations AS held ON kept.id = held.conversation_id
    WHERE kept.seq = new.seq OR kept.id = new.id OR kept.correlation_id = new.correlation_id;
END;

CREATE TRIGGER conversations_replace_update BEFORE UPDATE OF seq, id, correlation_id ON conversations
WHEN EXISTS (SELECT 1 FROM held_conversations)
BEGIN
    SELECT RAISE(ABORT, 'conversations_key')
    FROM conversations AS kept
    INNER JOIN held_conversations AS held ON kept.id = held.conversation_id
    WHERE
        kept.seq <> old.seq
        AND (kept.seq = new.seq OR kept.id = new.id OR kept.correlation_id = new.correlation_id);
END;

CREATE TRIGGER branches_replace_insert BEFORE INSERT ON branches
WHEN EXISTS (SELECT 1 FROM held_conversations)
BEGIN
    SELECT RAISE(ABORT, 'branches_key')
    FROM branches AS kept
    INNER JOIN held_conversations AS held ON kept.conversation_id = held.conversation_id
    WHERE kept.conversation_id = new.conversation_id AND kept.branch = new.branch;
END;

CREATE TRIGGER branches_replace_update BEFORE UPDATE OF conversation_id, branch ON branches
WHEN EXISTS (SELECT 1 FROM held_conversations)
BEGIN
    SELECT RAISE(ABORT, 'branches_key')
    FROM branches AS kept
    INNER JOIN held_conversations AS held ON kept.conversation_id = held.conversation_id
    WHERE
        kept.conversation_id = new.conversation_id
        AND kept.branch = new.branch
        AND (kept.conversation_id, kept.branch) <> (old.conversation_id, old.branch);
END;

CREATE TRIGGER messages_replace_insert BEFORE INSERT ON messages
WHEN EXISTS (SELECT 1 FROM held_conversations)
BEGIN
    SELECT RAISE(ABORT, 'messages_key')
    FROM messages AS kept
    INNER JOIN held_conversations AS held ON kept.conversation_id = held.conversation_id
    WHERE
        kept.seq = new.seq
        OR kept.id = new.id
        OR (
            kept.conversation_id = new.conversation_id
            AND kept.branch = new.branch
            AND (kept.position = new.position OR kept.source_id = new.source_id)
        );
END;

CREATE TRIGGER messages_replace_update BEFORE UPDATE OF seq, id, conversation_id, branch, position, source_id ON messages
WHEN EXISTS (SELECT 1 FROM held_conversations)
BEGIN
    SELECT RAISE(ABORT, 'messages_key')
    FROM messages AS kept
    INNER JOIN held_conversations AS held ON kept.conversation_id = held.conversation_id
    WHERE
        kept.seq <> old.seq
        AND (
            kept.seq = new.seq
            OR kept.id = new.id
            OR (
                kept.conversation_id = new.conversation_id
                AND kept.branch = new.branch
                AND (kept.position = new.position OR kept.source_id = new.source_id)
            )
        );
END;

CREATE TRIGGER redactions_replace_insert BEFORE INSERT ON redactions
WHEN EXISTS (SELECT 1 FROM held_conversations)
BEGIN
    SELECT RAISE(ABORT, 'redactions_key')
    FROM redactions AS kept
    INNER JOIN held_conversations AS held ON kept.conversation_id = held.conversation_id
    WHERE kept.seq = new.seq OR kept.id = new.id;
END;

CREATE TRIGGER redactions_replace_update BEFORE UPDATE OF seq, id ON redactions
WHEN EXISTS (SELECT 1 FROM held_conversations)
BEGIN
    SELECT RAISE(ABORT, 'redactions_key')
    FROM redactions AS kept
    INNER JOIN held_conversations AS held ON kept.conversation_id = held.conversation_id
    WHERE
        kept.seq <> old.seq
        AND (kept.seq = new.seq OR kept.id = new.id);
END;

CREATE TRIGGER learnings_replace_insert BEFORE INSERT ON learnings
WHEN EXISTS (SELECT 1 FROM held_conversations)
BEGIN
    SELECT RAISE(ABORT, 'learnings_key')
    FROM learnings AS kept
    INNER JOIN held_conversations AS held ON kept.conversation_id = held.conversation_id
    WHERE kept.seq = new.seq OR kept.id = new.id;
    -- The library then finds the existing learning (ON CONFLICT DO NOTHING).
    SELECT RAISE(IGNORE)
    FROM learnings AS kept
    INNER JOIN held_conversations AS held ON kept.conversation_id = held.conversation_id
    WHERE kept.conversation_id = new.conversation_id AND kept.dedupe_key = new.dedupe_key;
END;

CREATE TRIGGER learnings_replace_update BEFORE UPDATE OF seq, id, conversation_id, dedupe_key ON learnings
WHEN EXISTS (SELECT 1 FROM held_conversations)
BEGIN
    SELECT RAISE(ABORT, 'learnings_key')
    FROM learnings AS kept
    INNER JOIN held_conversations AS held ON kept.conversation_id = held.conversation_id
    WHERE
        kept.seq <> old.seq
        AND (
            kept.seq = new.seq
            OR kept.id = new.id
            OR (kept.conversation_id = new.conversation_id AND kept.dedupe_key = new.dedupe_key)
        );
END;

CREATE TRIGGER uploads_replace_insert BEFORE INSERT ON uploads
WHEN EXISTS (SELECT 1 FROM held_conversations)
BEGIN
    SELECT RAISE(ABORT, 'uploads_key')
    FROM uploads AS kept
    INNER JOIN held_learnings AS held ON kept.learning_id = held.learning_id
    WHERE kept.seq = new.seq OR kept.id = new.id;
END;

CREATE TRIGGER uploads_replace_update BEFORE UPDATE OF seq, id, learning_id, destination ON uploads
WHEN EXISTS (SELECT 1 FROM held_conversations)
BEGIN
    SELECT RAISE(ABORT, 'uploads_key')
    FROM uploads AS kept
    INNER JOIN held_learnings AS held ON kept.learning_id = held.learning_id
    WHERE
        kept.seq <> old.seq
        AND (kept.seq = new.seq OR kept.id = new.id OR (kept.learning_id = new.learning_id AND kept.destination = new.destination));
END;

CREATE TRIGGER legal_holds_replace_insert BEFORE INSERT ON legal_holds
WHEN EXISTS (SELECT 1 FROM legal_holds AS kept WHERE kept.id = new.id)
BEGIN
    SELECT RAISE(ABORT, 'legal_holds_key');
END;

-- Retention policies: how long rows are kept.
CREATE TABLE retention_policies (
    name TEXT NOT NULL,
    target TEXT NOT NULL,
    scope TEXT NOT NULL DEFAULT 'all',
    -- The source, the prefix of the session id, or the category.
    scope_value TEXT,
    -- The event that the age is counted from.
    since TEXT NOT NULL,
    age_days REAL NOT NULL,
    -- How long a conversation stays hidden before it is deleted permanently. Other rows are deleted immediately.
    grace_days REAL NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    CONSTRAINT retention_policies_pkey PRIMARY KEY (name),
    CONSTRAINT retention_policies_name_check
    CHECK (length(name) BETWEEN 1 AND 100 AND instr(name, char(0)) = 0),
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
    CHECK (grace_days BETWEEN 0.0 AND 36500.0 AND (grace_days = 0.0 OR target = 'conversations')),
    CONSTRAINT retention_policies_created_at_check CHECK (created_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT retention_policies_updated_at_check CHECK (updated_at GLOB '????-??-??T??:??:??.??????Z')
) STRICT, WITHOUT ROWID;

-- Erasures: the subject, the progress and the receipt of each request.
CREATE TABLE erasures (
    id TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    -- HMAC-SHA-256 of the subject's id with one of erasure_keys, lower-case hex.
    subject_hash TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'deleting',
    -- Who requested it, and why; without content.
    actor TEXT NOT NULL,
    reason TEXT,
    -- Counts and names of what was erased and of what could not be reached, never content.
    receipt TEXT NOT NULL DEFAULT '{}',
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    CONSTRAINT erasures_pkey PRIMARY KEY (id),
    CONSTRAINT erasures_id_check CHECK (length(id) BETWEEN 1 AND 200 AND instr(id, char(0)) = 0),
    CONSTRAINT erasures_subject_kind_check
    CHECK (subject_kind IN ('conversation', 'session', 'correlation', 'learning')),
    CONSTRAINT erasures_subject_hash_check CHECK (length(subject_hash) = 64),
    CONSTRAINT erasures_status_check
    CHECK (status IN ('blocked', 'deleting', 'deleted', 'scrubbed', 'verified')),
    CONSTRAINT erasures_receipt_check CHECK (json_valid(receipt) AND json_type(receipt) = 'object'),
    CONSTRAINT erasures_created_at_check CHECK (created_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT erasures_updated_at_check CHECK (updated_at GLOB '????-??-??T??:??:??.??????Z')
) STRICT, WITHOUT ROWID;

-- Serves list_erasures.
CREATE INDEX erasures_created_at_id_idx ON erasures (created_at, id);

-- The keys of the hashes: the key of this database, and those imported with the tombstones of an older copy of it.
CREATE TABLE erasure_keys (
    id TEXT NOT NULL,
    -- 32 random bytes, lower-case hex.
    secret TEXT NOT NULL,
    created_at TEXT NOT NULL,
    CONSTRAINT erasure_keys_pkey PRIMARY KEY (id),
    CONSTRAINT erasure_keys_secret_check CHECK (length(secret) = 64),
    CONSTRAINT erasure_keys_created_at_check CHECK (created_at GLOB '????-??-??T??:??:??.??????Z')
) STRICT, WITHOUT ROWID;

-- Tombstones of erased subjects, so that a restored backup or an imported file does not bring them back.
CREATE TABLE tombstones (
    kind TEXT NOT NULL,
    subject_hash TEXT NOT NULL,
    erasure_id TEXT NOT NULL,
    created_at TEXT NOT NULL,
    -- When the subject was deliberately imported again.
    lifted_at TEXT,
    CONSTRAINT tombstones_pkey PRIMARY KEY (kind, subject_hash),
    CONSTRAINT tombstones_kind_check CHECK (kind IN ('conversation', 'session', 'correlation', 'learning')),
    CONSTRAINT tombstones_subject_hash_check CHECK (length(subject_hash) = 64),
    CONSTRAINT tombstones_created_at_check CHECK (created_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT tombstones_lifted_at_check CHECK (lifted_at GLOB '????-??-??T??:??:??.??????Z')
) STRICT, WITHOUT ROWID;
