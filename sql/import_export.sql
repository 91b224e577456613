-- Import and export: exact timestamps, gaps between positions, sources of learnings.
-- Portable: every statement runs unchanged on every engine.

-- name: list_message_keys(conversation_id, branch, from_position, to_position)
-- The keys that tell whether a message of a file is already stored.
--   conversation_id  text  id of the conversation
--   branch  integer  the branch that the messages were appended to
--   from_position  integer  the first position, inclusive
--   to_position  integer  the last position, inclusive
-- Index: messages_conversation_id_branch_position_key (range scan, no sort)
-- Rows: 0 to to_position - from_position + 1, by position
-- Record: MessageKey
-- Allow: max-rows, bounded by the two positions, because a position occurs once
SELECT
    id,
    branch,
    position,
    role,
    content_hash,
    source_id
FROM messages
WHERE
    conversation_id = :conversation_id
    AND branch = :branch
    AND position BETWEEN :from_position AND :to_position
ORDER BY position;

-- name: list_conversation_messages(conversation_id, after_branch, after_position, max_rows)
-- One page of all messages of a conversation, branch by branch.
--   conversation_id  text  id of the conversation
--   after_branch  integer  rows after (after_branch, after_position); 0 for the first page
--   after_position  integer  0 for the first page
--   max_rows  integer  1 to 1000
-- Index: messages_conversation_id_branch_position_key (range scan, no sort)
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
    AND (branch, position) > (:after_branch, :after_position)
ORDER BY branch, position
LIMIT :max_rows;

-- name: restore_branch(conversation_id, branch, parent_branch, fork_position, created_at, label)!
-- Stores a branch of an exported conversation under its number.
--   conversation_id  text  id of the conversation
--   branch  integer  1 or more
--   parent_branch  integer  the branch that owns the message at fork_position
--   fork_position  integer  the last shared position; 0 shares none
--   created_at  timestamp  when it was forked
--   label  text?  1 to 200 characters
-- Index: none (an insert)
-- Rows: 1
INSERT INTO branches (
    conversation_id,
    branch,
    parent_branch,
    fork_position,
    last_position,
    created_at,
    label
)
VALUES (
    :conversation_id,
    :branch,
    :parent_branch,
    :fork_position,
    :fork_position,
    :created_at,
    :label
);

-- name: set_branches(id, active_branch, last_branch)!
-- Sets the active branch of an imported conversation, and the number after which the next branch is numbered.
--   id  text  id of the conversation
--   active_branch  integer  0, or a branch of the conversation
--   last_branch  integer  the highest number that was ever used; it never decreases
-- Index: conversations_id_key (unique), branches primary key
-- Rows: 0 or 1 (0: there is no such conversation or branch)
UPDATE conversations
SET
    active_branch = :active_branch,
    last_branch = CASE WHEN last_branch < :last_branch THEN :last_branch ELSE last_branch END
WHERE
    id = :id
    AND (
        :active_branch = 0
        OR EXISTS (SELECT 1 FROM branches WHERE branches.conversation_id = :id AND branches.branch = :active_branch)
    );

-- name: set_branch_last_position(conversation_id, branch, last_position)!
-- Leaves a gap before the next message of a branch, where a message was deleted before the export.
--   conversation_id  text  id of the conversation
--   branch  integer  1 or more
--   last_position  integer  the next message gets the position after this one; it never decreases
-- Index: branches primary key
-- Rows: 0 or 1 (0: not found, or last_position is already as high)
UPDATE branches
SET last_position = :last_position
WHERE
    conversation_id = :conversation_id
    AND branch = :branch
    AND last_position < :last_position;

-- name: set_last_position(id, last_position)!
-- Leaves a gap before the next message of branch 0, where a message was deleted before the export.
--   id  text  id of the conversation
--   last_position  integer  the next message gets the position after this one; it never decreases
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1 (0: not found, or last_position is already as high)
UPDATE conversations
SET last_position = :last_position
WHERE
    id = :id
    AND last_position < :last_position;

-- name: set_conversation_times(id, updated_at, deleted_at)!
-- Sets the times of an imported conversation to those of the exported one; hides its learnings with it.
--   id  text  id of the conversation
--   updated_at  timestamp?  when it was last changed; NULL keeps the stored value
--   deleted_at  timestamp?  when it was soft-deleted; NULL if it was not
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1
UPDATE conversations
SET
    updated_at = coalesce(:updated_at, updated_at),
    deleted_at = :deleted_at
WHERE id = :id;

-- name: list_conversation_learnings(conversation_id)
-- Every learning of one conversation, whether or not it was soft-deleted with the conversation.
--   conversation_id  text  id of the conversation
-- Index: learnings_conversation_id_created_at_id_idx (range scan, no sort)
-- Rows: one per learning of the conversation, oldest first
-- Record: Learning
-- Allow: max-rows, an export writes a conversation as one document and needs all of them at once
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
-- The source messages of the learnings of one conversation.
--   conversation_id  text  id of the conversation
-- Index: learnings_conversation_id_created_at_id_idx, learning_messages primary key; sorts the rows of one conversation
-- Rows: one per learning and message
-- Allow: max-rows, an export writes a conversation as one document and needs all of them at once
SELECT
    learning_messages.learning_id,
    learning_messages.message_id
FROM learnings
CROSS JOIN learning_messages
WHERE
    learnings.conversation_id = :conversation_id
    AND learning_messages.learning_id = learnings.id
ORDER BY learning_messages.learning_id, learning_messages.message_id;
