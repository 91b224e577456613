-- Schema: the tables that exist, including those of the application, for code that copies tables or follows foreign keys.

-- name: list_tables()
-- Every table except SQLite's, yoyo's, and the shadow tables of virtual tables.
-- Index: none (the schema table is small); sorts
-- Rows: one per table, by name
-- Returns: name text, kind text
-- Differs: SQLite's catalogue is pragma_table_list
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
-- The stored (not generated) columns of every table, with their position in the primary key.
-- Index: none (the schema table is small); sorts
-- Rows: one per table and column, by table and position
-- Returns: table_name text, name text, type text, key_place integer
-- Differs: SQLite's catalogue is pragma_table_xinfo
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
-- The foreign keys of every table, one row per column.
-- Index: none (the schema table is small); sorts
-- Rows: one per foreign key and column, by table, key and position
-- Returns: table_name text, key text, parent text, name text, parent_column text?, on_delete text
-- Differs: SQLite's catalogue is pragma_foreign_key_list; parent_column is NULL if the key refers to the parent's primary key
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
