-- Uploads: statements specific to SQLite.

-- name: lock_upload(id)$
-- The current status of an upload, which is locked until the transaction ends.
--   id  text  id of the upload
-- Index: uploads_id_key (unique)
-- Rows: 0 or 1
-- Differs: a SQLite writer already has the only write lock
SELECT status
FROM uploads
WHERE id = :id;
