-- Messages: statements specific to PostgreSQL.

-- name: append_message(id, conversation_id, role, content, content_hash, token_count, metadata, created_at, words, facets, language)$
-- Appends a message to a conversation, which assigns its position, and indexes it. Returns only the position: the caller has
-- the rest, so that its text is not copied.
--   id  text  the caller's own, or a time-ordered UUID; 1 to 200 characters
--   conversation_id  text  a conversation that is not deleted
--   role  text  user, assistant, system or tool
--   content  text  sanitized text, 1 byte to 1 MiB of UTF-8
--   content_hash  text  SHA-256 of the content's UTF-8, lower-case hex
--   token_count  integer  0 or more
--   metadata  json  an object, at most 1 MiB
--   created_at  timestamp  when it was said
--   words  words  tsvector and number of tokens, without facets
--   facets  text  the tokens that a search filters by, without those of the conversation
--   language  text  language of the words
-- Index: conversations_id_key (unique), search_settings primary key
-- Rows: 0 or 1 (0: not found, deleted, or the index has another language)
-- Differs: the conversation's row is locked before its last position is read; the words are in a separate table
-- Locks: appends to one conversation wait for each other, so that no position is used twice
WITH conversation AS MATERIALIZED (
    SELECT
        conversations.id,
        conversations.last_position,
        conversations.source,
        conversations.session_id
    FROM conversations
    WHERE
        conversations.id = :conversation_id
        AND conversations.deleted_at IS NULL
        AND coalesce((SELECT search_settings.value FROM search_settings WHERE search_settings.name = 'language'), 'english') = :language
    FOR UPDATE OF conversations
),

stored AS (
    INSERT INTO messages (
        id,
        conversation_id,
        position,
        role,
        content,
        content_hash,
        token_count,
        metadata,
        created_at
    )
    SELECT
        :id,
        conversation.id,
        conversation.last_position + 1,
        :role,
        :content,
        :content_hash,
        :token_count,
        :metadata,
        :created_at
    FROM conversation
    RETURNING seq, position
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

SELECT stored.position
FROM stored;

-- name: append_messages(conversation_id, rows)
-- Appends several messages to a conversation, in their order.
--   conversation_id  text  a conversation that is not deleted
--   rows  rows  a list of [id, role, content, content_hash, token_count, metadata, created_at]
-- Index: conversations_id_key (unique)
-- Rows: 0 to the length of rows (0: not found or deleted); in any order
-- Record: Message
-- Differs: the conversation's row is locked before its last position is read
-- Locks: appends to one conversation wait for each other, so that no position is used twice
INSERT INTO messages (
    id,
    conversation_id,
    position,
    role,
    content,
    content_hash,
    token_count,
    metadata,
    created_at
)
SELECT
    new_message.value ->> 0,
    conversation.id,
    conversation.last_position + new_message.place,
    new_message.value ->> 1,
    new_message.value ->> 2,
    new_message.value ->> 3,
    CAST(new_message.value ->> 4 AS BIGINT),
    CAST(new_message.value ->> 5 AS JSON),
    CAST(new_message.value ->> 6 AS TIMESTAMPTZ)
FROM (
    SELECT
        conversations.id,
        conversations.last_position
    FROM conversations
    WHERE
        conversations.id = :conversation_id
        AND conversations.deleted_at IS NULL
    FOR UPDATE
) AS conversation
CROSS JOIN json_array_elements(CAST(:rows AS JSON)) WITH ORDINALITY AS new_message (value, place)
ORDER BY new_message.place
RETURNING
    id,
    conversation_id,
    position,
    role,
    content,
    content_hash,
    token_count,
    metadata,
    created_at;
