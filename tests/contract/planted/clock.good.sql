-- name: list_titles(author_id, now, max_rows)
-- An author's titles, oldest first.
--   author_id  integer  whose
--   now  timestamp  the instant of the transaction
--   max_rows  integer  1 to 1000
-- Index: notes_author_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
SELECT
    id,
    title
FROM notes
WHERE
    author_id = :author_id
    AND created_at < :now
ORDER BY created_at, id
LIMIT :max_rows;
