-- Audit: an append-only, hash-chained log of deletions and other changes, and the redactions made by sanitization.
--
-- audit_log has no content and no foreign keys, because its entries outlive their subjects. A conversation's redactions are deleted
-- with it.
--
-- Locks: the write lock, for milliseconds: the tables are new.
-- Rollback: LOSES DATA (drops the audit log and the redactions).
-- depends: 0002.indexes

-- The audit log: what was deleted, purged, restored or redacted, by whom and why; append-only.
CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    action TEXT NOT NULL,
    subject_type TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    -- Who did it: the actor of the store, or of an acting_as block.
    actor TEXT NOT NULL,
    reason TEXT,
    -- Counts and names, never content.
    details TEXT NOT NULL DEFAULT '{}',
    created_at TEXT NOT NULL,
    -- The hash of the previous entry; 64 zeros for the first entry.
    previous_hash TEXT NOT NULL,
    -- SHA-256 over the entry and previous_hash (docs/schema.md defines the bytes).
    hash TEXT NOT NULL,
    CONSTRAINT audit_log_action_check
    CHECK (action IN ('soft_delete', 'restore', 'delete', 'purge', 'prune', 'redact')),
    CONSTRAINT audit_log_subject_type_check
    CHECK (subject_type IN ('conversation', 'branch', 'message', 'learning', 'job', 'upload')),
    CONSTRAINT audit_log_subject_id_check
    CHECK (length(subject_id) BETWEEN 1 AND 200 AND instr(subject_id, char(0)) = 0),
    CONSTRAINT audit_log_actor_check
    CHECK (length(actor) BETWEEN 1 AND 200 AND instr(actor, char(0)) = 0),
    CONSTRAINT audit_log_details_check
    CHECK (json_valid(details) AND json_type(details) = 'object'),
    CONSTRAINT audit_log_created_at_check CHECK (created_at GLOB '????-??-??T??:??:??.??????Z'),
    CONSTRAINT audit_log_previous_hash_check CHECK (length(previous_hash) = 64),
    CONSTRAINT audit_log_hash_check CHECK (length(hash) = 64)
) STRICT;

-- Prevents a fork of the chain. Serves no statement; it only enforces this rule.
CREATE UNIQUE INDEX audit_log_previous_hash_key ON audit_log (previous_hash);

-- Serves list_audit_entries_by_subject.
CREATE INDEX audit_log_subject_type_subject_id_idx ON audit_log (subject_type, subject_id, id);

-- Append-only: no entry may be changed ...
CREATE TRIGGER audit_log_append_only_update BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'audit_log_append_only');
END;

-- ... or deleted.
CREATE TRIGGER audit_log_append_only_delete BEFORE DELETE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'audit_log_append_only');
END;

-- Without this, INSERT OR REPLACE would delete a row without firing the trigger above.
CREATE TRIGGER audit_log_append_only_insert BEFORE INSERT ON audit_log
WHEN (
    new.id IN (SELECT id FROM audit_log)
    OR new.previous_hash IN (SELECT previous_hash FROM audit_log)
)
BEGIN
    SELECT RAISE(ABORT, 'audit_log_append_only');
END;

-- Counts each entry in a table of step 0001, which a rollback of this step does not reset.
CREATE TRIGGER audit_log_count AFTER INSERT ON audit_log
BEGIN
    UPDATE audit_log_counter
    SET last_id = last_id + 1
    WHERE name = 'audit_log';
END;

-- Redactions: what sanitization replaced in a message (or in the conversation's title or metadata, if message_id is NULL).
CREATE TABLE redactions (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    message_id TEXT,
    -- The kind of data that was replaced: email, phone, name, ...
    category TEXT NOT NULL,
    -- The rule that found it, and the detector that has the rule.
    rule TEXT NOT NULL,
    detector TEXT NOT NULL,
    -- A hash (keyed or not) of the original, never the original itself.
    original_hash TEXT NOT NULL,
    replacement TEXT NOT NULL,
    confidence REAL NOT NULL,
    created_at TEXT NOT NULL,
    CONSTRAINT redactions_conversation_id_fkey
    FOREIGN KEY (conversation_id) REFERENCES conversations (id) ON DELETE CASCADE,
    CONSTRAINT redactions_message_id_fkey
    FOREIGN KEY (message_id) REFERENCES messages (id) ON DELETE CASCADE,
    CONSTRAINT redactions_id_check CHECK (length(id) BETWEEN 1 AND 200 AND instr(id, char(0)) = 0),
    CONSTRAINT redactions_category_check
    CHECK (length(category) BETWEEN 1 AND 200 AND instr(category, char(0)) = 0),
    CONSTRAINT redactions_rule_check
    CHECK (length(rule) BETWEEN 1 AND 200 AND instr(rule, char(0)) = 0),
    CONSTRAINT redactions_detector_check
    CHECK (length(detector) BETWEEN 1 AND 200 AND instr(detector, char(0)) = 0),
    CONSTRAINT redactions_original_hash_check
    CHECK (length(original_hash) BETWEEN 16 AND 200 AND instr(original_hash, char(0)) = 0),
    CONSTRAINT redactions_replacement_check
    CHECK (length(replacement) <= 1000 AND instr(replacement, char(0)) = 0),
    CONSTRAINT redactions_confidence_check CHECK (confidence BETWEEN 0.0 AND 1.0),
    CONSTRAINT redactions_created_at_check
    CHECK (created_at GLOB '????-??-??T??:??:??.??????Z' AND created_at < '9999-12-31T23:59:59.999999Z')
) STRICT;

-- Enforces unique ids. Serves no statement.
CREATE UNIQUE INDEX redactions_id_key ON redactions (id);

-- Serves list_redactions_by_conversation; the foreign key.
CREATE INDEX redactions_conversation_id_created_at_id_idx
ON redactions (conversation_id, created_at, id);

-- Serves the foreign key.
CREATE INDEX redactions_message_id_idx ON redactions (message_id);
