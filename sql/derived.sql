-- Derived data: checks and rebuilds data that triggers maintain. Portable: every statement runs unchanged on every engine.

-- name: list_miscounted_conversations(max_rows)
-- Conversations whose message_count differs from the number of their messages.
--   max_rows  integer  1 to 1000
-- Index: messages_conversation_id_branch_position_key (one range per conversation)
-- Rows: 0 to max_rows, by id; [id, message_count, counted]
-- Allow: full-scan, a check that an operator starts
SELECT
    conversations.id,
    conversations.message_count,
    (
        SELECT count(*)
        FROM messages
        WHERE messages.conversation_id = conversations.id
    ) AS counted
FROM conversations
WHERE
    conversations.message_count <> (
        SELECT count(*)
        FROM messages
        WHERE messages.conversation_id = conversations.id
    )
ORDER BY conversations.id
LIMIT :max_rows;

-- name: get_message_places()^
-- The lowest and the highest seq (place on disk) of the messages.
-- Index: messages primary key (one lookup at each end)
-- Rows: 1
SELECT
    (SELECT coalesce(min(messages.seq), 0) FROM messages) AS first_seq,
    (SELECT coalesce(max(messages.seq), 0) FROM messages) AS last_seq;

-- name: list_message_hashes(after_seq, max_rows)
-- One page of the finished messages in the order in which they were stored, each with the hash that it should have.
--   after_seq  integer  return messages after this place; 0 for the first page
--   max_rows  integer  1 to 1000
-- Index: messages primary key (range scan, no sort)
-- Rows: 0 to max_rows
SELECT
    seq,
    id,
    content,
    content_hash,
    parts
FROM messages
WHERE
    seq > :after_seq
    AND partial = 0
ORDER BY seq
LIMIT :max_rows;

-- name: list_broken_branches(max_rows)
-- Branches that contradict their conversation, their parent or their messages, and numbers of branches that do not exist.
--   max_rows  integer  1 to 1000
-- Index: conversations_id_key, branches primary key, messages_conversation_id_branch_position_key; sorts what is broken
-- Rows: 0 to max_rows, by conversation and branch
-- Allow: full-scan, a check that an operator starts
SELECT
    broken.conversation_id,
    broken.branch
FROM (
    SELECT
        branches.conversation_id,
        branches.branch
    FROM branches
    CROSS JOIN conversations
    WHERE
        conversations.id = branches.conversation_id
        AND (
            branches.branch > conversations.last_branch
            OR branches.last_position < (
                SELECT coalesce(max(messages.position), 0)
                FROM messages
                WHERE messages.conversation_id = branches.conversation_id AND messages.branch = branches.branch
            )
            OR branches.fork_position >= (
                SELECT coalesce(min(messages.position), 9007199254740992)
                FROM messages
                WHERE messages.conversation_id = branches.conversation_id AND messages.branch = branches.branch
            )
            OR (
                branches.parent_branch > 0
                AND NOT EXISTS (
                    SELECT 1
                    FROM branches AS parents
                    WHERE
                        parents.conversation_id = branches.conversation_id
                        AND parents.branch = branches.parent_branch
                        AND parents.fork_position < branches.fork_position
                )
            )
        )
    UNION
    SELECT
        conversations.id AS conversation_id,
        conversations.active_branch AS branch
    FROM conversations
    WHERE
        conversations.active_branch > 0
        AND NOT EXISTS (
            SELECT 1
            FROM branches
            WHERE branches.conversation_id = conversations.id AND branches.branch = conversations.active_branch
        )
    UNION
    SELECT
        messages.conversation_id,
        messages.branch
    FROM messages
    WHERE
        messages.branch > 0
        AND NOT EXISTS (
            SELECT 1
            FROM branches
            WHERE branches.conversation_id = messages.conversation_id AND branches.branch = messages.branch
        )
) AS broken
ORDER BY broken.conversation_id, broken.branch
LIMIT :max_rows;

-- name: recount_conversations()!
-- Corrects every message_count that differs from the number of the conversation's messages.
-- Index: messages_conversation_id_branch_position_key (one range per conversation)
-- Rows: one per conversation whose count was wrong
-- Allow: full-scan, runs only when an operator rebuilds derived data
UPDATE conversations
SET
    message_count = (
        SELECT count(*)
        FROM messages
        WHERE messages.conversation_id = conversations.id
    )
WHERE
    conversations.message_count <> (
        SELECT count(*)
        FROM messages
        WHERE messages.conversation_id = conversations.id
    );

-- name: clear_learning_tags()!
-- Empties the tag index of the learnings, which the same transaction fills again.
-- Index: none (reads every row)
-- Rows: one per learning and tag
-- Allow: no-where, the whole index is filled again
DELETE FROM learning_tags;

-- name: clear_job_counts()!
-- Sets the job counts to 0; the same transaction computes them again.
-- Index: none (reads every row)
-- Rows: 0 to five per type; on PostgreSQL, a few times as many
-- Allow: no-where, all jobs are counted again
-- Allow: full-scan, a few rows per type
UPDATE job_counts
SET job_count = 0;

-- name: clear_job_groups()!
-- Deletes the counts of live jobs per batch and sequence, which the same transaction computes again.
-- Index: none (reads every row)
-- Rows: one per batch and sequence with live jobs
-- Allow: no-where, all live jobs are counted again
DELETE FROM job_groups;

-- name: add_job_groups()!
-- Computes the counts of live jobs per batch and sequence after a copy, whose rows fired no trigger.
-- Index: job_queue_batch_id_status_idx (the jobs of every batch; reads every job for the sequences); sorts one row per batch and
--   sequence
-- Rows: one per batch and sequence with live jobs
-- Allow: full-scan, runs once, after a database was copied
INSERT INTO job_groups (kind, name, live)
SELECT
    'batch' AS kind,
    batch_id,
    count(*) AS live
FROM job_queue
WHERE
    batch_id IS NOT NULL
    AND finished_at IS NULL
GROUP BY batch_id
UNION ALL
SELECT
    'sequence' AS kind,
    sequence_key,
    count(*) AS live
FROM job_queue
WHERE
    sequence_key IS NOT NULL
    AND finished_at IS NULL
GROUP BY sequence_key;

-- name: list_miscounted_groups(max_rows)
-- Batches and sequences whose count differs from the number of their live jobs, and sequences in which not exactly one live job is
-- free to run.
--   max_rows  integer  1 to 1000
-- Index: job_queue_batch_id_status_idx (the jobs of every batch; reads every job for the sequences); sorts one row per batch and
--   sequence
-- Rows: 0 to max_rows, by kind and name
-- Allow: full-scan, a check that an operator starts
SELECT
    counts.kind,
    counts.name,
    CAST(sum(counts.kept) AS INTEGER) AS live,
    CAST(sum(counts.counted) AS INTEGER) AS counted,
    CAST(sum(counts.heads) AS INTEGER) AS heads
FROM (
    SELECT
        kind,
        name,
        live AS kept,
        0 AS counted,
        0 AS heads
    FROM job_groups
    UNION ALL
    SELECT
        'batch' AS kind,
        batch_id AS name,
        0 AS kept,
        1 AS counted,
        0 AS heads
    FROM job_queue
    WHERE
        batch_id IS NOT NULL
        AND finished_at IS NULL
    UNION ALL
    SELECT
        'sequence' AS kind,
        sequence_key AS name,
        0 AS kept,
        1 AS counted,
        CASE WHEN waits_for = 'sequence' THEN 0 ELSE 1 END AS heads
    FROM job_queue
    WHERE
        sequence_key IS NOT NULL
        AND finished_at IS NULL
) AS counts
GROUP BY counts.kind, counts.name
HAVING
    sum(counts.kept) <> sum(counts.counted)
    OR (counts.kind = 'sequence' AND sum(counts.heads) <> 1)
ORDER BY counts.kind, counts.name
LIMIT :max_rows;

-- name: raise_audit_high_water(id)!
-- Records the number of entries ever added to the log in the source database of a copy; the number never decreases.
--   id  integer  the number of entries
-- Index: audit_log_counter primary key (decides the conflict)
-- Rows: 0 or 1 (0: the number is already as high)
INSERT INTO audit_log_counter (name, last_id)
SELECT
    'audit_log' AS name,
    :id AS last_id
WHERE
    NOT EXISTS (
        SELECT 1
        FROM audit_log_counter
        WHERE
            name = 'audit_log'
            AND last_id >= :id
    )
ON CONFLICT (name) DO UPDATE SET last_id = excluded.last_id;
