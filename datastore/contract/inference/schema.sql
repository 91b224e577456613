-- What the inference asks SQLite's own catalogue. Not statements of the store: only the checks run them.

-- name: list_objects()
-- Tables, views, indexes and triggers with their SQL, in the order of their making.
-- Index: none (the schema table is small)
-- Rows: one per object
SELECT
    type,
    name,
    tbl_name,
    sql
FROM sqlite_master
ORDER BY rowid;

-- name: list_tables()
-- Tables and views of the main schema: name, kind, WITHOUT ROWID, STRICT.
-- Index: none (the schema table is small)
-- Rows: one per table and view
SELECT
    name,
    type,
    wr,
    strict
FROM pragma_table_list
WHERE schema = 'main';

-- name: list_columns(table_name)
-- The columns of one table or view, hidden and generated ones too, in their order.
--   table_name  text  which one
-- Index: none (a table-valued function)
-- Rows: one per column
SELECT
    name,
    type,
    "notnull",
    pk,
    hidden,
    dflt_value
FROM pragma_table_xinfo(:table_name)
ORDER BY cid;

-- name: list_indexes(table_name)
-- The indexes of one table: name, unique, origin (c, u, pk), partial.
--   table_name  text  which one
-- Index: none (a table-valued function)
-- Rows: one per index
SELECT
    name,
    "unique",
    origin,
    partial
FROM pragma_index_list(:table_name)
ORDER BY seq;

-- name: list_index_columns(index_name)
-- The key columns of one index with their collations; the name of an expression is NULL.
--   index_name  text  which one
-- Index: none (a table-valued function)
-- Rows: one per key column
SELECT
    name,
    coll
FROM pragma_index_xinfo(:index_name)
WHERE key = 1
ORDER BY seqno;

-- name: list_foreign_keys(table_name)
-- The foreign keys of one table, a row per column.
--   table_name  text  which one
-- Index: none (a table-valued function)
-- Rows: one per column of a foreign key
SELECT
    id,
    "table",
    "from",
    "to"
FROM pragma_foreign_key_list(:table_name)
ORDER BY id, seq;

-- name: list_aggregates()
-- The names of the aggregate and window functions.
-- Index: none (a table-valued function)
-- Rows: one per name
SELECT DISTINCT name
FROM pragma_function_list
WHERE type IN ('a', 'w');
