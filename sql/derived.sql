-- Derived data: what triggers keep, compared with what it is derived from, and rebuilt. Portable: each statement runs as it stands on every engine.

-- name: list_miscounted_conversations(max_rows)
-- Conversations whose message_count is not the number of their messages.
--   max_rows  integer  1 to 1000
-- Index: messages_conversation_id_position_key (one range per conversation)
-- Rows: 0 to max_rows, by id; [id, message_count, counted]
-- Allow: full-scan, a check that a person starts
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
-- Between which places on disk the messages are.
-- Index: messages primary key (both its ends)
-- Rows: 1
SELECT
    (SELECT coalesce(min(messages.seq), 0) FROM messages) AS first_seq,
    (SELECT coalesce(max(messages.seq), 0) FROM messages) AS last_seq;

-- name: list_message_hashes(after_seq, max_rows)
-- Some messages in the order in which they were stored, each with the hash that it should have.
--   after_seq  integer  messages behind this place; 0 for the first page
--   max_rows  integer  1 to 1000
-- Index: messages primary key (range scan, no sort)
-- Rows: 0 to max_rows
SELECT
    seq,
    id,
    content,
    content_hash
FROM messages
WHERE seq > :after_seq
ORDER BY seq
LIMIT :max_rows;

-- name: recount_conversations()!
-- Sets the message_count that is not the number of the conversation's messages.
-- Index: messages_conversation_id_position_key (one range per conversation)
-- Rows: one per conversation whose count was wrong
-- Allow: full-scan, once, where a person has what is derived made again
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
-- Empties the index of the learnings by tag, to fill it again in the same transaction.
-- Index: none (reads every row)
-- Rows: one per learning and tag
-- Allow: no-where, all of it is filled again
DELETE FROM learning_tags;

-- name: clear_job_counts()!
-- Forgets the counts of jobs, to count them again in the same transaction.
-- Index: none (reads every row)
-- Rows: 0 to five a type; on PostgreSQL to 64
-- Allow: no-where, all of them are counted again
DELETE FROM job_counts;

-- name: raise_audit_high_water(id)!
-- Notes how many entries the log was ever given in the database that was copied from; the number never goes back.
--   id  integer  how many
-- Index: audit_log_counter primary key (decides the conflict)
-- Rows: 0 or 1 (0: the number is as high already)
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
