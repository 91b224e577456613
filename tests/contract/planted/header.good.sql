-- name: list_titles(author_id, max_rows)
-- An author's titles, oldest first.
--   author_id  integer  whose
--   max_rows  integer  1 to 1000
-- Index: notes_author_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
SELECT
    id,
    title
FROM notes
WHERE author_id = :author_id
ORDER BY created_at, id
LIMIT :max_rows;

-- name: get_title(id)^
-- One title.
--   id  integer  which one
-- Index: notes primary key (integer)
-- Rows: 0 or 1
SELECT
    id,
    title
FROM notes
WHERE id = :id;
