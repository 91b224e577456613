-- Uploads: statements specific to PostgreSQL.

-- name: lock_upload(id)$
-- The current status of an upload, which is locked until the transaction ends.
--   id  text  id of the upload
-- Index: uploads_id_key (unique)
-- Rows: 0 or 1
-- Differs: the row is locked (FOR UPDATE)
SELECT status
FROM uploads
WHERE id = :id
FOR UPDATE;
