-- Legal holds. Portable: every statement runs unchanged on every engine.

-- name: add_legal_hold(id, conversation_id, reason, placed_by, placed_at)^
-- Places a hold that prevents a conversation from being deleted or changed. If one is in force, returns it unchanged.
--   id  text  a time-ordered UUID
--   conversation_id  text  id of the conversation
--   reason  text  why, without content; 1 to 1000 characters
--   placed_by  text  the name that the store was opened with
--   placed_at  timestamp  the instant of the transaction
-- Index: legal_holds_conversation_id_key (unique; decides the conflict)
-- Rows: 1
-- Record: LegalHold
-- Locks: the DO UPDATE changes nothing, but waits for any transaction that is placing or releasing a hold on the conversation
INSERT INTO legal_holds (
    id,
    conversation_id,
    reason,
    placed_by,
    placed_at
)
VALUES (
    :id,
    :conversation_id,
    :reason,
    :placed_by,
    :placed_at
)
ON CONFLICT (conversation_id) WHERE released_at IS NULL DO UPDATE
SET released_at = legal_holds.released_at
RETURNING
    id,
    conversation_id,
    reason,
    placed_by,
    placed_at,
    released_by,
    released_at;

-- name: find_legal_hold(conversation_id)^
-- The hold in force on a conversation.
--   conversation_id  text  id of the conversation
-- Index: legal_holds_conversation_id_key (unique)
-- Rows: 0 or 1
-- Record: LegalHold
SELECT
    id,
    conversation_id,
    reason,
    placed_by,
    placed_at,
    released_by,
    released_at
FROM legal_holds
WHERE
    conversation_id = :conversation_id
    AND released_at IS NULL;

-- name: release_legal_hold(conversation_id, released_by, released_at)^
-- Ends the hold on a conversation.
--   conversation_id  text  id of the conversation
--   released_by  text  the name that the store was opened with
--   released_at  timestamp  the instant of the transaction
-- Index: legal_holds_conversation_id_key (unique)
-- Rows: 0 or 1 (0: not on hold)
-- Record: LegalHold
UPDATE legal_holds
SET
    released_by = :released_by,
    released_at = :released_at
WHERE
    conversation_id = :conversation_id
    AND released_at IS NULL
RETURNING
    id,
    conversation_id,
    reason,
    placed_by,
    placed_at,
    released_by,
    released_at;

-- name: list_legal_holds(after_placed_at, after_id, max_rows)
-- One page of the holds in force, oldest first.
--   after_placed_at  timestamp  rows newer than (after_placed_at, after_id); the earliest instant for the first page
--   after_id  text  '' for the first page
--   max_rows  integer  1 to 1001
-- Index: legal_holds_placed_at_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: LegalHold
SELECT
    id,
    conversation_id,
    reason,
    placed_by,
    placed_at,
    released_by,
    released_at
FROM legal_holds
WHERE
    released_at IS NULL
    AND (placed_at, id) > (:after_placed_at, :after_id)
ORDER BY placed_at, id
LIMIT :max_rows;
