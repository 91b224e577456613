-- name: get_title(author_id)^
-- One title.
--   author_id  integer  whose
-- Index: notes_author_id_idx (range scan)
-- Rows: 0 or 1
SELECT
    id,
    title
FROM notes
WHERE author_id = :author_id;
