-- SET is no comparison.

-- name: clear_body(id)!
-- Forgets a note's body.
--   id  integer  which one
-- Index: notes primary key (integer)
-- Rows: 0 or 1
UPDATE notes
SET body = NULL
WHERE
    id = :id
    AND body IS NOT NULL;
