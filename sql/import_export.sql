-- Import and export: exact times, gaps between positions, sources of learnings. Portable: each statement runs as it stands on every engine.

-- name: list_message_keys(conversation_id, from_position, to_position)
-- What tells whether a message of a file is stored already.
--   conversation_id  text  which conversation
--   from_position  integer  the first position, inclusive
--   to_position  integer  the last position, inclusive
-- Index: messages_conversation_id_position_key (range scan, no sort)
-- Rows: 0 to to_position - from_position + 1, by position
-- Record: MessageKey
-- Allow: max-rows, the two positions are the bound: a position stands once
SELECT
    id,
    position,
    role,
    content_hash
FROM messages
WHERE
    conversation_id = :conversation_id
    AND position BETWEEN :from_position AND :to_position
ORDER BY position;

-- name: set_last_position(id, last_position)!
-- Leaves a gap before the next message: the place of one that was deleted before the export.
--   id  text  which conversation
--   last_position  integer  the next message has the position after this one; it never goes back
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1 (0: there is no such conversation, or it is further already)
UPDATE conversations
SET last_position = :last_position
WHERE
    id = :id
    AND last_position < :last_position;

-- name: set_conversation_times(id, updated_at, deleted_at)!
-- Gives an imported conversation the times that it had where it was exported; hides its learnings with it.
--   id  text  which one
--   updated_at  timestamp?  its last change; NULL keeps what is stored
--   deleted_at  timestamp?  its soft deletion; NULL is none
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1
UPDATE conversations
SET
    updated_at = coalesce(:updated_at, updated_at),
    deleted_at = :deleted_at
WHERE id = :id;

-- name: list_conversation_learnings(conversation_id)
-- Every learning of one conversation, deleted with it or not.
--   conversation_id  text  which conversation
-- Index: learnings_conversation_id_created_at_id_idx (range scan, no sort)
-- Rows: one per learning of the conversation, oldest first
-- Record: Learning
-- Allow: max-rows, an export writes a conversation as one document, so all of them are needed at once
SELECT
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
    deleted_at
FROM learnings
WHERE conversation_id = :conversation_id
ORDER BY created_at, id;

-- name: list_conversation_sources(conversation_id)
-- Which messages the learnings of one conversation came from.
--   conversation_id  text  which conversation
-- Index: learnings_conversation_id_created_at_id_idx, learning_messages primary key; sorts one conversation's
-- Rows: one per learning and message
-- Allow: max-rows, an export writes a conversation as one document, so all of them are needed at once
SELECT
    learning_messages.learning_id,
    learning_messages.message_id
FROM learnings
CROSS JOIN learning_messages
WHERE
    learnings.conversation_id = :conversation_id
    AND learning_messages.learning_id = learnings.id
ORDER BY learning_messages.learning_id, learning_messages.message_id;
