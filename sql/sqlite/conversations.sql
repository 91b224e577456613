-- Conversations: what SQLite needs its own words for.

-- name: merge_conversation_metadata(id, patch, now)^
-- Merges an object into the metadata: RFC 7396, so a null removes its key.
--   id  text  which one
--   patch  json  an object
--   now  timestamp  the instant of the transaction
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1
-- Record: Conversation
-- Differs: json_patch is SQLite's; PostgreSQL has no merge patch and needs a function of its own
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
    created_at,
    updated_at,
    completed_at,
    deleted_at;

-- name: soft_delete_conversations(ids, now)
-- Soft deletion of many: hides conversations and (by a trigger) their learnings.
--   ids  json  a list of conversation ids
--   now  timestamp  the instant of the transaction
-- Index: conversations_id_key (unique, one look-up an id)
-- Rows: 0 to the length of ids (fewer: one is not there, or hidden already), in any order
-- Differs: json_each is SQLite's way to hand a list to one statement; PostgreSQL unnests an array
-- Allow: max-rows, at most one row for each id that is handed in
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
-- Which of some conversations may be deleted for good (they are hidden and not on legal hold), and how much goes with each.
--   ids  json  a list of conversation ids
-- Index: conversations_id_key (unique, one look-up an id); messages_conversation_id_position_key,
--   learnings_conversation_id_created_at_id_idx (ranges)
-- Rows: 0 to the length of ids, in any order
-- Differs: json_each is SQLite's way to hand a list to one statement; PostgreSQL unnests an array
-- Allow: max-rows, at most one row for each id that is handed in
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
-- Deletes many hidden conversations for good, with their messages, learnings, uploads and redactions. As one statement, because
-- FTS5 writes what its index is to forget whenever another statement begins.
--   ids  json  a list of conversation ids
-- Index: conversations_id_key (unique, one look-up an id)
-- Rows: 0 to the length of ids, in any order (fewer: one is not there, or not hidden), and by cascade what belongs to them
-- Differs: json_each is SQLite's way to hand a list to one statement; PostgreSQL unnests an array
-- Allow: max-rows, at most one row for each id that is handed in
DELETE FROM conversations
WHERE
    id IN (
        SELECT wanted.value
        FROM json_each(:ids) AS wanted
    )
    AND deleted_at IS NOT NULL
RETURNING id;

-- name: lock_conversations(ids)
-- Which of some conversations there are; nobody else changes them until the transaction ends.
--   ids  json  a list of conversation ids
-- Index: conversations_id_key (unique, one look-up an id)
-- Rows: 0 to the length of ids
-- Differs: whoever writes to SQLite has its one lock already
-- Allow: max-rows, at most one row for each id that is handed in
SELECT id
FROM conversations
WHERE id IN (SELECT wanted.value FROM json_each(:ids) AS wanted)
ORDER BY id;
