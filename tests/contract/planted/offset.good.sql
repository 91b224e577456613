-- name: list_titles(author_id, after_created_at, after_id, max_rows)
-- An author's titles, oldest first.
--   author_id  integer  whose
--   after_created_at  timestamp  the last one returned
--   after_id  integer  the last one returned
--   max_rows  integer  1 to 1000
-- Index: notes_author_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
SELECT
    id,
    title
FROM notes
WHERE
    author_id = :author_id
    AND (created_at, id) > (:after_created_at, :after_id)
ORDER BY created_at, id
LIMIT :max_rows;
