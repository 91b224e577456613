-- Messages: statements specific to PostgreSQL.

-- name: append_message(id, conversation_id, branch, role, content, content_hash, token_count, parts, metadata, created_at, source_id, words, facets, language)^
-- Appends a message to a branch, which assigns its position, and indexes it. Returns only its place: the caller has the rest,
-- so that its text is not copied.
--   id  text  the caller's own, or a time-ordered UUID; 1 to 200 characters
--   conversation_id  text  a conversation that is not deleted
--   branch  integer?  which branch; NULL: the active one
--   role  text  user, assistant, system or tool
--   content  text  sanitized text, 1 byte to 1 MiB of UTF-8; may be '' with parts
--   content_hash  text  SHA-256, lower-case hex
--   token_count  integer  0 or more
--   parts  json?  a list, at most 1 MiB; NULL for plain text
--   metadata  json  an object, at most 1 MiB
--   created_at  timestamp  when it was said
--   source_id  text?  the id that it has where it was imported from
--   words  words  tsvector and number of tokens, without facets
--   facets  text  the tokens that a search filters by, without those of the conversation
--   language  text  language of the words
-- Index: conversations_id_key (unique), search_settings primary key, branches primary key
-- Rows: 0 or 1 (0: conversation or branch not found, deleted, or the index has another language)
-- Differs: the conversation's row is locked before its last position is read; the words are in a separate table
-- Locks: appends to one conversation wait for each other, so that no position is used twice
WITH conversation AS MATERIALIZED (
    SELECT
        conversations.id,
        conversations.last_position,
        coalesce(CAST(:branch AS BIGINT), conversations.active_branch) AS branch,
        conversations.source,
        conversations.session_id
    FROM conversations
    WHERE
        conversations.id = :conversation_id
        AND conversations.deleted_at IS NULL
        AND (
            coalesce(CAST(:branch AS BIGINT), 0) = 0
            OR EXISTS (
                SELECT 1
                FROM branches
                WHERE
                    branches.conversation_id = :conversation_id
                    AND branches.branch = coalesce(CAST(:branch AS BIGINT), 0)
            )
        )
        AND coalesce((SELECT search_settings.value FROM search_settings WHERE search_settings.name = 'language'), 'english') = :language
    FOR UPDATE OF conversations
),

stored AS (
    INSERT INTO messages (
        id,
        conversation_id,
        branch,
        position,
        role,
        content,
        content_hash,
        token_count,
        parts,
        metadata,
        created_at,
        source_id
    )
    SELECT
        :id,
        conversation.id,
        conversation.branch,
        CASE conversation.branch
            WHEN 0 THEN conversation.last_position
            ELSE (
                SELECT branches.last_position
                FROM branches
                WHERE
                    branches.conversation_id = conversation.id
                    AND branches.branch = conversation.branch
            )
        END + 1,
        :role,
        :content,
        :content_hash,
        :token_count,
        :parts,
        :metadata,
        :created_at,
        :source_id
    FROM conversation
    RETURNING seq, branch, position
),

facets AS (
    SELECT
        string_to_array(:facets, ' ') || array_remove(ARRAY[
            'o:' || encode(convert_to(conversation.source, 'UTF8'), 'hex'),
            's:' || encode(convert_to(conversation.session_id, 'UTF8'), 'hex')
        ], NULL) AS tokens
    FROM conversation
),

indexed AS (
    INSERT INTO message_words (seq, words, word_count)
    SELECT
        stored.seq,
        CAST(CAST(:words AS JSON) ->> 0 AS TSVECTOR) || array_to_tsvector(facets.tokens),
        CAST(CAST(:words AS JSON) ->> 1 AS INTEGER) + cardinality(facets.tokens)
    FROM stored
    CROSS JOIN facets
)

SELECT
    stored.branch,
    stored.position
FROM stored;

-- name: append_messages(conversation_id, branch, rows)
-- Appends several messages to a branch, in their order.
--   conversation_id  text  a conversation that is not deleted
--   branch  integer?  which branch; NULL: the active one
--   rows  rows  a list of [id, role, content, content_hash, token_count, parts, metadata, created_at, source_id, partial]
-- Index: conversations_id_key (unique), branches primary key
-- Rows: 0 to the length of rows (0: conversation or branch not found, or deleted); in any order
-- Record: Message
-- Differs: the conversation's row is locked before its last position is read
-- Locks: appends to one conversation wait for each other, so that no position is used twice
INSERT INTO messages (
    id,
    conversation_id,
    branch,
    position,
    role,
    content,
    content_hash,
    token_count,
    parts,
    metadata,
    created_at,
    source_id,
    partial
)
SELECT
    new_message.value ->> 0,
    conversation.id,
    conversation.branch,
    CASE conversation.branch
        WHEN 0 THEN conversation.last_position
        ELSE (
            SELECT branches.last_position
            FROM branches
            WHERE
                branches.conversation_id = conversation.id
                AND branches.branch = conversation.branch
        )
    END + new_message.place,
    new_message.value ->> 1,
    new_message.value ->> 2,
    new_message.value ->> 3,
    CAST(new_message.value ->> 4 AS BIGINT),
    CAST(new_message.value ->> 5 AS JSON),
    CAST(new_message.value ->> 6 AS JSON),
    CAST(new_message.value ->> 7 AS TIMESTAMPTZ),
    new_message.value ->> 8,
    CAST(new_message.value ->> 9 AS BIGINT)
FROM (
    SELECT
        conversations.id,
        conversations.last_position,
        coalesce(CAST(:branch AS BIGINT), conversations.active_branch) AS branch
    FROM conversations
    WHERE
        conversations.id = :conversation_id
        AND conversations.deleted_at IS NULL
        AND (
            coalesce(CAST(:branch AS BIGINT), 0) = 0
            OR EXISTS (
                SELECT 1
                FROM branches
                WHERE
                    branches.conversation_id = :conversation_id
                    AND branches.branch = coalesce(CAST(:branch AS BIGINT), 0)
            )
        )
    FOR UPDATE
) AS conversation
CROSS JOIN json_array_elements(CAST(:rows AS JSON)) WITH ORDINALITY AS new_message (value, place)
ORDER BY new_message.place
RETURNING
    id,
    conversation_id,
    branch,
    position,
    role,
    content,
    content_hash,
    token_count,
    parts,
    metadata,
    created_at,
    source_id,
    partial;
