-- name: list_untitled(max_rows)
-- Notes without a body, by id.
--   max_rows  integer  1 to 1000
-- Index: none (reads them all)
-- Rows: 0 to max_rows
-- Allow: full-scan, a report that a person starts
SELECT
    id,
    title
FROM notes
WHERE body IS NULL
ORDER BY id
LIMIT :max_rows;
