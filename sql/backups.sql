-- Backups: the copies of this database. Portable: each statement runs as it stands on every engine.

-- name: add_backup(id, path, created_at)!
-- Notes that a copy is being written, before its first byte is.
--   id  text  a time-ordered UUID
--   path  text  the absolute path of the file; 1 to 4096 characters
--   created_at  timestamp  the instant of the transaction
-- Index: none (an insert)
-- Rows: 1
INSERT INTO backups (
    id,
    path,
    created_at
)
VALUES (
    :id,
    :path,
    :created_at
);

-- name: finish_backup(id, finished_at, file_bytes, checksum, audit_id, audit_hash)^
-- A copy was verified and stands in its place.
--   id  text  which one
--   finished_at  timestamp  the instant of the transaction
--   file_bytes  integer  the size of the file
--   checksum  text  SHA-256 of the file, lower-case hex
--   audit_id  integer  the newest audit entry in it; 0 where there is none
--   audit_hash  text  that entry's hash; '' where there is none
-- Index: backups primary key
-- Rows: 0 or 1 (0: it is not being written)
-- Record: Backup
UPDATE backups
SET
    status = 'kept',
    finished_at = :finished_at,
    file_bytes = :file_bytes,
    checksum = :checksum,
    audit_id = :audit_id,
    audit_hash = :audit_hash
WHERE
    id = :id
    AND status = 'writing'
RETURNING
    id,
    path,
    status,
    created_at,
    finished_at,
    removed_at,
    file_bytes,
    checksum,
    audit_id,
    audit_hash;

-- name: fail_backup(id)!
-- A copy was not finished: its file is gone.
--   id  text  which one
-- Index: backups primary key
-- Rows: 0 or 1 (0: it is not being written)
UPDATE backups
SET status = 'failed'
WHERE
    id = :id
    AND status = 'writing';

-- name: remove_backup(id, removed_at)!
-- A kept copy was deleted, or is not there any more.
--   id  text  which one
--   removed_at  timestamp  the instant of the transaction
-- Index: backups primary key
-- Rows: 0 or 1 (0: it was not kept)
UPDATE backups
SET
    status = 'removed',
    removed_at = :removed_at
WHERE
    id = :id
    AND status = 'kept';

-- name: list_backups(status, before_created_at, before_id, max_rows)
-- One page of the copies in one status, newest first.
--   status  text  writing, kept, removed or failed
--   before_created_at  timestamp  rows older than (before_created_at, before_id); the latest instant for the first page
--   before_id  text  '' for the first page
--   max_rows  integer  1 to 1001
-- Index: backups_status_created_at_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Backup
SELECT
    id,
    path,
    status,
    created_at,
    finished_at,
    removed_at,
    file_bytes,
    checksum,
    audit_id,
    audit_hash
FROM backups
WHERE
    status = :status
    AND (created_at, id) < (:before_created_at, :before_id)
ORDER BY created_at DESC, id DESC
LIMIT :max_rows;

-- name: find_audit_hash(id)$
-- The hash of one audit entry, to hold a high-water mark that was kept elsewhere against the log.
--   id  integer  which entry
-- Index: audit_log primary key (integer)
-- Rows: 0 or 1
SELECT hash
FROM audit_log
WHERE id = :id;
