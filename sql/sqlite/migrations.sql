-- Migrations: what the yoyo backend and the store ask of yoyo's own tables.

-- name: list_applied_migrations()
-- The applied migrations, each with the checksum of its text when it was applied.
-- Index: none (a row per migration, and a few of the log for each); sorts
-- Rows: one per applied migration (checksum is NULL where stock yoyo applied it), by id
-- Returns: migration_id text
-- Differs: rowid is SQLite's order of insertion; yoyo's clock may stand still
-- Allow: max-rows, yoyo needs every one of them, and a project has few
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
-- Writes the checksum of a migration's text beside its entry in yoyo's log.
--   id  text  the log entry
--   comment  text  "sha256:" and 64 hex digits
-- Index: sqlite_autoindex__yoyo_log_1 (unique; the table is yoyo's own)
-- Rows: 1
-- Differs: only SQLite has a backend of our own
UPDATE _yoyo_log
SET comment = :comment
WHERE id = :id;

-- name: list_foreign_tables(max_rows)
-- Tables and views that are not yoyo's own: in a file without our application_id, they are somebody's.
--   max_rows  integer  1 to 1000
-- Index: none (the schema table is small); sorts
-- Rows: 0 to max_rows, by name
-- Returns: name text
-- Differs: sqlite_master is SQLite's catalogue
-- Allow: limit-order, a name stands once among tables and views
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
-- Every table's name: yoyo looks here for its own.
-- Index: none (the schema table is small); sorts
-- Rows: one per table, by name
-- Returns: name text
-- Differs: sqlite_master is SQLite's catalogue
-- Allow: max-rows, yoyo asks which of its tables are there, and a schema is small
SELECT name
FROM sqlite_master
WHERE type = 'table'
ORDER BY name;

-- name: add_rollback_mark()!
-- Lets rollbacks on this connection destroy what they refuse to destroy otherwise (docs/migrations.md).
-- Index: none (a temporary table without rows, which the rollback files look for)
-- Rows: 0
-- Differs: SQLite has no settings of a session's own
CREATE TEMP TABLE IF NOT EXISTS rollback_may_destroy (allowed INTEGER);
