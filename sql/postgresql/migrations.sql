-- Migrations: statements specific to PostgreSQL.

-- name: list_applied_migrations()
-- The applied migrations, each with the checksum of the text that was applied.
-- Index: none (one row per migration, with a few log rows each); sorts
-- Rows: one per applied migration (checksum is NULL if stock yoyo applied it), by id
-- Differs: PostgreSQL has no rowid; the log's timestamp decides which entry is the latest
-- Allow: full-scan, because a project has few migrations
SELECT
    applied.migration_id,
    (
        SELECT _yoyo_log.comment
        FROM _yoyo_log
        WHERE
            _yoyo_log.migration_id = applied.migration_id
            AND _yoyo_log.operation IN ('apply', 'mark')
        ORDER BY _yoyo_log.created_at_utc DESC, _yoyo_log.id DESC
        LIMIT 1
    ) AS checksum
FROM _yoyo_migration AS applied
ORDER BY applied.migration_id;

-- name: update_migration_log_comment(id, comment)!
-- Stores the checksum of a migration's text with its entry in yoyo's log.
--   id  text  id of the log entry
--   comment  text  "sha256:" and 64 hex digits
-- Index: _yoyo_log_pkey (unique; the table belongs to yoyo)
-- Rows: 1
-- Differs: the index has another name
UPDATE _yoyo_log
SET comment = :comment
WHERE id = :id;
