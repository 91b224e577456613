-- name: list_titles(author_id)
-- An author's titles, oldest first.
--   author_id  integer  whose
-- Index: notes_author_id_idx (range scan, no sort)
-- Rows: one per note of the author
SELECT
    id,
    title
FROM notes
WHERE author_id = :author_id
ORDER BY created_at, id;
