-- Schema: which tables there are, an application's own too; what copies whole tables and what follows foreign keys reads it.

-- name: list_tables()
-- Every table but SQLite's own, yoyo's, and those that a virtual table keeps its rows in.
-- Index: none (the schema table is small); sorts
-- Rows: one per table, by name
-- Returns: name text, kind text
-- Differs: pragma_table_list is SQLite's catalogue
-- Allow: max-rows, a schema is small
SELECT
    name,
    type AS kind
FROM pragma_table_list
WHERE
    schema = 'main'
    AND type IN ('table', 'virtual')
    AND name NOT GLOB 'sqlite_*'
    AND name NOT GLOB '_yoyo_*'
    AND name NOT GLOB 'yoyo_*'
ORDER BY name;

-- name: list_stored_columns()
-- The columns of every table that are stored, not computed, with their place in the primary key.
-- Index: none (the schema table is small); sorts
-- Rows: one per table and column, by table and place
-- Returns: table_name text, name text, type text, key_place integer
-- Differs: pragma_table_xinfo is SQLite's catalogue
-- Allow: max-rows, a schema is small
SELECT
    tables.name AS table_name,
    columns.name,
    columns.type,
    columns.pk AS key_place
FROM pragma_table_list AS tables
CROSS JOIN pragma_table_xinfo(tables.name) AS columns
WHERE
    tables.schema = 'main'
    AND tables.type = 'table'
    AND columns.hidden = 0
ORDER BY tables.name, columns.cid;

-- name: list_foreign_keys()
-- The foreign keys of every table, a row a column.
-- Index: none (the schema table is small); sorts
-- Rows: one per foreign key and column, by table, key and place
-- Returns: table_name text, key text, parent text, name text, parent_column text?, on_delete text
-- Differs: pragma_foreign_key_list is SQLite's catalogue; parent_column is NULL where the parent's primary key is meant
-- Allow: max-rows, a schema is small
SELECT
    tables.name AS table_name,
    CAST(keys.id AS TEXT) AS key,
    keys."table" AS parent,
    keys."from" AS name,
    keys."to" AS parent_column,
    keys.on_delete
FROM pragma_table_list AS tables
CROSS JOIN pragma_foreign_key_list(tables.name) AS keys
WHERE
    tables.schema = 'main'
    AND tables.type = 'table'
ORDER BY tables.name, keys.id, keys.seq;
