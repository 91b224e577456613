-- Learnings: what SQLite needs its own words for.

-- name: add_learning_messages(learning_id, message_ids)!
-- Links a learning to messages of its own conversation.
--   learning_id  text  which learning
--   message_ids  json  a list of distinct message ids
-- Index: learnings_id_key (unique), messages_id_key (one look-up an id)
-- Rows: 0 to the length of message_ids (fewer: one is unknown, or of another conversation)
-- Differs: json_each is SQLite's way to hand a list to one statement; PostgreSQL unnests an array
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
-- Stores many learnings in their order, but for those that their conversations have already.
--   rows  rows  a list of [id, conversation_id, category, title, content, confidence, tags, dedupe_key, metadata, created_at, updated_at]
-- Index: conversations_id_key (unique)
-- Rows: 0 to the length of rows (fewer: as add_learning), in any order
-- Record: Learning
-- Differs: json_each is SQLite's way to hand a list to one statement; PostgreSQL unnests an array
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
-- Which of some learnings there are; nobody else changes them until the transaction ends.
--   ids  json  a list of learning ids
-- Index: learnings_id_key (unique, one look-up an id)
-- Rows: 0 to the length of ids
-- Differs: whoever writes to SQLite has its one lock already
-- Allow: max-rows, at most one row for each id that is handed in
SELECT id
FROM learnings
WHERE id IN (SELECT wanted.value FROM json_each(:ids) AS wanted)
ORDER BY id;

-- name: lock_conversations_of_learnings(ids)
-- Which of some conversations there are; nobody else stores many learnings of them until the transaction ends.
--   ids  json  a list of conversation ids
-- Index: conversations_id_key (unique, one look-up an id)
-- Rows: 0 to the length of ids
-- Differs: whoever writes to SQLite has its one lock already
-- Allow: max-rows, at most one row for each id that is handed in
SELECT id
FROM conversations
WHERE id IN (SELECT wanted.value FROM json_each(:ids) AS wanted)
ORDER BY id;
