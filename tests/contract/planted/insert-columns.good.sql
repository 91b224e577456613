-- name: add_author(id, name)!
-- Adds an author.
--   id  integer  which one
--   name  text  what to call them
-- Index: none (an insert)
-- Rows: 1
INSERT INTO authors (id, name) VALUES (:id, :name);
