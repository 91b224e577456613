-- Audit: an append-only, hash-chained log of deletions and other changes, and the redactions made by sanitization.
--
-- audit_log has no content and no foreign keys, because its entries outlive their subjects. A conversation's redactions are deleted
-- with it.
--
-- Locks: writes to conversations and messages wait until the step ends, for milliseconds, because foreign keys refer to them.
-- Rollback: LOSES DATA (drops the audit log and the redactions).
-- depends: 0002.indexes

-- Adding foreign keys to them locks these tables. They are locked at once, and in the order of an append, so that no client that
-- writes one and then the other meets this step halfway.
LOCK TABLE messages, conversations IN SHARE ROW EXCLUSIVE MODE;

-- Every function of this step resolves names in this schema, and among the session's temporary tables last, never first.
DO $$
BEGIN
    PERFORM set_config('search_path', quote_ident(current_schema()) || ', pg_temp', TRUE);
END;
$$;

-- The audit log: what was deleted, purged, restored or redacted, by whom and why; append-only.
CREATE TABLE audit_log (
    -- 1, 2, 3, ... without gaps, assigned by audit_log_number: an identity column leaves a gap when a transaction is rolled back.
    id BIGINT PRIMARY KEY,
    action TEXT COLLATE "C" NOT NULL,
    subject_type TEXT COLLATE "C" NOT NULL,
    subject_id TEXT COLLATE "C" NOT NULL,
    -- Who did it: the actor of the store, or of an acting_as block.
    actor TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    -- Counts and names, never content.
    details JSON NOT NULL DEFAULT '{}',
    created_at TIMESTAMPTZ NOT NULL,
    -- The hash of the previous entry; 64 zeros for the first entry.
    previous_hash TEXT COLLATE "C" NOT NULL,
    -- SHA-256 over the entry and previous_hash (docs/schema.md defines the bytes).
    hash TEXT COLLATE "C" NOT NULL,
    CONSTRAINT audit_log_action_check
    CHECK (action IN ('soft_delete', 'restore', 'delete', 'purge', 'prune', 'redact')),
    CONSTRAINT audit_log_subject_type_check
    CHECK (subject_type IN ('conversation', 'branch', 'message', 'learning', 'job', 'upload')),
    CONSTRAINT audit_log_subject_id_check
    CHECK (length(subject_id) BETWEEN 1 AND 200),
    CONSTRAINT audit_log_actor_check
    CHECK (length(actor) BETWEEN 1 AND 200),
    CONSTRAINT audit_log_details_check
    CHECK (json_typeof(details) = 'object'),
    CONSTRAINT audit_log_previous_hash_check CHECK (length(previous_hash) = 64),
    CONSTRAINT audit_log_hash_check CHECK (length(hash) = 64)
);

-- Runs with the rights of the schema's owner: a role that may add entries may not set their numbers (docs/roles.sql).
CREATE FUNCTION datastore_number_audit_entry() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE audit_log_counter
    SET last_id = audit_log_counter.last_id + 1
    WHERE audit_log_counter.name = 'audit_log'
    RETURNING audit_log_counter.last_id INTO new.id;
    IF NOT FOUND THEN
        INSERT INTO audit_log_counter (name, last_id) VALUES ('audit_log', 1) RETURNING last_id INTO new.id;
    END IF;
    RETURN new;
END;
$$;

CREATE TRIGGER audit_log_number BEFORE INSERT ON audit_log
FOR EACH ROW EXECUTE FUNCTION datastore_number_audit_entry();

-- Prevents a fork of the chain. Serves no statement; it only enforces this rule.
CREATE UNIQUE INDEX audit_log_previous_hash_key ON audit_log (previous_hash);

-- Serves list_audit_entries_by_subject.
CREATE INDEX audit_log_subject_type_subject_id_idx ON audit_log (subject_type, subject_id, id);

-- Append-only: no entry may be changed ...
CREATE TRIGGER audit_log_append_only_update BEFORE UPDATE ON audit_log
FOR EACH ROW EXECUTE FUNCTION datastore_refuse('audit_log_append_only');

-- ... or deleted, ...
CREATE TRIGGER audit_log_append_only_delete BEFORE DELETE ON audit_log
FOR EACH ROW EXECUTE FUNCTION datastore_refuse('audit_log_append_only');

-- ... and the table may not be truncated.
CREATE TRIGGER audit_log_append_only_truncate BEFORE TRUNCATE ON audit_log
FOR EACH STATEMENT EXECUTE FUNCTION datastore_refuse('audit_log_append_only');

-- Redactions: what sanitization replaced in a message (or in the conversation's title or metadata, if message_id is NULL).
CREATE TABLE redactions (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL,
    conversation_id TEXT COLLATE "C" NOT NULL,
    message_id TEXT COLLATE "C",
    -- The kind of data that was replaced: email, phone, name, ...
    category TEXT COLLATE "C" NOT NULL,
    -- The rule that found it, and the detector that has the rule.
    rule TEXT COLLATE "C" NOT NULL,
    detector TEXT COLLATE "C" NOT NULL,
    -- A hash (keyed or not) of the original, never the original itself.
    original_hash TEXT COLLATE "C" NOT NULL,
    replacement TEXT COLLATE "C" NOT NULL,
    confidence DOUBLE PRECISION NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT redactions_conversation_id_fkey
    FOREIGN KEY (conversation_id) REFERENCES conversations (id) ON DELETE CASCADE,
    CONSTRAINT redactions_message_id_fkey
    FOREIGN KEY (message_id) REFERENCES messages (id) ON DELETE CASCADE,
    CONSTRAINT redactions_id_check CHECK (length(id) BETWEEN 1 AND 200),
    CONSTRAINT redactions_category_check
    CHECK (length(category) BETWEEN 1 AND 200),
    CONSTRAINT redactions_rule_check
    CHECK (length(rule) BETWEEN 1 AND 200),
    CONSTRAINT redactions_detector_check
    CHECK (length(detector) BETWEEN 1 AND 200),
    CONSTRAINT redactions_original_hash_check
    CHECK (length(original_hash) BETWEEN 16 AND 200),
    CONSTRAINT redactions_replacement_check
    CHECK (length(replacement) <= 1000),
    CONSTRAINT redactions_confidence_check CHECK (confidence BETWEEN 0.0 AND 1.0),
    CONSTRAINT redactions_created_at_check CHECK (created_at < '9999-12-31 23:59:59.999999+00')
);

-- Enforces unique ids. Serves no statement.
CREATE UNIQUE INDEX redactions_id_key ON redactions (id);

-- Serves list_redactions_by_conversation; the foreign key.
CREATE INDEX redactions_conversation_id_created_at_id_idx
ON redactions (conversation_id, created_at, id);

-- Serves the foreign key.
CREATE INDEX redactions_message_id_idx ON redactions (message_id);
