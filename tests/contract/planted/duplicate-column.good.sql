-- name: get_title(id)^
-- One title.
--   id  integer  which one
-- Index: notes primary key (integer)
-- Rows: 0 or 1
SELECT
    notes.id,
    authors.id AS author_id
FROM notes
INNER JOIN authors ON notes.author_id = authors.id
WHERE notes.id = :id;
