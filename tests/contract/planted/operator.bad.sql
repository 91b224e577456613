-- name: get_title(id)!
-- One title.
--   id  integer  which one
-- Index: notes primary key (integer)
-- Rows: 0 or 1
SELECT
    id,
    title
FROM notes
WHERE id = :id;

-- name: delete_note(id)
-- Deletes a note.
--   id  integer  which one
-- Index: notes primary key (integer)
-- Rows: 0 or 1
DELETE FROM notes
WHERE id = :id;

-- name: add_author(name)<!
-- Adds an author.
--   name  text  what to call them
-- Index: none (an insert)
-- Rows: 1
INSERT INTO authors (name) VALUES (:name);
