-- name: get_title(id)^
-- One title.
--   id  integer  which one
-- Index: notes primary key (integer)
-- Rows: 0 or 1
SELECT
    id,
    json_extract(body, '$.lines') AS line_count
FROM notes
WHERE id = :id;
