-- Branches. Portable: every statement runs unchanged on every engine.

-- name: add_branch(conversation_id, parent_branch, fork_position, created_at, label)^
-- Stores a branch with the next number of its conversation. A fork is this row, whatever the number of shared messages.
--   conversation_id  text  a conversation that is not deleted
--   parent_branch  integer  the branch that owns the message at fork_position
--   fork_position  integer  the last shared position; 0 shares none
--   created_at  timestamp  when it was forked
--   label  text?  1 to 200 characters
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1 (0: not found, or deleted)
-- Record: Branch
INSERT INTO branches (
    conversation_id,
    branch,
    parent_branch,
    fork_position,
    last_position,
    created_at,
    label
)
SELECT
    conversations.id,
    conversations.last_branch + 1,
    :parent_branch,
    :fork_position,
    :fork_position,
    :created_at,
    :label
FROM conversations
WHERE
    conversations.id = :conversation_id
    AND conversations.deleted_at IS NULL
RETURNING
    conversation_id,
    branch,
    parent_branch,
    fork_position,
    last_position,
    created_at,
    label;

-- name: list_branches(conversation_id, after_branch, max_rows)
-- One page of the branches of a conversation by number. Branch 0 has no row of its own.
--   conversation_id  text  id of the conversation
--   after_branch  integer  -1 for the first page
--   max_rows  integer  1 to 1001
-- Index: conversations_id_key (unique), branches primary key (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Branch
-- Allow: limit-order, a number occurs once in a conversation
SELECT
    conversation_id,
    branch,
    parent_branch,
    fork_position,
    last_position,
    created_at,
    label
FROM (
    SELECT
        conversations.id AS conversation_id,
        CAST(0 AS BIGINT) AS branch,
        CAST(NULL AS BIGINT) AS parent_branch,
        CAST(0 AS BIGINT) AS fork_position,
        conversations.last_position,
        conversations.created_at,
        CAST(NULL AS TEXT) AS label
    FROM conversations
    WHERE
        conversations.id = :conversation_id
        AND :after_branch < 0
    UNION ALL
    SELECT
        conversation_id,
        branch,
        parent_branch,
        fork_position,
        last_position,
        created_at,
        label
    FROM branches
    WHERE
        conversation_id = :conversation_id
        AND branch > :after_branch
) AS every_branch
ORDER BY branch
LIMIT :max_rows;

-- name: list_branch_segments(conversation_id, branch)
-- What a branch consists of, the newest part first: its own messages, then those of each ancestor up to the fork. The messages
-- of a segment are those of its branch up to to_position.
--   conversation_id  text  id of the conversation
--   branch  integer?  which branch; NULL: the active one
-- Index: conversations_id_key (unique), branches primary key (two lookups per fork); sorts one row per fork
-- Rows: 0 to the number of forks and one (0: there is no such conversation or branch)
-- Record: Segment
-- Allow: max-rows, one row per fork that the branch descends from
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
    lineage.branch,
    lineage.to_position
FROM lineage
ORDER BY lineage.to_position DESC;

-- name: activate_branch(conversation_id, branch, now)!
-- Makes a branch the one that calls without a branch read and append to.
--   conversation_id  text  a conversation that is not deleted
--   branch  integer  0, or the number of a branch
--   now  timestamp  the instant of the transaction
-- Index: conversations_id_key (unique), branches primary key
-- Rows: 0 or 1 (0: not found, or deleted)
UPDATE conversations
SET
    active_branch = :branch,
    updated_at = :now
WHERE
    id = :conversation_id
    AND deleted_at IS NULL
    AND (
        :branch = 0
        OR EXISTS (SELECT 1 FROM branches WHERE branches.conversation_id = :conversation_id AND branches.branch = :branch)
    );

-- name: update_branch(conversation_id, branch, label)^
-- Replaces the label of a branch.
--   conversation_id  text  id of the conversation
--   branch  integer  number of the branch, 1 or more
--   label  text?  1 to 200 characters; NULL removes it
-- Index: branches primary key
-- Rows: 0 or 1
-- Record: Branch
UPDATE branches
SET label = :label
WHERE
    conversation_id = :conversation_id
    AND branch = :branch
RETURNING
    conversation_id,
    branch,
    parent_branch,
    fork_position,
    last_position,
    created_at,
    label;

-- name: count_branch_uses(conversation_id, branch)^
-- What prevents a branch from being deleted, and what would be deleted with it.
--   conversation_id  text  id of the conversation
--   branch  integer  number of the branch, 1 or more
-- Index: conversations_id_key (unique), branches primary key (range), messages_conversation_id_branch_position_key (range)
-- Rows: 0 or 1 (0: there is no such branch)
SELECT
    CAST(CASE WHEN conversations.active_branch = :branch THEN 1 ELSE 0 END AS BIGINT) AS active,
    (
        SELECT count(*)
        FROM branches AS forks
        WHERE
            forks.conversation_id = :conversation_id
            AND forks.branch > :branch
            AND forks.parent_branch = :branch
    ) AS forks,
    (
        SELECT count(*)
        FROM messages
        WHERE
            messages.conversation_id = :conversation_id
            AND messages.branch = :branch
    ) AS messages
FROM branches
CROSS JOIN conversations
WHERE
    branches.conversation_id = :conversation_id
    AND branches.branch = :branch
    AND conversations.id = :conversation_id;

-- name: delete_branch(conversation_id, branch)!
-- Deletes a branch permanently with its own messages.
--   conversation_id  text  id of the conversation
--   branch  integer  number of the branch, 1 or more
-- Index: branches primary key
-- Rows: 0 or 1, and by trigger its messages
DELETE FROM branches
WHERE
    conversation_id = :conversation_id
    AND branch = :branch;
