-- Backups: copies of this database. Portable: every statement runs unchanged on every engine.

-- name: add_backup(id, path, created_at)!
-- Records a copy before the first byte of it is written.
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
-- Records that a copy was verified and moved to its final path.
--   id  text  id of the backup
--   finished_at  timestamp  the instant of the transaction
--   file_bytes  integer  the size of the file
--   checksum  text  SHA-256 of the file, lower-case hex
--   audit_id  integer  id of the newest audit entry in the copy; 0 if it has none
--   audit_hash  text  hash of that entry; '' if there is none
-- Index: backups primary key
-- Rows: 0 or 1 (0: its status is not writing)
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
-- Records that a copy failed and that its file was removed.
--   id  text  id of the backup
-- Index: backups primary key
-- Rows: 0 or 1 (0: its status is not writing)
UPDATE backups
SET status = 'failed'
WHERE
    id = :id
    AND status = 'writing';

-- name: remove_backup(id, removed_at)!
-- Records that a kept copy was deleted or no longer exists.
--   id  text  id of the backup
--   removed_at  timestamp  the instant of the transaction
-- Index: backups primary key
-- Rows: 0 or 1 (0: its status is not kept)
UPDATE backups
SET
    status = 'removed',
    removed_at = :removed_at
WHERE
    id = :id
    AND status = 'kept';

-- name: list_backups(status, before_created_at, before_id, max_rows)
-- One page of the copies that have one status, newest first.
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
-- The hash of one audit entry, to compare the log with a high-water mark that is kept elsewhere.
--   id  integer  id of the entry
-- Index: audit_log primary key (integer)
-- Rows: 0 or 1
SELECT hash
FROM audit_log
WHERE id = :id;
