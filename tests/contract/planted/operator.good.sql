-- name: delete_note(id)$
-- Deletes a note.
--   id  integer  which one
-- Index: notes primary key (integer)
-- Rows: 0 or 1
DELETE FROM notes
WHERE id = :id
RETURNING title;
