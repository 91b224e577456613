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
    branch,
    position,
    role,
    content,
    content_hash,
    token_count,
    parts,
    metadata,
    created_at,
    source_id,
    partial
FROM messages
WHERE id = :id;

-- name: list_messages_after(conversation_id, branch, after_position, to_position, max_rows)
-- One page of a branch's own messages, oldest first; continue with the last position returned.
-- Without a branch: of branch 0 while it is the active branch, and no row while another one is (see list_branch_segments).
--   conversation_id  text  id of the conversation
--   branch  integer  the branch that the messages were appended to
--   after_position  integer  0 for the first page
--   to_position  integer  the last position, inclusive; 2^53 for no bound
--   max_rows  integer  1 to 1001
-- Index: messages_conversation_id_branch_position_key (range scan, no sort), conversations_id_key
--   with branch: messages_conversation_id_branch_position_key (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Message
SELECT
    id,
    conversation_id,
    branch,
    position,
    role,
    content,
    content_hash,
    token_count,
    parts,
    metadata,
    created_at,
    source_id,
    partial
FROM messages
WHERE
    conversation_id = :conversation_id
    AND branch = (SELECT conversations.active_branch FROM conversations WHERE conversations.id = :conversation_id AND conversations.active_branch = 0) -- if: not branch
    AND branch = :branch -- if: branch
    AND position > :after_position
    AND position <= :to_position
ORDER BY position
LIMIT :max_rows;

-- name: list_messages_before(conversation_id, branch, before_position, max_rows)
-- One page of a branch's own messages, newest first; continue with the last position returned.
-- Without a branch: of the active one. What it shares with its parent follows (see list_branch_segments).
--   conversation_id  text  id of the conversation
--   branch  integer  the branch that the messages were appended to
--   before_position  integer  2^53 for the last page
--   max_rows  integer  1 to 1001
-- Index: messages_conversation_id_branch_position_key (range scan, no sort), conversations_id_key
--   with branch: messages_conversation_id_branch_position_key (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Message
SELECT
    id,
    conversation_id,
    branch,
    position,
    role,
    content,
    content_hash,
    token_count,
    parts,
    metadata,
    created_at,
    source_id,
    partial
FROM messages
WHERE
    conversation_id = :conversation_id
    AND branch = (SELECT conversations.active_branch FROM conversations WHERE conversations.id = :conversation_id) -- if: not branch
    AND branch = :branch -- if: branch
    AND position < :before_position
ORDER BY position DESC
LIMIT :max_rows;

-- name: list_messages_by_time_after(conversation_id, branch, created_from, created_before, after_created_at, after_id, max_rows)
-- One page of a branch by time, oldest first. Reads the times of all branches, which one index has.
--   conversation_id  text  id of the conversation
--   branch  integer?  which branch; NULL: the active one
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
--   after_created_at  timestamp  the earliest instant for the first page
--   after_id  text  '' for the first page
--   max_rows  integer  1 to 1001
-- Index: messages_conversation_id_created_at_id_idx (range scan, no sort), conversations_id_key, branches primary key
-- Rows: 0 to max_rows
-- Record: Message
WITH RECURSIVE lineage (branch, to_position) AS (
    SELECT
        coalesce(CAST(:branch AS BIGINT), conversations.active_branch),
        CAST(9007199254740992 AS BIGINT)
    FROM conversations
    WHERE
        conversations.id = :conversation_id
        AND (
            coalesce(CAST(:branch AS BIGINT), 0) = 0
            OR EXISTS (
                SELECT 1
                FROM branches
                WHERE
                    branches.conversation_id = :conversation_id
                    AND branches.branch = coalesce(CAST(:branch AS BIGINT), 0)
            )
        )
    UNION ALL
    SELECT
        coalesce((
            SELECT branches.parent_branch
            FROM branches
            WHERE branches.conversation_id = :conversation_id AND branches.branch = lineage.branch
        ), 0),
        coalesce((
            SELECT branches.fork_position
            FROM branches
            WHERE branches.conversation_id = :conversation_id AND branches.branch = lineage.branch
        ), 0)
    FROM lineage
    WHERE lineage.branch > 0
)

SELECT
    id,
    conversation_id,
    branch,
    position,
    role,
    content,
    content_hash,
    token_count,
    parts,
    metadata,
    created_at,
    source_id,
    partial
FROM messages
WHERE
    conversation_id = :conversation_id
    AND (created_at, id) > (:after_created_at, :after_id)
    AND created_at >= :created_from
    AND created_at < :created_before
    AND (
        (SELECT conversations.last_branch + coalesce(:branch, 0) FROM conversations WHERE conversations.id = :conversation_id) = 0
        OR EXISTS (SELECT 1 FROM lineage WHERE lineage.branch = messages.branch AND lineage.to_position >= messages.position)
    )
ORDER BY created_at, id
LIMIT :max_rows;

-- name: list_messages_by_time_before(conversation_id, branch, created_from, created_before, before_created_at, before_id, max_rows)
-- One page of a branch by time, newest first. Reads the times of all branches, which one index has.
--   conversation_id  text  id of the conversation
--   branch  integer?  which branch; NULL: the active one
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
--   before_created_at  timestamp  the latest instant for the first page
--   before_id  text  '' for the first page
--   max_rows  integer  1 to 1001
-- Index: messages_conversation_id_created_at_id_idx (range scan, no sort), conversations_id_key, branches primary key
-- Rows: 0 to max_rows
-- Record: Message
WITH RECURSIVE lineage (branch, to_position) AS (
    SELECT
        coalesce(CAST(:branch AS BIGINT), conversations.active_branch),
        CAST(9007199254740992 AS BIGINT)
    FROM conversations
    WHERE
        conversations.id = :conversation_id
        AND (
            coalesce(CAST(:branch AS BIGINT), 0) = 0
            OR EXISTS (
                SELECT 1
                FROM branches
                WHERE
                    branches.conversation_id = :conversation_id
                    AND branches.branch = coalesce(CAST(:branch AS BIGINT), 0)
            )
        )
    UNION ALL
    SELECT
        coalesce((
            SELECT branches.parent_branch
            FROM branches
            WHERE branches.conversation_id = :conversation_id AND branches.branch = lineage.branch
        ), 0),
        coalesce((
            SELECT branches.fork_position
            FROM branches
            WHERE branches.conversation_id = :conversation_id AND branches.branch = lineage.branch
        ), 0)
    FROM lineage
    WHERE lineage.branch > 0
)

SELECT
    id,
    conversation_id,
    branch,
    position,
    role,
    content,
    content_hash,
    token_count,
    parts,
    metadata,
    created_at,
    source_id,
    partial
FROM messages
WHERE
    conversation_id = :conversation_id
    AND (created_at, id) < (:before_created_at, :before_id)
    AND created_at >= :created_from
    AND created_at < :created_before
    AND (
        (SELECT conversations.last_branch + coalesce(:branch, 0) FROM conversations WHERE conversations.id = :conversation_id) = 0
        OR EXISTS (SELECT 1 FROM lineage WHERE lineage.branch = messages.branch AND lineage.to_position >= messages.position)
    )
ORDER BY created_at DESC, id DESC
LIMIT :max_rows;

-- name: find_message_by_source(conversation_id, branch, source_id)^
-- The message with an id of its source among a branch's own messages.
--   conversation_id  text  id of the conversation
--   branch  integer  the branch that the message was appended to
--   source_id  text  the id that the message has where it was imported from
-- Index: messages_conversation_id_branch_source_id_key (unique)
-- Rows: 0 or 1
-- Record: Message
SELECT
    id,
    conversation_id,
    branch,
    position,
    role,
    content,
    content_hash,
    token_count,
    parts,
    metadata,
    created_at,
    source_id,
    partial
FROM messages
WHERE
    conversation_id = :conversation_id
    AND branch = :branch
    AND source_id = :source_id
    AND source_id IS NOT NULL;

-- name: count_messages(conversation_id, branch)$
-- The number of messages of a branch. Triggers maintain the number of a conversation without a fork.
--   conversation_id  text  id of the conversation
--   branch  integer?  which branch; NULL: the active one
-- Index: conversations_id_key (unique), branches primary key, messages_conversation_id_branch_position_key (one range per fork)
-- Rows: 0 or 1 (NULL: there is no such branch)
WITH RECURSIVE lineage (branch, to_position) AS (
    SELECT
        coalesce(CAST(:branch AS BIGINT), conversations.active_branch),
        CAST(9007199254740992 AS BIGINT)
    FROM conversations
    WHERE
        conversations.id = :conversation_id
        AND (
            coalesce(CAST(:branch AS BIGINT), 0) = 0
            OR EXISTS (
                SELECT 1
                FROM branches
                WHERE
                    branches.conversation_id = :conversation_id
                    AND branches.branch = coalesce(CAST(:branch AS BIGINT), 0)
            )
        )
    UNION ALL
    SELECT
        coalesce((
            SELECT branches.parent_branch
            FROM branches
            WHERE branches.conversation_id = :conversation_id AND branches.branch = lineage.branch
        ), 0),
        coalesce((
            SELECT branches.fork_position
            FROM branches
            WHERE branches.conversation_id = :conversation_id AND branches.branch = lineage.branch
        ), 0)
    FROM lineage
    WHERE lineage.branch > 0
)

SELECT
    CASE
        WHEN conversations.last_branch + coalesce(:branch, 0) = 0 THEN conversations.message_count
        ELSE (
            SELECT
                CAST(
                    sum((
                        SELECT count(*)
                        FROM messages
                        WHERE
                            messages.conversation_id = :conversation_id
                            AND messages.branch = lineage.branch
                            AND messages.position <= lineage.to_position
                    )) AS BIGINT
                )
            FROM lineage
        )
    END AS message_count
FROM conversations
WHERE conversations.id = :conversation_id;

-- name: count_all_messages()$
-- The number of stored messages, including those of deleted conversations.
-- Index: none (adds message_count of every conversation, including deleted ones)
-- Rows: 1
-- Allow: full-scan, a report; it reads one row per conversation, not one per message
SELECT CAST(coalesce(sum(message_count), 0) AS BIGINT) AS message_count
FROM conversations;

-- name: update_message_content(id, content, content_hash, token_count, parts)^
-- Replaces a message's text and parts, with more sanitized ones or with those of the finished message.
--   id  text  id of the message
--   content  text  sanitized text, 1 byte to 1 MiB of UTF-8; may be '' with parts
--   content_hash  text  SHA-256, lower-case hex
--   token_count  integer  0 or more
--   parts  json?  a list, at most 1 MiB; NULL for plain text
-- Index: messages_id_key (unique)
-- Rows: 0 or 1
-- Record: Message
UPDATE messages
SET
    content = :content,
    content_hash = :content_hash,
    token_count = :token_count,
    parts = :parts
WHERE id = :id
RETURNING
    id,
    conversation_id,
    branch,
    position,
    role,
    content,
    content_hash,
    token_count,
    parts,
    metadata,
    created_at,
    source_id,
    partial;

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
    branch,
    position,
    role,
    content,
    content_hash,
    token_count,
    parts,
    metadata,
    created_at,
    source_id,
    partial;

-- name: delete_message(id)$
-- Deletes a message permanently; its position is not reused.
--   id  text  id of the message
-- Index: messages_id_key (unique)
-- Rows: 0 or 1: the id of its conversation
DELETE FROM messages
WHERE id = :id
RETURNING conversation_id;

-- name: extend_message(id, content, token_count)!
-- Adds text to a partial message. Its hash and its words are written once, by the end of the message.
--   id  text  id of the message
--   content  text  sanitized text
--   token_count  integer  the tokens of the text, 0 or more
-- Index: messages_id_key (unique)
-- Rows: 0 or 1 (0: not found, or finished)
UPDATE messages
SET
    content = content || :content,
    token_count = token_count + :token_count
WHERE
    id = :id
    AND partial = 1;

-- name: finish_message(id, read_length, content, content_hash, token_count, parts, metadata)^
-- Ends a partial message: no text is added to it from now on.
--   id  text  id of the message
--   read_length  integer  the number of characters of its text when it was read; more were added since if it is longer now
--   content  text  the whole text, 1 byte to 1 MiB of UTF-8; may be '' with parts
--   content_hash  text  SHA-256, lower-case hex
--   token_count  integer  0 or more
--   parts  json?  a list, at most 1 MiB; NULL for plain text
--   metadata  json  an object, at most 1 MiB
-- Index: messages_id_key (unique)
-- Rows: 0 or 1 (0: not found, finished, or longer)
-- Record: Message
UPDATE messages
SET
    partial = 0,
    content = :content,
    content_hash = :content_hash,
    token_count = :token_count,
    parts = :parts,
    metadata = :metadata
WHERE
    id = :id
    AND partial = 1
    AND length(content) = :read_length
RETURNING
    id,
    conversation_id,
    branch,
    position,
    role,
    content,
    content_hash,
    token_count,
    parts,
    metadata,
    created_at,
    source_id,
    partial;

-- name: list_partial_messages(after_created_at, after_id, max_rows)
-- One page of the messages that are not finished, oldest first: they are being written, or their writer has crashed.
--   after_created_at  timestamp  the earliest instant for the first page
--   after_id  text  '' for the first page
--   max_rows  integer  1 to 1001
-- Index: messages_partial_created_at_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Message
SELECT
    id,
    conversation_id,
    branch,
    position,
    role,
    content,
    content_hash,
    token_count,
    parts,
    metadata,
    created_at,
    source_id,
    partial
FROM messages
WHERE
    partial = 1
    AND (created_at, id) > (:after_created_at, :after_id)
ORDER BY created_at, id
LIMIT :max_rows;
