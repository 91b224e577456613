-- Conversations. Portable: every statement runs unchanged on every engine.

-- name: add_conversation(id, session_id, correlation_id, source, title, sanitization_version, metadata, created_at, updated_at, completed_at)^
-- Stores a conversation without messages; they are added separately.
--   id  text  supplied by the caller, or a time-ordered UUID; 1 to 200 characters
--   session_id  text?  the session that the conversation belongs to; 1 to 200 characters
--   correlation_id  text?  the caller's own key; unique if set
--   source  text  where the conversation came from; 1 to 200 characters
--   title  text?  at most 1000 characters
--   sanitization_version  text  version of the sanitization applied to the text; 1 to 100 characters
--   metadata  json  an object, at most 1 MiB
--   created_at  timestamp  when the conversation began
--   updated_at  timestamp  when it was last changed
--   completed_at  timestamp?  when it ended; NULL if it has not
-- Index: none (an insert)
-- Rows: 1
-- Record: Conversation
INSERT INTO conversations (
    id,
    session_id,
    correlation_id,
    source,
    title,
    sanitization_version,
    metadata,
    created_at,
    updated_at,
    completed_at
)
VALUES (
    :id,
    :session_id,
    :correlation_id,
    :source,
    :title,
    :sanitization_version,
    :metadata,
    :created_at,
    :updated_at,
    :completed_at
)
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

-- name: get_conversation(id)^
-- One conversation, deleted or not.
--   id  text  id of the conversation
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1
-- Record: Conversation
SELECT
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
    deleted_at
FROM conversations
WHERE id = :id;

-- name: find_conversation_by_correlation(correlation_id)^
-- The conversation with a correlation id, deleted or not.
--   correlation_id  text  the caller's own key
-- Index: conversations_correlation_id_key (unique)
-- Rows: 0 or 1
-- Record: Conversation
SELECT
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
    deleted_at
FROM conversations
WHERE
    correlation_id = :correlation_id
    AND correlation_id IS NOT NULL;

-- name: list_conversations(session_id, source, created_from, before_created_at, before_id, max_rows)
-- One page of the conversations that are not deleted, newest first.
-- With a session, the source is compared by BETWEEN, so that the planner does not choose the index on the source, which
-- has more rows per value than a session (perf/optional_lines.py: 120 ms instead of 0.2).
--   session_id  text  only in this session
--   source  text  only from this source
--   created_from  timestamp  lower bound of created_at, inclusive
--   before_created_at  timestamp  rows older than (before_created_at, before_id); for the first page, the end of the time range
--   before_id  text  '' for the first page
--   max_rows  integer  1 to 1001
-- Index: conversations_created_at_id_idx (range scan, no sort)
--   with session_id: conversations_session_id_created_at_id_idx (range scan, no sort)
--   with source: conversations_source_created_at_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Conversation
SELECT
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
    deleted_at
FROM conversations
WHERE
    deleted_at IS NULL
    AND session_id = :session_id -- if: session_id
    AND source = :source -- if: source, not session_id
    AND source BETWEEN :source AND :source -- if: source, session_id
    AND created_at >= :created_from
    AND (created_at, id) < (:before_created_at, :before_id)
ORDER BY created_at DESC, id DESC
LIMIT :max_rows;

-- name: list_deleted_conversations(session_id, source, created_from, before_created_at, before_id, max_rows)
-- One page of the soft-deleted conversations, newest first; a filter reads all of them.
--   session_id  text  only in this session
--   source  text  only from this source
--   created_from  timestamp  lower bound of created_at, inclusive
--   before_created_at  timestamp  rows older than (before_created_at, before_id); for the first page, the end of the time range
--   before_id  text  '' for the first page
--   max_rows  integer  1 to 1001
-- Index: conversations_deleted_created_at_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Conversation
SELECT
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
    deleted_at
FROM conversations
WHERE
    deleted_at IS NOT NULL
    AND session_id = :session_id -- if: session_id
    AND source = :source -- if: source
    AND created_at >= :created_from
    AND (created_at, id) < (:before_created_at, :before_id)
ORDER BY created_at DESC, id DESC
LIMIT :max_rows;

-- name: count_conversations(session_id, source, created_from, created_before)$
-- The number of conversations that are not deleted. list_conversations explains BETWEEN.
--   session_id  text  only in this session
--   source  text  only from this source
--   created_from  timestamp  lower bound of created_at, inclusive
--   created_before  timestamp  upper bound of created_at, exclusive
-- Index: conversations_created_at_id_idx (range scan)
--   with session_id: conversations_session_id_created_at_id_idx (range scan)
--   with source: conversations_source_created_at_id_idx (range scan)
-- Rows: 1
SELECT count(*) AS conversation_count
FROM conversations
WHERE
    deleted_at IS NULL
    AND session_id = :session_id -- if: session_id
    AND source = :source -- if: source, not session_id
    AND source BETWEEN :source AND :source -- if: source, session_id
    AND created_at >= :created_from
    AND created_at < :created_before;

-- name: count_deleted_conversations(session_id, source, created_from, created_before)$
-- The number of soft-deleted conversations; a filter reads all of them.
--   session_id  text  only in this session
--   source  text  only from this source
--   created_from  timestamp  lower bound of created_at, inclusive
--   created_before  timestamp  upper bound of created_at, exclusive
-- Index: conversations_deleted_created_at_id_idx (range scan)
-- Rows: 1
SELECT count(*) AS conversation_count
FROM conversations
WHERE
    deleted_at IS NOT NULL
    AND session_id = :session_id -- if: session_id
    AND source = :source -- if: source
    AND created_at >= :created_from
    AND created_at < :created_before;

-- name: update_conversation(id, session_id, correlation_id, source, title, metadata, now)^
-- Replaces the fields of a conversation that a caller may change.
--   id  text  id of the conversation
--   session_id  text?  the session that the conversation belongs to; 1 to 200 characters
--   correlation_id  text?  the caller's own key; unique if set
--   source  text  where the conversation came from; 1 to 200 characters
--   title  text?  at most 1000 characters
--   metadata  json  an object, at most 1 MiB
--   now  timestamp  the instant of the transaction
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1
-- Record: Conversation
UPDATE conversations
SET
    session_id = :session_id,
    correlation_id = :correlation_id,
    source = :source,
    title = :title,
    metadata = :metadata,
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

-- name: complete_conversation(id, now)^
-- Marks a conversation as completed. One that was already completed keeps its completion time.
--   id  text  id of the conversation
--   now  timestamp  the instant of the transaction
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1
-- Record: Conversation
UPDATE conversations
SET
    completed_at = coalesce(completed_at, :now),
    updated_at = :now
WHERE
    id = :id
    AND deleted_at IS NULL
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

-- name: soft_delete_conversation(id, now)^
-- Soft-deletes a conversation: hides it and, by a trigger, its learnings.
--   id  text  id of the conversation
--   now  timestamp  the instant of the transaction
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1 (0: not found, or already hidden)
-- Record: Conversation
UPDATE conversations
SET
    deleted_at = :now,
    updated_at = :now
WHERE
    id = :id
    AND deleted_at IS NULL
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

-- name: restore_conversation(id, now)^
-- Restores a soft-deleted conversation.
--   id  text  id of the conversation
--   now  timestamp  the instant of the transaction
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1 (0: not found, or not hidden)
-- Record: Conversation
UPDATE conversations
SET
    deleted_at = NULL,
    updated_at = :now
WHERE
    id = :id
    AND deleted_at IS NOT NULL
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

-- name: delete_conversation(id)!
-- Deletes a conversation permanently, with its messages, learnings, uploads and redactions.
--   id  text  id of the conversation
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1, and by cascade everything that belongs to it
DELETE FROM conversations
WHERE id = :id;

-- name: count_conversation_parts(id)^
-- The number of rows that would be deleted permanently with a conversation.
--   id  text  id of the conversation
-- Index: messages_conversation_id_branch_position_key, learnings_conversation_id_created_at_id_idx (ranges)
-- Rows: 1
SELECT
    (
        SELECT count(*)
        FROM messages
        WHERE conversation_id = :id
    ) AS messages,
    (
        SELECT count(*)
        FROM learnings
        WHERE conversation_id = :id
    ) AS learnings,
    (
        SELECT count(*)
        FROM uploads
        INNER JOIN learnings ON uploads.learning_id = learnings.id
        WHERE learnings.conversation_id = :id
    ) AS uploads,
    (
        SELECT count(*)
        FROM redactions
        WHERE conversation_id = :id
    ) AS redactions;

-- name: list_purgeable_conversations(deleted_before, max_rows)
-- Conversations that were soft-deleted before a given instant and are not on legal hold, longest hidden first.
--   deleted_before  timestamp  upper bound of deleted_at, exclusive
--   max_rows  integer  1 to 1000
-- Index: conversations_deleted_at_idx (range scan); sorts only rows deleted at the same instant
-- Rows: 0 to max_rows
SELECT id
FROM conversations
WHERE
    deleted_at IS NOT NULL
    AND deleted_at < :deleted_before
    AND NOT EXISTS (
        SELECT 1
        FROM legal_holds
        WHERE
            legal_holds.conversation_id = conversations.id
            AND legal_holds.released_at IS NULL
    )
ORDER BY deleted_at, id
LIMIT :max_rows;
