-- Uploads: what SQLite needs its own words for.

-- name: lock_upload(id)$
-- The status of an upload as it is now; nobody else changes it until the transaction ends.
--   id  text  which one
-- Index: uploads_id_key (unique)
-- Rows: 0 or 1
-- Differs: whoever writes to SQLite has its one lock already
SELECT status
FROM uploads
WHERE id = :id;
