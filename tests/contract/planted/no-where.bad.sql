-- name: delete_notes()!
-- Deletes notes.
-- Index: none (all of them)
-- Rows: any number
DELETE FROM notes;
