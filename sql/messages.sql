-- Messages. Portable: every statement runs unchanged on every engine.

-- name: get_message(id)^
-- One message.
--   id  text  id of the message
-- Index: messages_id_key (unique)
-- Rows: 0 or 1
-- Record: Message
SELECT
    id,
    conversation_id,
    position,
    role,
    content,
    content_hash,
    token_count,
    metadata,
    created_at
FROM messages
WHERE id = :id;

-- name: list_messages_after(conversation_id, after_position, max_rows)
-- One page of a conversation, oldest first; continue with the last position returned.
--   conversation_id  text  id of the conversation
--   after_position  integer  0 for the first page
--   max_rows  integer  1 to 1001
-- Index: messages_conversation_id_position_key (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Message
SELECT
    id,
    conversation_id,
    position,
    role,
    content,
    content_hash,
    token_count,
    metadata,
    created_at
FROM messages
WHERE
    conversation_id = :conversation_id
    AND position > :after_position
ORDER BY position
LIMIT :max_rows;

-- name: list_messages_before(conversation_id, before_position, max_rows)
-- One page of a conversation, newest first; continue with the last position returned.
--   conversation_id  text  id of the conversation
--   before_position  integer  2^53 for the last page
--   max_rows  integer  1 to 1001
-- Index: messages_conversation_id_position_key (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Message
SELECT
    id,
    conversation_id,
    position,
    role,
    content,
    content_hash,
    token_count,
    metadata,
    created_at
FROM messages
WHERE
    conversation_id = :conversation_id
    AND position < :before_position
ORDER BY position DESC
LIMIT :max_rows;

-- name: list_messages_by_time_after(conversation_id, created_from, created_before, after_created_at, after_id, max_rows)
-- One page of a conversation by time, oldest first.
--   conversation_id  text  id of the conversation
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
--   after_created_at  timestamp  the earliest instant for the first page
--   after_id  text  '' for the first page
--   max_rows  integer  1 to 1001
-- Index: messages_conversation_id_created_at_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Message
SELECT
    id,
    conversation_id,
    position,
    role,
    content,
    content_hash,
    token_count,
    metadata,
    created_at
FROM messages
WHERE
    conversation_id = :conversation_id
    AND (created_at, id) > (:after_created_at, :after_id)
    AND created_at >= :created_from
    AND created_at < :created_before
ORDER BY created_at, id
LIMIT :max_rows;

-- name: list_messages_by_time_before(conversation_id, created_from, created_before, before_created_at, before_id, max_rows)
-- One page of a conversation by time, newest first.
--   conversation_id  text  id of the conversation
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
--   before_created_at  timestamp  the latest instant for the first page
--   before_id  text  '' for the first page
--   max_rows  integer  1 to 1001
-- Index: messages_conversation_id_created_at_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Message
SELECT
    id,
    conversation_id,
    position,
    role,
    content,
    content_hash,
    token_count,
    metadata,
    created_at
FROM messages
WHERE
    conversation_id = :conversation_id
    AND (created_at, id) < (:before_created_at, :before_id)
    AND created_at >= :created_from
    AND created_at < :created_before
ORDER BY created_at DESC, id DESC
LIMIT :max_rows;

-- name: list_messages_within_tokens(conversation_id, max_tokens, max_rows)
-- The latest messages whose tokens fit a budget together, oldest first: the context of a model.
--   conversation_id  text  id of the conversation
--   max_tokens  integer  the budget, 0 or more
--   max_rows  integer  1 to 1000: reads no further back
-- Index: messages_conversation_id_position_key (range scan); sorts at most max_rows rows
-- Rows: 0 to max_rows
-- Record: Message
SELECT
    id,
    conversation_id,
    position,
    role,
    content,
    content_hash,
    token_count,
    metadata,
    created_at
FROM (
    SELECT
        id,
        conversation_id,
        position,
        role,
        content,
        content_hash,
        token_count,
        metadata,
        created_at,
        sum(token_count) OVER (ORDER BY position DESC) AS tokens_so_far
    FROM (
        SELECT
            id,
            conversation_id,
            position,
            role,
            content,
            content_hash,
            token_count,
            metadata,
            created_at
        FROM messages
        WHERE conversation_id = :conversation_id
        ORDER BY position DESC
        LIMIT :max_rows
    ) AS latest
) AS counted
WHERE tokens_so_far <= :max_tokens
ORDER BY position;

-- name: count_messages(conversation_id)$
-- The number of messages of a conversation, which triggers maintain.
--   conversation_id  text  id of the conversation
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1
SELECT message_count
FROM conversations
WHERE id = :conversation_id;

-- name: count_all_messages()$
-- The number of stored messages, including those of deleted conversations.
-- Index: none (adds message_count of every conversation, including deleted ones)
-- Rows: 1
-- Allow: full-scan, a report; it reads one row per conversation, not one per message
SELECT CAST(coalesce(sum(message_count), 0) AS BIGINT) AS message_count
FROM conversations;

-- name: update_message_content(id, content, content_hash, token_count)^
-- Replaces a message's text with a more sanitized one.
--   id  text  id of the message
--   content  text  sanitized text, 1 byte to 1 MiB of UTF-8
--   content_hash  text  SHA-256 of the content's UTF-8, lower-case hex
--   token_count  integer  0 or more
-- Index: messages_id_key (unique)
-- Rows: 0 or 1
-- Record: Message
UPDATE messages
SET
    content = :content,
    content_hash = :content_hash,
    token_count = :token_count
WHERE id = :id
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

-- name: update_message_metadata(id, metadata)^
-- Replaces a message's metadata.
--   id  text  id of the message
--   metadata  json  an object, at most 1 MiB
-- Index: messages_id_key (unique)
-- Rows: 0 or 1
-- Record: Message
UPDATE messages
SET metadata = :metadata
WHERE id = :id
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

-- name: delete_message(id)$
-- Deletes a message permanently; its position is not reused.
--   id  text  id of the message
-- Index: messages_id_key (unique)
-- Rows: 0 or 1: the id of its conversation
DELETE FROM messages
WHERE id = :id
RETURNING conversation_id;
