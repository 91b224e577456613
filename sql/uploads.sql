-- Uploads. Portable: each statement runs as it stands on every engine.

-- name: add_upload(id, learning_id, destination, metadata, now)^
-- Plans the upload of a learning to a destination; where there is one already, gives that one, unchanged.
--   id  text  the caller's own, or a time-ordered UUID; 1 to 200 characters
--   learning_id  text  which learning
--   destination  text  where to; 1 to 200 characters
--   metadata  json  an object, at most 1 MiB
--   now  timestamp  the instant of the transaction
-- Index: uploads_learning_id_destination_key (unique; decides the conflict)
-- Rows: 1
-- Record: Upload
-- Locks: DO UPDATE, which changes nothing, waits for whoever is storing or deleting the same upload
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
--   id  text  which one
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
--   learning_id  text  which learning
--   destination  text  where to
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
-- One page of the uploads, oldest first; those in one status are what is to be done next.
--   status  text  only in this status: pending, uploading, uploaded, confirmed or failed
--   after_created_at  timestamp  rows newer than (after_created_at, after_id); first the start of the time range
--   after_id  text  '' for the first page
--   created_before  timestamp  the latest created_at, exclusive
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
--   learning_id  text  which learning
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
-- How many uploads are in each status.
-- Index: uploads_status_created_at_id_idx (read in order, no sort)
-- Rows: 0 to 5, one per status that occurs, by status
-- Allow: full-scan, a report; it reads the index only, not the rows
-- Allow: max-rows, at most one row for each of five statuses
SELECT
    status,
    count(*) AS upload_count
FROM uploads
GROUP BY status
ORDER BY status;

-- name: start_upload(id, now)^
-- Begins an upload, for the first time or again: pending or failed -> uploading.
--   id  text  which one
--   now  timestamp  the instant of the transaction
-- Index: uploads_id_key (unique)
-- Rows: 0 or 1 (0: there is none, or it is not pending or failed)
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
-- The destination took it: uploading -> uploaded.
--   id  text  which one
--   remote_id  text  the destination's own key for it
--   receipt  json?  what the destination answered
--   now  timestamp  the instant of the transaction
-- Index: uploads_id_key (unique)
-- Rows: 0 or 1 (0: there is none, or it is not uploading)
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
-- The destination was seen to have it: uploaded -> confirmed.
--   id  text  which one
--   receipt  json?  what the destination answered; NULL keeps the receipt of the upload
--   now  timestamp  the instant of the transaction
-- Index: uploads_id_key (unique)
-- Rows: 0 or 1 (0: there is none, or it is not uploaded)
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
-- Refused, or lost at the destination: uploading or uploaded -> failed.
--   id  text  which one
--   last_error  text  why
--   now  timestamp  the instant of the transaction
-- Index: uploads_id_key (unique)
-- Rows: 0 or 1 (0: there is none, or it is not uploading or uploaded)
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
-- Puts a failed upload back in line: failed -> pending. Attempts and the last error stay.
--   id  text  which one
--   now  timestamp  the instant of the transaction
-- Index: uploads_id_key (unique)
-- Rows: 0 or 1 (0: there is none, or it is not failed)
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
-- Gives up an upload that was begun, its worker being gone: uploading -> pending.
--   id  text  which one
--   now  timestamp  the instant of the transaction
-- Index: uploads_id_key (unique)
-- Rows: 0 or 1 (0: there is none, or it is not uploading)
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
-- Deletes one upload for good; what is at the destination stays there.
--   id  text  which one
-- Index: uploads_id_key (unique)
-- Rows: 0 or 1: the status that it was in
DELETE FROM uploads
WHERE id = :id
RETURNING status;
