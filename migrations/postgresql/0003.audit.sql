-- Audit: an append-only, hash-chained log of what left or changed, and what sanitization did.
--
-- audit_log has no content and no foreign keys: it outlives what it tells of. A conversation's redactions are deleted with it.
--
-- Locks: writes to conversations and messages wait until the step ends, for milliseconds: foreign keys refer to them.
-- Rollback: LOSES DATA (drops the audit log and the redactions).
-- depends: 0002.indexes

-- Every function of this step looks for names in this schema, and in the session's own temporary tables last, never first.
DO $$
BEGIN
    PERFORM set_config('search_path', quote_ident(current_schema()) || ', pg_temp', TRUE);
END;
$$;

-- What was deleted, purged, restored or redacted, by whom and why; append-only.
CREATE TABLE audit_log (
    -- 1, 2, 3, ... without a gap, given by audit_log_number: an identity column leaves a gap where a transaction is rolled back.
    id BIGINT PRIMARY KEY,
    action TEXT COLLATE "C" NOT NULL,
    subject_type TEXT COLLATE "C" NOT NULL,
    subject_id TEXT COLLATE "C" NOT NULL,
    -- Who did it: the name that the application opened the store with.
    actor TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    -- Counts and names, never content.
    details JSON NOT NULL DEFAULT '{}',
    created_at TIMESTAMPTZ NOT NULL,
    -- The hash of the entry before; 64 zeros for the first.
    previous_hash TEXT COLLATE "C" NOT NULL,
    -- SHA-256 over the entry and previous_hash (docs/schema.md says of which bytes).
    hash TEXT COLLATE "C" NOT NULL,
    CONSTRAINT audit_log_action_check
    CHECK (action IN ('soft_delete', 'restore', 'delete', 'purge', 'prune', 'redact')),
    CONSTRAINT audit_log_subject_type_check
    CHECK (subject_type IN ('conversation', 'message', 'learning', 'job', 'upload')),
    CONSTRAINT audit_log_subject_id_check
    CHECK (length(subject_id) BETWEEN 1 AND 200),
    CONSTRAINT audit_log_actor_check
    CHECK (length(actor) BETWEEN 1 AND 200),
    CONSTRAINT audit_log_details_check
    CHECK (json_typeof(details) = 'object'),
    CONSTRAINT audit_log_previous_hash_check CHECK (length(previous_hash) = 64),
    CONSTRAINT audit_log_hash_check CHECK (length(hash) = 64)
);

-- With the rights of the schema's owner: whoever may add to the log may not set its numbers (docs/roles.sql).
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

-- The chain cannot fork. Serves no statement: it is the rule itself.
CREATE UNIQUE INDEX audit_log_previous_hash_key ON audit_log (previous_hash);

-- Serves list_audit_entries_by_subject.
CREATE INDEX audit_log_subject_type_subject_id_idx ON audit_log (subject_type, subject_id, id);

-- Append-only: no entry is ever changed ...
CREATE TRIGGER audit_log_append_only_update BEFORE UPDATE ON audit_log
FOR EACH ROW EXECUTE FUNCTION datastore_refuse('audit_log_append_only');

-- ... or taken out, ...
CREATE TRIGGER audit_log_append_only_delete BEFORE DELETE ON audit_log
FOR EACH ROW EXECUTE FUNCTION datastore_refuse('audit_log_append_only');

-- ... nor are all.
CREATE TRIGGER audit_log_append_only_truncate BEFORE TRUNCATE ON audit_log
FOR EACH STATEMENT EXECUTE FUNCTION datastore_refuse('audit_log_append_only');

-- What sanitization did to a message (or to the conversation, where no message is named).
CREATE TABLE redactions (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL,
    conversation_id TEXT COLLATE "C" NOT NULL,
    message_id TEXT COLLATE "C",
    -- What kind of thing it was: email, phone, name, ...
    category TEXT COLLATE "C" NOT NULL,
    -- Which rule found it, and in which detector.
    rule TEXT COLLATE "C" NOT NULL,
    detector TEXT COLLATE "C" NOT NULL,
    -- A (keyed) hash of the original, never the original.
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

-- Ids are unique. Serves no statement: it is the rule itself.
CREATE UNIQUE INDEX redactions_id_key ON redactions (id);

-- Serves list_redactions_by_conversation; the foreign key.
CREATE INDEX redactions_conversation_id_created_at_id_idx
ON redactions (conversation_id, created_at, id);

-- Serves the foreign key.
CREATE INDEX redactions_message_id_idx ON redactions (message_id);
