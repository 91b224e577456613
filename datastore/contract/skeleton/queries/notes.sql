-- name: add_note(id, conversation_id, stars, text, now)^
-- Stores a note.
--   id  text  a time-ordered UUID
--   conversation_id  text  which conversation
--   stars  integer?  1 to 5
--   text  text  what it says
--   now  timestamp  the instant of the transaction
-- Index: none (an insert)
-- Rows: 1
-- Record: Note
INSERT INTO notes (id, conversation_id, stars, text, created_at)
VALUES (:id, :conversation_id, :stars, :text, :now)
RETURNING
    id,
    conversation_id,
    stars,
    text,
    created_at;

-- name: list_notes(conversation_id, min_stars, after_created_at, after_id, max_rows)
-- The notes on a conversation, oldest first.
--   conversation_id  text  which conversation
--   min_stars  integer  minimum number of stars
--   after_created_at  timestamp  the page before ends at a note of this instant
--   after_id  text  and of this id
--   max_rows  integer  1 to 1001
-- Index: notes_conversation_id_created_at_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Note
SELECT
    id,
    conversation_id,
    stars,
    text,
    created_at
FROM notes
WHERE
    conversation_id = :conversation_id
    AND stars >= :min_stars -- if: min_stars
    AND (created_at, id) > (:after_created_at, :after_id) -- if: after_created_at, after_id
ORDER BY created_at, id
LIMIT :max_rows;

-- name: rate_conversation(conversation_id)^
-- The number of notes on a conversation, and the average of their stars.
--   conversation_id  text  which conversation
-- Index: notes_conversation_id_created_at_id_idx (range scan)
-- Rows: 1
SELECT
    CAST(avg(stars) AS DOUBLE PRECISION) AS average_stars,
    count(*) AS note_count
FROM notes
WHERE conversation_id = :conversation_id;
