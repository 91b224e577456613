-- Queries of the checks on SQLite's schema. They run only on a scratch database; no store loads this file.

-- name: list_objects()
-- The tables, indexes, views and triggers, with the SQL that created them.
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

-- name: list_tables()
-- The tables and views of the main schema: name, kind, WITHOUT ROWID, STRICT.
-- Index: none (the schema table is small)
-- Rows: one per table and view
SELECT
    name,
    type,
    wr,
    strict
FROM pragma_table_list
WHERE schema = 'main';

-- name: list_columns()
-- The columns of every table and view, including hidden and generated ones.
-- Index: none (pragma functions)
-- Rows: one per column, by table and position
SELECT
    tables.name AS table_name,
    columns.name,
    columns.type,
    columns."notnull",
    columns.pk,
    columns.hidden,
    columns.dflt_value
FROM pragma_table_list AS tables
CROSS JOIN pragma_table_xinfo(tables.name) AS columns
WHERE tables.schema = 'main'
ORDER BY tables.name, columns.cid;

-- name: list_index_columns()
-- The key columns of every index with their collations; the name is NULL for an expression and for the rowid.
-- Index: none (pragma functions)
-- Rows: one per index and column, by table, index and position
SELECT
    tables.name AS table_name,
    indexes.name AS index_name,
    indexes."unique" AS is_unique,
    indexes.origin,
    indexes.partial,
    columns.name AS column_name,
    columns.coll
FROM pragma_table_list AS tables
CROSS JOIN pragma_index_list(tables.name) AS indexes
CROSS JOIN pragma_index_xinfo(indexes.name) AS columns
WHERE
    tables.schema = 'main'
    AND columns.key = 1
ORDER BY tables.name, indexes.seq, columns.seqno;

-- name: list_foreign_key_columns()
-- The columns of every foreign key, with its actions when the parent row is deleted or updated.
-- Index: none (pragma functions)
-- Rows: one per foreign key and column, by table, key and position
SELECT
    tables.name AS table_name,
    keys.id AS key_id,
    keys."table" AS parent,
    keys."from" AS child_column,
    keys."to" AS parent_column,
    keys.on_update,
    keys.on_delete
FROM pragma_table_list AS tables
CROSS JOIN pragma_foreign_key_list(tables.name) AS keys
WHERE tables.schema = 'main'
ORDER BY tables.name, keys.id, keys.seq;

-- name: list_functions()
-- The functions of this SQLite library; the type is a for aggregate and w for window functions.
-- Index: none (pragma functions)
-- Rows: one per function and type, by name
SELECT DISTINCT
    name,
    type
FROM pragma_function_list
ORDER BY name;

-- name: add_statistics(index_table, index_name, sizes)!
-- Stores the statistics of an index in the form that ANALYZE writes.
--   index_table  text  name of the table
--   index_name  text  name of the index
--   sizes  text  rows, then rows per value of the first column, of the first two, ...
-- Index: none (an insert)
-- Rows: 1
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (:index_table, :index_name, :sizes);
