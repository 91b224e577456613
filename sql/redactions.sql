-- Redactions: what sanitization replaced. Portable: each statement runs as it stands on every engine.

-- name: add_redaction(id, conversation_id, message_id, category, rule, detector, original_hash, replacement, confidence, created_at)^
-- Notes one thing that sanitization replaced.
--   id  text  the caller's own, or a time-ordered UUID; 1 to 200 characters
--   conversation_id  text  which conversation
--   message_id  text?  which message of it; NULL: its title or metadata
--   category  text  what kind of thing it was; 1 to 200 characters
--   rule  text  which rule found it; 1 to 200 characters
--   detector  text  in which detector; 1 to 200 characters
--   original_hash  text  a (keyed) hash of the original, never the original; 16 to 200 characters
--   replacement  text  what stands there now; at most 1000 characters
--   confidence  real  0 to 1
--   created_at  timestamp  the instant of the transaction
-- Index: none (an insert)
-- Rows: 1
-- Record: Redaction
INSERT INTO redactions (
    id,
    conversation_id,
    message_id,
    category,
    rule,
    detector,
    original_hash,
    replacement,
    confidence,
    created_at
)
VALUES (
    :id,
    :conversation_id,
    :message_id,
    :category,
    :rule,
    :detector,
    :original_hash,
    :replacement,
    :confidence,
    :created_at
)
RETURNING
    id,
    conversation_id,
    message_id,
    category,
    rule,
    detector,
    original_hash,
    replacement,
    confidence,
    created_at;

-- name: find_conversation_of_message(message_id)$
-- Which conversation a message is in.
--   message_id  text  which message
-- Index: messages_id_key (unique)
-- Rows: 0 or 1
SELECT conversation_id
FROM messages
WHERE id = :message_id;

-- name: list_redactions_by_conversation(conversation_id, after_created_at, after_id, max_rows)
-- One page of a conversation's redactions, those of its messages included, oldest first.
--   conversation_id  text  which conversation
--   after_created_at  timestamp  the earliest instant for the first page
--   after_id  text  '' for the first page
--   max_rows  integer  1 to 1001
-- Index: redactions_conversation_id_created_at_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Redaction
SELECT
    id,
    conversation_id,
    message_id,
    category,
    rule,
    detector,
    original_hash,
    replacement,
    confidence,
    created_at
FROM redactions
WHERE
    conversation_id = :conversation_id
    AND (created_at, id) > (:after_created_at, :after_id)
ORDER BY created_at, id
LIMIT :max_rows;

-- name: list_redactions_by_message(message_id, after_created_at, after_id, max_rows)
-- One page of a message's redactions, oldest first.
--   message_id  text  which message
--   after_created_at  timestamp  the earliest instant for the first page
--   after_id  text  '' for the first page
--   max_rows  integer  1 to 1001
-- Index: redactions_message_id_idx (search); sorts the redactions of one message
-- Rows: 0 to max_rows
-- Record: Redaction
SELECT
    id,
    conversation_id,
    message_id,
    category,
    rule,
    detector,
    original_hash,
    replacement,
    confidence,
    created_at
FROM redactions
WHERE
    message_id = :message_id
    AND (created_at, id) > (:after_created_at, :after_id)
ORDER BY created_at, id
LIMIT :max_rows;

-- name: count_redactions(conversation_id)$
-- How many redactions a conversation has, those of its messages included.
--   conversation_id  text  which conversation
-- Index: redactions_conversation_id_created_at_id_idx (range scan)
-- Rows: 1
SELECT count(*) AS redaction_count
FROM redactions
WHERE conversation_id = :conversation_id;
