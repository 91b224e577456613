-- Uploads. Portable: every statement runs unchanged on every engine.

-- name: add_upload(id, learning_id, destination, metadata, now)^
-- Plans the upload of a learning to a destination. If one exists, returns it unchanged.
--   id  text  supplied by the caller, or a time-ordered UUID; 1 to 200 characters
--   learning_id  text  id of the learning
--   destination  text  where it is uploaded to; 1 to 200 characters
--   metadata  json  an object, at most 1 MiB
--   now  timestamp  the instant of the transaction
-- Index: uploads_learning_id_destination_key (unique; decides the conflict)
-- Rows: 1
-- Record: Upload
-- Locks: the DO UPDATE changes nothing, but waits for any transaction that is storing or deleting the same upload
INSERT INTO uploads (
    id,
    learning_id,
    destination,
    metadata,
    created_at,
    updated_at
)
VALUES (
    :id,
    :learning_id,
    :destination,
    :metadata,
    :now,
    :now
)
ON CONFLICT (learning_id, destination) DO UPDATE
SET destination = excluded.destination
RETURNING
    id,
    learning_id,
    destination,
    status,
    remote_id,
    receipt,
    attempts,
    last_error,
    metadata,
    created_at,
    updated_at,
    uploaded_at,
    confirmed_at;

-- name: get_upload(id)^
-- One upload.
--   id  text  id of the upload
-- Index: uploads_id_key (unique)
-- Rows: 0 or 1
-- Record: Upload
SELECT
    id,
    learning_id,
    destination,
    status,
    remote_id,
    receipt,
    attempts,
    last_error,
    metadata,
    created_at,
    updated_at,
    uploaded_at,
    confirmed_at
FROM uploads
WHERE id = :id;

-- name: find_upload_by_destination(learning_id, destination)^
-- The upload of a learning to a destination.
--   learning_id  text  id of the learning
--   destination  text  where it is uploaded to
-- Index: uploads_learning_id_destination_key (unique)
-- Rows: 0 or 1
-- Record: Upload
SELECT
    id,
    learning_id,
    destination,
    status,
    remote_id,
    receipt,
    attempts,
    last_error,
    metadata,
    created_at,
    updated_at,
    uploaded_at,
    confirmed_at
FROM uploads
WHERE
    learning_id = :learning_id
    AND destination = :destination;

-- name: list_uploads(status, after_created_at, after_id, created_before, max_rows)
-- One page of the uploads, oldest first; with a status, the uploads to process next.
--   status  text  only with this status: pending, uploading, uploaded, confirmed or failed
--   after_created_at  timestamp  rows newer than (after_created_at, after_id); for the first page, the start of the time range
--   after_id  text  '' for the first page
--   created_before  timestamp  upper bound of created_at, exclusive
--   max_rows  integer  1 to 1001
-- Index: uploads_created_at_id_idx (range scan, no sort)
--   with status: uploads_status_created_at_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Upload
SELECT
    id,
    learning_id,
    destination,
    status,
    remote_id,
    receipt,
    attempts,
    last_error,
    metadata,
    created_at,
    updated_at,
    uploaded_at,
    confirmed_at
FROM uploads
WHERE
    created_at < :created_before
    AND status = :status -- if: status
    AND (created_at, id) > (:after_created_at, :after_id)
ORDER BY created_at, id
LIMIT :max_rows;

-- name: list_uploads_by_learning(learning_id, after_destination, max_rows)
-- One page of a learning's uploads, by destination.
--   learning_id  text  id of the learning
--   after_destination  text  '' for the first page
--   max_rows  integer  1 to 1001
-- Index: uploads_learning_id_destination_key (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Upload
SELECT
    id,
    learning_id,
    destination,
    status,
    remote_id,
    receipt,
    attempts,
    last_error,
    metadata,
    created_at,
    updated_at,
    uploaded_at,
    confirmed_at
FROM uploads
WHERE
    learning_id = :learning_id
    AND destination > :after_destination
ORDER BY destination
LIMIT :max_rows;

-- name: count_uploads()
-- The number of uploads in each status.
-- Index: uploads_status_created_at_id_idx (scan in its order, no sort)
-- Rows: 0 to 5, one per status that occurs, by status
-- Allow: full-scan, a report; it reads only the index, not the rows
-- Allow: max-rows, at most one row per status, of which there are five
SELECT
    status,
    count(*) AS upload_count
FROM uploads
GROUP BY status
ORDER BY status;

-- name: start_upload(id, now)^
-- Starts or restarts an upload: pending or failed -> uploading.
--   id  text  id of the upload
--   now  timestamp  the instant of the transaction
-- Index: uploads_id_key (unique)
-- Rows: 0 or 1 (0: not found, or neither pending nor failed)
-- Record: Upload
UPDATE uploads
SET
    status = 'uploading',
    attempts = attempts + 1,
    updated_at = :now
WHERE
    id = :id
    AND status IN ('pending', 'failed')
RETURNING
    id,
    learning_id,
    destination,
    status,
    remote_id,
    receipt,
    attempts,
    last_error,
    metadata,
    created_at,
    updated_at,
    uploaded_at,
    confirmed_at;

-- name: finish_upload(id, remote_id, receipt, now)^
-- Records that the destination accepted the upload: uploading -> uploaded.
--   id  text  id of the upload
--   remote_id  text  the destination's key for the upload
--   receipt  json?  the destination's response
--   now  timestamp  the instant of the transaction
-- Index: uploads_id_key (unique)
-- Rows: 0 or 1 (0: not found, or not uploading)
-- Record: Upload
UPDATE uploads
SET
    status = 'uploaded',
    remote_id = :remote_id,
    receipt = :receipt,
    uploaded_at = :now,
    updated_at = :now
WHERE
    id = :id
    AND status = 'uploading'
RETURNING
    id,
    learning_id,
    destination,
    status,
    remote_id,
    receipt,
    attempts,
    last_error,
    metadata,
    created_at,
    updated_at,
    uploaded_at,
    confirmed_at;

-- name: confirm_upload(id, receipt, now)^
-- Records that the upload was verified at the destination: uploaded -> confirmed.
--   id  text  id of the upload
--   receipt  json?  the destination's response; NULL keeps the receipt of the upload
--   now  timestamp  the instant of the transaction
-- Index: uploads_id_key (unique)
-- Rows: 0 or 1 (0: not found, or not uploaded)
-- Record: Upload
UPDATE uploads
SET
    status = 'confirmed',
    receipt = coalesce(:receipt, receipt),
    confirmed_at = :now,
    updated_at = :now
WHERE
    id = :id
    AND status = 'uploaded'
RETURNING
    id,
    learning_id,
    destination,
    status,
    remote_id,
    receipt,
    attempts,
    last_error,
    metadata,
    created_at,
    updated_at,
    uploaded_at,
    confirmed_at;

-- name: fail_upload(id, last_error, now)^
-- Records that the destination refused or lost the upload: uploading or uploaded -> failed.
--   id  text  id of the upload
--   last_error  text  why
--   now  timestamp  the instant of the transaction
-- Index: uploads_id_key (unique)
-- Rows: 0 or 1 (0: not found, or neither uploading nor uploaded)
-- Record: Upload
UPDATE uploads
SET
    status = 'failed',
    last_error = :last_error,
    updated_at = :now
WHERE
    id = :id
    AND status IN ('uploading', 'uploaded')
RETURNING
    id,
    learning_id,
    destination,
    status,
    remote_id,
    receipt,
    attempts,
    last_error,
    metadata,
    created_at,
    updated_at,
    uploaded_at,
    confirmed_at;

-- name: retry_upload(id, now)^
-- Returns a failed upload to pending: failed -> pending. Its attempts and last error are kept.
--   id  text  id of the upload
--   now  timestamp  the instant of the transaction
-- Index: uploads_id_key (unique)
-- Rows: 0 or 1 (0: not found, or not failed)
-- Record: Upload
UPDATE uploads
SET
    status = 'pending',
    updated_at = :now
WHERE
    id = :id
    AND status = 'failed'
RETURNING
    id,
    learning_id,
    destination,
    status,
    remote_id,
    receipt,
    attempts,
    last_error,
    metadata,
    created_at,
    updated_at,
    uploaded_at,
    confirmed_at;

-- name: release_upload(id, now)^
-- Releases an upload whose worker is gone: uploading -> pending.
--   id  text  id of the upload
--   now  timestamp  the instant of the transaction
-- Index: uploads_id_key (unique)
-- Rows: 0 or 1 (0: not found, or not uploading)
-- Record: Upload
UPDATE uploads
SET
    status = 'pending',
    updated_at = :now
WHERE
    id = :id
    AND status = 'uploading'
RETURNING
    id,
    learning_id,
    destination,
    status,
    remote_id,
    receipt,
    attempts,
    last_error,
    metadata,
    created_at,
    updated_at,
    uploaded_at,
    confirmed_at;

-- name: delete_upload(id)$
-- Deletes one upload permanently. Nothing is deleted at the destination.
--   id  text  id of the upload
-- Index: uploads_id_key (unique)
-- Rows: 0 or 1: the status that it had
DELETE FROM uploads
WHERE id = :id
RETURNING status;
