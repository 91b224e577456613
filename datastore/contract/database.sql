-- What the check asks SQLite's catalogue. On a scratch database only: no store loads this file.

-- name: list_schema()
-- The tables, indexes, views and triggers as they were created.
-- Index: none (the schema table is small)
-- Rows: one per object, by kind and name
SELECT
    type,
    name,
    tbl_name,
    sql,
    rootpage
FROM sqlite_schema
ORDER BY type, name;

-- name: list_table_columns()
-- The columns of every table and view, generated and hidden ones too.
-- Index: none (the catalogue's own functions)
-- Rows: one per column, by table and place
SELECT
    tables.name AS table_name,
    columns.name AS column_name,
    columns.hidden
FROM pragma_table_list AS tables
CROSS JOIN pragma_table_xinfo(tables.name) AS columns
WHERE tables.schema = 'main'
ORDER BY tables.name, columns.cid;

-- name: list_index_columns()
-- The columns of every index: NULL for an expression, and for the rowid.
-- Index: none (the catalogue's own functions)
-- Rows: one per index and column, by index and place
SELECT
    tables.name AS table_name,
    indexes.name AS index_name,
    indexes."unique" AS is_unique,
    indexes.origin,
    indexes.partial,
    columns.name AS column_name
FROM pragma_table_list AS tables
CROSS JOIN pragma_index_list(tables.name) AS indexes
CROSS JOIN pragma_index_info(indexes.name) AS columns
WHERE tables.schema = 'main'
ORDER BY tables.name, indexes.name, columns.seqno;

-- name: list_foreign_keys()
-- The columns of every foreign key.
-- Index: none (the catalogue's own functions)
-- Rows: one per foreign key and column, by table, key and place
SELECT
    tables.name AS table_name,
    keys.id AS key_id,
    keys."table" AS parent,
    keys."from" AS child_column
FROM pragma_table_list AS tables
CROSS JOIN pragma_foreign_key_list(tables.name) AS keys
WHERE tables.schema = 'main'
ORDER BY tables.name, keys.id, keys.seq;

-- name: list_primary_keys()
-- The columns of every primary key.
-- Index: none (the catalogue's own functions)
-- Rows: one per table and column of its primary key, in the key's order
SELECT
    tables.name AS table_name,
    tables.wr AS without_rowid,
    columns.name AS column_name
FROM pragma_table_list AS tables
CROSS JOIN pragma_table_info(tables.name) AS columns
WHERE
    tables.schema = 'main'
    AND columns.pk > 0
ORDER BY tables.name, columns.pk;

-- name: list_functions()
-- The functions that this SQLite has.
-- Index: none (the catalogue's own functions)
-- Rows: one per function, by name
SELECT DISTINCT name
FROM pragma_function_list
ORDER BY name;

-- name: add_statistics(index_table, index_name, sizes)!
-- Statistics of an index, as ANALYZE would write them.
--   index_table  text  which table
--   index_name  text  which index
--   sizes  text  rows, then rows per value of the first column, of the first two, ...
-- Index: none (an insert)
-- Rows: 1
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (:index_table, :index_name, :sizes);
