-- Migrations: what PostgreSQL needs its own words for.

-- name: list_applied_migrations()
-- The applied migrations, each with the checksum of its text when it was applied.
-- Index: none (a row per migration, and a few of the log for each); sorts
-- Rows: one per applied migration (checksum is NULL where stock yoyo applied it), by id
-- Differs: PostgreSQL has no rowid: the log's own time says what came last
-- Allow: full-scan, because a row per migration is few
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
-- Writes the checksum of a migration's text beside its entry in yoyo's log.
--   id  text  the entry's id
--   comment  text  "sha256:" and 64 hex digits
-- Index: _yoyo_log_pkey (unique; the table is yoyo's own)
-- Rows: 1
-- Differs: the index has another name
UPDATE _yoyo_log
SET comment = :comment
WHERE id = :id;
