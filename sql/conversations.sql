-- Conversations. Portable: each statement runs as it stands on every engine.

-- name: add_conversation(id, session_id, correlation_id, source, title, sanitization_version, metadata, created_at, updated_at, completed_at)^
-- Stores a conversation; its messages follow.
--   id  text  the caller's own, or a time-ordered UUID; 1 to 200 characters
--   session_id  text?  groups conversations; 1 to 200 characters
--   correlation_id  text?  the caller's own key, unique where given
--   source  text  where it came from; 1 to 200 characters
--   title  text?  at most 1000 characters
--   sanitization_version  text  which sanitization the text went through; 1 to 100 characters
--   metadata  json  an object, at most 1 MiB
--   created_at  timestamp  when it began
--   updated_at  timestamp  its last change
--   completed_at  timestamp?  its end, if it is over
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
    created_at,
    updated_at,
    completed_at,
    deleted_at;

-- name: get_conversation(id)^
-- One conversation, deleted or not.
--   id  text  which one
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
    created_at,
    updated_at,
    completed_at,
    deleted_at
FROM conversations
WHERE id = :id;

-- name: find_conversation_by_correlation(correlation_id)^
-- The conversation with the caller's own key, deleted or not.
--   correlation_id  text  the key
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
-- BETWEEN where a session is given: an index on the source, which has more rows than a session, shall not tempt the
-- planner (perf/optional_lines.py: 120 ms instead of 0.2).
--   session_id  text  only of this session
--   source  text  only of this source
--   created_from  timestamp  the earliest created_at, inclusive
--   before_created_at  timestamp  rows older than (before_created_at, before_id); first the end of the time range
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
-- One page of the soft-deleted conversations, newest first; a filter looks through all of them.
--   session_id  text  only of this session
--   source  text  only of this source
--   created_from  timestamp  the earliest created_at, inclusive
--   before_created_at  timestamp  rows older than (before_created_at, before_id); first the end of the time range
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
-- How many conversations are not deleted. BETWEEN: as in list_conversations.
--   session_id  text  only of this session
--   source  text  only of this source
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
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
-- How many conversations are soft-deleted; a filter looks through all of them.
--   session_id  text  only of this session
--   source  text  only of this source
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
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
-- Replaces what a caller may change.
--   id  text  which one
--   session_id  text?  groups conversations; 1 to 200 characters
--   correlation_id  text?  the caller's own key, unique where given
--   source  text  where it came from; 1 to 200 characters
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
    created_at,
    updated_at,
    completed_at,
    deleted_at;

-- name: complete_conversation(id, now)^
-- Marks a conversation as over; one that was over already keeps its time.
--   id  text  which one
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
    created_at,
    updated_at,
    completed_at,
    deleted_at;

-- name: soft_delete_conversation(id, now)^
-- Soft deletion: hides a conversation and (by a trigger) its learnings.
--   id  text  which one
--   now  timestamp  the instant of the transaction
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1 (0: there is none, or it is hidden already)
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
    created_at,
    updated_at,
    completed_at,
    deleted_at;

-- name: restore_conversation(id, now)^
-- Undoes a soft deletion.
--   id  text  which one
--   now  timestamp  the instant of the transaction
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1 (0: there is none, or it is not hidden)
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
    created_at,
    updated_at,
    completed_at,
    deleted_at;

-- name: delete_conversation(id)!
-- Deletes a conversation for good, with its messages, learnings, uploads and redactions.
--   id  text  which one
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1, and by cascade everything that belongs to it
DELETE FROM conversations
WHERE id = :id;

-- name: count_conversation_parts(id)^
-- How much goes when a conversation is deleted for good.
--   id  text  which one
-- Index: messages_conversation_id_position_key, learnings_conversation_id_created_at_id_idx (ranges)
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
-- The conversations that were soft-deleted before an instant and are not on legal hold, longest hidden first.
--   deleted_before  timestamp  the latest deleted_at, exclusive
--   max_rows  integer  1 to 1000
-- Index: conversations_deleted_at_idx (range scan); sorts only what was deleted at the same instant
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
