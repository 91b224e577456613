-- name: get_title(id)^
-- One title.
--   id  integer  which one
-- Index: notes primary key (integer)
-- Rows: 0 or 1
-- Allow: one-rov, it is one
SELECT
    id,
    title
FROM notes
WHERE id = :id;

-- name: find_title(id)^
-- One title.
--   id  integer  which one
-- Index: notes primary key (integer)
-- Rows: 0 or 1
-- Allow: one-row
SELECT
    id,
    title
FROM notes
WHERE id = :id;

-- name: get_name(id)^
-- One title.
--   id  integer  which one
-- Index: notes primary key (integer)
-- Rows: 0 or 1
-- Allow: one-row, it is one
SELECT
    id,
    title
FROM notes
WHERE id = :id;

-- name: find_name(id)^
-- One title.
--   id  integer  which one
-- Index: notes primary key (integer)
-- Rows: 0 or 1
-- Allow: prepare, soon
SELECT
    id,
    title
FROM notes
WHERE id = :id;
