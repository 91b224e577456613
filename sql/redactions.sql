-- Redactions: records of what sanitization replaced. Portable: every statement runs unchanged on every engine.

-- name: add_redaction(id, conversation_id, message_id, category, rule, detector, original_hash, replacement, confidence, created_at)^
-- Records one piece of text that sanitization replaced.
--   id  text  supplied by the caller, or a time-ordered UUID; 1 to 200 characters
--   conversation_id  text  id of the conversation
--   message_id  text?  a message of the conversation; NULL: the conversation's title or metadata
--   category  text  the kind of data that was replaced; 1 to 200 characters
--   rule  text  the rule that found it; 1 to 200 characters
--   detector  text  the detector that has the rule; 1 to 200 characters
--   original_hash  text  a hash (keyed or not) of the original, never the original itself; 16 to 200 characters
--   replacement  text  the text that replaced it; at most 1000 characters
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
-- The id of the conversation that a message belongs to.
--   message_id  text  id of the message
-- Index: messages_id_key (unique)
-- Rows: 0 or 1
SELECT conversation_id
FROM messages
WHERE id = :message_id;

-- name: list_redactions_by_conversation(conversation_id, after_created_at, after_id, max_rows)
-- One page of a conversation's redactions, including those of its messages, oldest first.
--   conversation_id  text  id of the conversation
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
--   message_id  text  id of the message
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
-- The number of redactions of a conversation, including those of its messages.
--   conversation_id  text  id of the conversation
-- Index: redactions_conversation_id_created_at_id_idx (range scan)
-- Rows: 1
SELECT count(*) AS redaction_count
FROM redactions
WHERE conversation_id = :conversation_id;
