-- Retention: legal holds, policies, erasures with their receipts, and the tombstones of what was erased.
--
-- No table here holds content or, but for legal_holds, an id of a subject: receipts and tombstones keep keyed hashes.
--
-- Locks: none to speak of, the tables are new.
-- Rollback: LOSES DATA (forgets the holds, policies, receipts and tombstones).
-- depends: 0007.backups

-- Conversations that nothing may delete or change until they are released.
CREATE TABLE legal_holds (
    id TEXT COLLATE "C" NOT NULL,
    conversation_id TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    -- Who placed it, and who released it: the names that the store was opened with.
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

-- At most one hold a conversation is in force. Serves list_purgeable_conversations, find_legal_hold; the triggers below.
CREATE UNIQUE INDEX legal_holds_conversation_id_key ON legal_holds (conversation_id)
WHERE released_at IS NULL;

-- Serves list_legal_holds.
CREATE INDEX legal_holds_placed_at_id_idx ON legal_holds (placed_at, id)
WHERE released_at IS NULL;

-- Serves the foreign key.
CREATE INDEX legal_holds_conversation_id_idx ON legal_holds (conversation_id);

-- Refuses to change what a hold keeps; the trigger's argument is the rule's name. A hold that is placed meanwhile is seen:
-- the trigger looks after the row was locked, and a hold's foreign key needs its conversation's row.
CREATE FUNCTION datastore_refuse_held() RETURNS TRIGGER LANGUAGE plpgsql AS $$
DECLARE
    held_id TEXT;
BEGIN
    IF TG_TABLE_NAME = 'conversations' THEN
        held_id := old.id;
    ELSIF TG_TABLE_NAME = 'uploads' THEN
        SELECT learnings.conversation_id INTO held_id FROM learnings WHERE learnings.id = old.learning_id;
    ELSE
        held_id := old.conversation_id;
    END IF;
    IF EXISTS (SELECT 1 FROM legal_holds WHERE conversation_id = held_id AND released_at IS NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'DS001', CONSTRAINT = TG_ARGV[0], MESSAGE = TG_ARGV[0];
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN old ELSE new END;
END;
$$;

-- What is held stays, whoever writes: the conversation, ...
CREATE TRIGGER conversations_legal_hold_delete BEFORE DELETE ON conversations
FOR EACH ROW
EXECUTE FUNCTION datastore_refuse_held('conversations_legal_hold');

-- ... each of its messages, ...
CREATE TRIGGER messages_legal_hold_delete BEFORE DELETE ON messages
FOR EACH ROW
EXECUTE FUNCTION datastore_refuse_held('messages_legal_hold');

-- ... what was said in it, ...
CREATE TRIGGER messages_legal_hold_update BEFORE UPDATE OF content ON messages
FOR EACH ROW WHEN (new.content <> old.content)
EXECUTE FUNCTION datastore_refuse_held('messages_legal_hold');

-- ... what sanitization did to it, ...
CREATE TRIGGER redactions_legal_hold_delete BEFORE DELETE ON redactions
FOR EACH ROW
EXECUTE FUNCTION datastore_refuse_held('redactions_legal_hold');

-- ... what was learned from it, ...
CREATE TRIGGER learnings_legal_hold_delete BEFORE DELETE ON learnings
FOR EACH ROW
EXECUTE FUNCTION datastore_refuse_held('learnings_legal_hold');

-- ... as it stands, ...
CREATE TRIGGER learnings_legal_hold_update BEFORE UPDATE OF title, content ON learnings
FOR EACH ROW WHEN (new.title <> old.title OR new.content <> old.content)
EXECUTE FUNCTION datastore_refuse_held('learnings_legal_hold');

-- ... and where that went.
CREATE TRIGGER uploads_legal_hold_delete BEFORE DELETE ON uploads
FOR EACH ROW
EXECUTE FUNCTION datastore_refuse_held('uploads_legal_hold');

-- How long what is kept.
CREATE TABLE retention_policies (
    name TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL DEFAULT 'all',
    -- The source, the beginning of the session id, or the category.
    scope_value TEXT COLLATE "C",
    -- What the age is counted from.
    since TEXT COLLATE "C" NOT NULL,
    age_days DOUBLE PRECISION NOT NULL,
    -- How long a conversation stays hidden before it is deleted for good. Others are deleted at once.
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

-- What was asked to be erased, how far it came, and the receipt.
CREATE TABLE erasures (
    id TEXT COLLATE "C" NOT NULL,
    subject_kind TEXT COLLATE "C" NOT NULL,
    -- HMAC-SHA-256 of the subject's id with one of erasure_keys, lower-case hex.
    subject_hash TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL DEFAULT 'deleting',
    -- Who asked, and why; no content.
    actor TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    -- Counts and names of what was done and of what is out of reach, never content.
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

-- The keys of the hashes: one, and those that came with tombstones of an older copy of this database.
CREATE TABLE erasure_keys (
    id TEXT COLLATE "C" NOT NULL,
    -- 32 random bytes, lower-case hex.
    secret TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT erasure_keys_pkey PRIMARY KEY (id),
    CONSTRAINT erasure_keys_secret_check CHECK (length(secret) = 64)
);

-- What was erased, so that a restored backup or an imported file does not bring it back.
CREATE TABLE tombstones (
    kind TEXT COLLATE "C" NOT NULL,
    subject_hash TEXT COLLATE "C" NOT NULL,
    erasure_id TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    -- When somebody imported the subject again, on purpose.
    lifted_at TIMESTAMPTZ,
    CONSTRAINT tombstones_pkey PRIMARY KEY (kind, subject_hash),
    CONSTRAINT tombstones_kind_check CHECK (kind IN ('conversation', 'session', 'correlation', 'learning')),
    CONSTRAINT tombstones_subject_hash_check CHECK (length(subject_hash) = 64)
);

-- Every text and key in a JSON value, as texts: what an erasure looks for a name in.
CREATE FUNCTION datastore_json_names(document JSON) RETURNS SETOF TEXT
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
WITH RECURSIVE parts (key, value) AS (
    SELECT
        CAST(NULL AS TEXT),
        document
    UNION ALL
    SELECT
        inner_part.key,
        inner_part.value
    FROM parts
    CROSS JOIN LATERAL (
        SELECT
            pair.key,
            pair.value
        FROM json_each(CASE WHEN json_typeof(parts.value) = 'object' THEN parts.value ELSE '{}' END) AS pair
        UNION ALL
        SELECT
            NULL,
            element.value
        FROM json_array_elements(CASE WHEN json_typeof(parts.value) = 'array' THEN parts.value ELSE '[]' END) AS element
    ) AS inner_part
)

SELECT key
FROM parts
WHERE key IS NOT NULL
UNION ALL
SELECT value #>> '{}'
FROM parts
WHERE json_typeof(value) NOT IN ('object', 'array', 'null')
$$;
