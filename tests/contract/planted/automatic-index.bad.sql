-- name: list_namesakes(max_rows)
-- Notes titled with somebody's name.
--   max_rows  integer  1 to 1000
-- Index: none (reads all); sorts
-- Rows: 0 to max_rows
-- Allow: full-scan, a report that a person starts
SELECT
    authors.id,
    notes.title
FROM authors
CROSS JOIN notes
WHERE notes.title = authors.name
ORDER BY authors.id, notes.id
LIMIT :max_rows;
