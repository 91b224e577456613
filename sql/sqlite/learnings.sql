-- Learnings: statements specific to SQLite.

-- name: add_learning_messages(learning_id, message_ids)!
-- Links a learning to messages of its conversation.
--   learning_id  text  id of the learning
--   message_ids  json  a list of distinct message ids
-- Index: learnings_id_key (unique), messages_id_key (one lookup per id)
-- Rows: 0 to the length of message_ids (fewer: one was not found, or belongs to another conversation)
-- Differs: SQLite passes a list as JSON (json_each); PostgreSQL unnests an array
INSERT INTO learning_messages (learning_id, message_id)
SELECT
    learnings.id,
    messages.id
FROM learnings
CROSS JOIN json_each(:message_ids) AS wanted
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
-- Differs: SQLite passes a list as JSON (json_each); PostgreSQL unnests an array
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
    json_extract(new_learning.value, '$[0]'),
    conversations.id,
    json_extract(new_learning.value, '$[2]'),
    json_extract(new_learning.value, '$[3]'),
    json_extract(new_learning.value, '$[4]'),
    json_extract(new_learning.value, '$[5]'),
    json_extract(new_learning.value, '$[6]'),
    json_extract(new_learning.value, '$[7]'),
    json_extract(new_learning.value, '$[8]'),
    json_extract(new_learning.value, '$[9]'),
    json_extract(new_learning.value, '$[10]')
FROM json_each(:rows) AS new_learning
CROSS JOIN conversations
WHERE
    conversations.id = json_extract(new_learning.value, '$[1]')
    AND conversations.deleted_at IS NULL
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
-- Differs: a SQLite writer already has the only write lock
-- Allow: max-rows, at most one row per id passed in
SELECT id
FROM learnings
WHERE id IN (SELECT wanted.value FROM json_each(:ids) AS wanted)
ORDER BY id;

-- name: lock_conversations_of_learnings(ids)
-- Those of the given conversations that exist, locked until the transaction ends against others that store many learnings.
--   ids  json  a list of conversation ids
-- Index: conversations_id_key (unique, one lookup per id)
-- Rows: 0 to the length of ids
-- Differs: a SQLite writer already has the only write lock
-- Allow: max-rows, at most one row per id passed in
SELECT id
FROM conversations
WHERE id IN (SELECT wanted.value FROM json_each(:ids) AS wanted)
ORDER BY id;
