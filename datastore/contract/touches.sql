-- What the catalogue asks of foreign keys and triggers. On a scratch database only: no store loads this file.

-- name: list_foreign_key_columns()
-- The columns of every foreign key, with what it does when the parent's row goes or changes.
-- Index: none (the catalogue's own functions)
-- Rows: one per foreign key and column, by table, key and place
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

-- name: list_triggers()
-- The triggers, with the tables that they stand on.
-- Index: none (the schema table is small)
-- Rows: one per trigger, by name
SELECT
    name,
    tbl_name
FROM sqlite_schema
WHERE type = 'trigger'
ORDER BY name;

-- name: list_written_columns(table_name)
-- The columns of a table that a statement can write: no generated and no hidden ones.
--   table_name  text  which table
-- Index: none (a table-valued function)
-- Rows: one per column, in their order
SELECT name
FROM pragma_table_xinfo(:table_name)
WHERE hidden = 0
ORDER BY cid;

-- name: list_table_details(table_name)
-- The columns of a table as they are declared, with their defaults.
--   table_name  text  which table
-- Index: none (a table-valued function)
-- Rows: one per column, in their order
SELECT
    name,
    type,
    "notnull",
    dflt_value,
    pk,
    hidden
FROM pragma_table_xinfo(:table_name)
ORDER BY cid;
