-- Migrations: queries of the yoyo backend and the store on yoyo's tables.

-- name: list_applied_migrations()
-- The applied migrations, each with the checksum of the text that was applied.
-- Index: none (one row per migration, with a few log rows each); sorts
-- Rows: one per applied migration (checksum is NULL if stock yoyo applied it), by id
-- Returns: migration_id text
-- Differs: SQLite's rowid has the order of insertion; the timestamps of yoyo's log may be equal
-- Allow: max-rows, yoyo needs all of them, and a project has few
SELECT
    applied.migration_id,
    CAST((
        SELECT _yoyo_log.comment
        FROM _yoyo_log
        WHERE
            _yoyo_log.migration_id = applied.migration_id
            AND _yoyo_log.operation IN ('apply', 'mark')
        ORDER BY _yoyo_log.rowid DESC
        LIMIT 1
    ) AS TEXT) AS checksum
FROM _yoyo_migration AS applied
ORDER BY applied.migration_id;

-- name: update_migration_log_comment(id, comment)!
-- Stores the checksum of a migration's text with its entry in yoyo's log.
--   id  text  id of the log entry
--   comment  text  "sha256:" and 64 hex digits
-- Index: sqlite_autoindex__yoyo_log_1 (unique; the table belongs to yoyo)
-- Rows: 1
-- Differs: the index has another name
UPDATE _yoyo_log
SET comment = :comment
WHERE id = :id;

-- name: list_foreign_tables(max_rows)
-- Tables and views that do not belong to yoyo; in a file without this library's application_id, they belong to another program.
--   max_rows  integer  1 to 1000
-- Index: none (the schema table is small); sorts
-- Rows: 0 to max_rows, by name
-- Returns: name text
-- Differs: SQLite's catalogue is sqlite_master
-- Allow: limit-order, names of tables and views are unique
SELECT name
FROM sqlite_master
WHERE
    type IN ('table', 'view')
    AND name NOT GLOB 'sqlite_*'
    AND name NOT IN ('_yoyo_log', '_yoyo_migration', '_yoyo_version', 'yoyo_lock')
    AND name NOT GLOB 'yoyo_tmp_*'
ORDER BY name
LIMIT :max_rows;

-- name: list_table_names()
-- The name of every table; yoyo searches the list for its tables.
-- Index: none (the schema table is small); sorts
-- Rows: one per table, by name
-- Returns: name text
-- Differs: SQLite's catalogue is sqlite_master
-- Allow: max-rows, yoyo checks which of its tables exist, and a schema is small
SELECT name
FROM sqlite_master
WHERE type = 'table'
ORDER BY name;

-- name: add_rollback_mark()!
-- Allows rollbacks on this connection to destroy data that they otherwise refuse to destroy (docs/migrations.md).
-- Index: none (creates an empty temporary table, which the rollback files check)
-- Rows: 0
-- Differs: SQLite has no session settings
CREATE TEMP TABLE IF NOT EXISTS rollback_may_destroy (allowed INTEGER);
