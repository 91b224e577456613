-- Conversations: statements specific to SQLite.

-- name: merge_conversation_metadata(id, patch, now)^
-- Merges an object into the metadata: RFC 7396, so a null removes its key.
--   id  text  id of the conversation
--   patch  json  an object
--   now  timestamp  the instant of the transaction
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1
-- Record: Conversation
-- Differs: SQLite has json_patch; PostgreSQL has no merge patch and needs a function that 0001.initial defines
UPDATE conversations
SET
    metadata = json_patch(metadata, :patch),
    updated_at = :now
WHERE id = :id
RETURNING
    id,
    session_id,
    correlation_id,
    source,
    title,
    sanitization_version,
    metadata,
    message_count,
    last_position,
    active_branch,
    last_branch,
    created_at,
    updated_at,
    completed_at,
    deleted_at;

-- name: soft_delete_conversations(ids, now)
-- Soft-deletes many conversations: hides them and, by a trigger, their learnings.
--   ids  json  a list of conversation ids
--   now  timestamp  the instant of the transaction
-- Index: conversations_id_key (unique, one lookup per id)
-- Rows: 0 to the length of ids (fewer: one was not found, or is already hidden), in any order
-- Differs: SQLite passes a list as JSON (json_each); PostgreSQL unnests an array
-- Allow: max-rows, at most one row per id passed in
UPDATE conversations
SET
    deleted_at = :now,
    updated_at = :now
WHERE
    id IN (
        SELECT wanted.value
        FROM json_each(:ids) AS wanted
    )
    AND deleted_at IS NULL
RETURNING id;

-- name: list_purgeable_parts(ids)
-- Those of the given conversations that may be deleted permanently (hidden, not on legal hold), and the number of rows that
-- would be deleted with each.
--   ids  json  a list of conversation ids
-- Index: conversations_id_key (unique, one lookup per id); messages_conversation_id_branch_position_key,
--   learnings_conversation_id_created_at_id_idx (ranges)
-- Rows: 0 to the length of ids, in any order
-- Differs: SQLite passes a list as JSON (json_each); PostgreSQL unnests an array
-- Allow: max-rows, at most one row per id passed in
SELECT
    id,
    (
        SELECT count(*)
        FROM messages
        WHERE messages.conversation_id = conversations.id
    ) AS messages,
    (
        SELECT count(*)
        FROM learnings
        WHERE learnings.conversation_id = conversations.id
    ) AS learnings,
    (
        SELECT count(*)
        FROM uploads
        INNER JOIN learnings ON uploads.learning_id = learnings.id
        WHERE learnings.conversation_id = conversations.id
    ) AS uploads,
    (
        SELECT count(*)
        FROM redactions
        WHERE redactions.conversation_id = conversations.id
    ) AS redactions
FROM conversations
WHERE
    id IN (
        SELECT wanted.value
        FROM json_each(:ids) AS wanted
    )
    AND deleted_at IS NOT NULL
    AND NOT EXISTS (
        SELECT 1
        FROM legal_holds
        WHERE
            legal_holds.conversation_id = conversations.id
            AND legal_holds.released_at IS NULL
    );

-- name: delete_hidden_conversations(ids)
-- Deletes many hidden conversations permanently, with their messages, learnings, uploads and redactions. One
-- statement, because FTS5 flushes the pending deletions of its index whenever another statement begins.
--   ids  json  a list of conversation ids
-- Index: conversations_id_key (unique, one lookup per id)
-- Rows: 0 to the length of ids, in any order (fewer: one was not found, or is not hidden), and by cascade everything that belongs to them
-- Differs: SQLite passes a list as JSON (json_each); PostgreSQL unnests an array
-- Allow: max-rows, at most one row per id passed in
DELETE FROM conversations
WHERE
    id IN (
        SELECT wanted.value
        FROM json_each(:ids) AS wanted
    )
    AND deleted_at IS NOT NULL
RETURNING id;

-- name: lock_conversations(ids)
-- Those of the given conversations that exist, locked until the transaction ends.
--   ids  json  a list of conversation ids
-- Index: conversations_id_key (unique, one lookup per id)
-- Rows: 0 to the length of ids
-- Differs: a SQLite writer already has the only write lock
-- Allow: max-rows, at most one row per id passed in
SELECT id
FROM conversations
WHERE id IN (SELECT wanted.value FROM json_each(:ids) AS wanted)
ORDER BY id;
