-- Learnings: statements specific to PostgreSQL.

-- name: add_learning_messages(learning_id, message_ids)!
-- Links a learning to messages of its conversation.
--   learning_id  text  id of the learning
--   message_ids  json  a list of distinct message ids
-- Index: learnings_id_key (unique), messages_id_key (one lookup per id)
-- Rows: 0 to the length of message_ids (fewer: one was not found, or belongs to another conversation)
-- Differs: PostgreSQL has other functions to unnest a JSON list
INSERT INTO learning_messages (learning_id, message_id)
SELECT
    learnings.id,
    messages.id
FROM learnings
CROSS JOIN json_array_elements_text(CAST(:message_ids AS JSON)) AS wanted
CROSS JOIN messages
WHERE
    learnings.id = :learning_id
    AND messages.id = wanted.value
    AND messages.conversation_id = learnings.conversation_id;

-- name: add_learnings(rows)
-- Stores many learnings in the given order, except those that their conversations already have.
--   rows  rows  a list of [id, conversation_id, category, title, content, confidence, tags, dedupe_key, metadata, created_at, updated_at]
-- Index: conversations_id_key (unique)
-- Rows: 0 to the length of rows (fewer: see add_learning), in any order
-- Record: Learning
-- Differs: PostgreSQL has other functions to unnest a JSON list
INSERT INTO learnings (
    id,
    conversation_id,
    category,
    title,
    content,
    confidence,
    tags,
    dedupe_key,
    metadata,
    created_at,
    updated_at
)
SELECT
    new_learning.value ->> 0,
    conversations.id,
    new_learning.value ->> 2,
    new_learning.value ->> 3,
    new_learning.value ->> 4,
    CAST(new_learning.value ->> 5 AS DOUBLE PRECISION),
    CAST(new_learning.value ->> 6 AS JSON),
    new_learning.value ->> 7,
    CAST(new_learning.value ->> 8 AS JSON),
    CAST(new_learning.value ->> 9 AS TIMESTAMPTZ),
    CAST(new_learning.value ->> 10 AS TIMESTAMPTZ)
FROM json_array_elements(CAST(:rows AS JSON)) WITH ORDINALITY AS new_learning (value, place)
CROSS JOIN conversations
WHERE
    conversations.id = new_learning.value ->> 1
    AND conversations.deleted_at IS NULL
ORDER BY new_learning.place
ON CONFLICT (conversation_id, dedupe_key) DO NOTHING
RETURNING
    id,
    conversation_id,
    category,
    title,
    content,
    confidence,
    tags,
    dedupe_key,
    metadata,
    created_at,
    updated_at,
    deleted_at;

-- name: lock_learnings(ids)
-- Those of the given learnings that exist, locked until the transaction ends.
--   ids  json  a list of learning ids
-- Index: learnings_id_key (unique, one lookup per id)
-- Rows: 0 to the length of ids
-- Differs: the rows are locked (FOR UPDATE)
-- Locks: in the order of their ids, so that two callers cannot deadlock
-- Allow: max-rows, at most one row per id passed in
SELECT id
FROM learnings
WHERE
    id = ANY(
        ARRAY(
            SELECT wanted.value
            FROM json_array_elements_text(CAST(:ids AS JSON)) AS wanted
        )
    )
ORDER BY id
FOR UPDATE;

-- name: lock_conversations_of_learnings(ids)
-- Those of the given conversations that exist, locked until the transaction ends against others that store many learnings.
--   ids  json  a list of conversation ids
-- Index: conversations_id_key (unique, one lookup per id)
-- Rows: 0 to the length of ids
-- Differs: the rows are locked
-- Locks: in the order of their ids; FOR NO KEY UPDATE, so that callers who store one learning do not wait
-- Allow: max-rows, at most one row per id passed in
SELECT id
FROM conversations
WHERE
    id = ANY(
        ARRAY(
            SELECT wanted.value
            FROM json_array_elements_text(CAST(:ids AS JSON)) AS wanted
        )
    )
ORDER BY id
FOR NO KEY UPDATE;
