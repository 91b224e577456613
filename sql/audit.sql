-- The audit log. Portable: every statement runs unchanged on every engine.

-- name: add_audit_entry(action, subject_type, subject_id, actor, reason, details, created_at, previous_hash, hash)^
-- Appends one entry to the log, linked to the previous entry.
--   action  text  soft_delete, restore, delete, purge or redact
--   subject_type  text  conversation, message, learning, job or upload
--   subject_id  text  id of the subject
--   actor  text  who did it; 1 to 200 characters
--   reason  text?  why
--   details  json  an object of counts and names, never content
--   created_at  timestamp  the instant of the transaction
--   previous_hash  text  hash of the previous entry; 64 zeros for the first entry
--   hash  text  SHA-256 over previous_hash and the entry, lower-case hex
-- Index: none (an insert; audit_log_previous_hash_key refuses a fork of the chain)
-- Rows: 1
-- Record: AuditEntry
-- Locks: the caller reads the last entry and runs this insert in one transaction that has held the write lock since it began
INSERT INTO audit_log (
    action,
    subject_type,
    subject_id,
    actor,
    reason,
    details,
    created_at,
    previous_hash,
    hash
)
VALUES (
    :action,
    :subject_type,
    :subject_id,
    :actor,
    :reason,
    :details,
    :created_at,
    :previous_hash,
    :hash
)
RETURNING
    id,
    action,
    subject_type,
    subject_id,
    actor,
    reason,
    details,
    created_at,
    previous_hash,
    hash;

-- name: find_last_audit_entry()^
-- The newest entry, which is the end of the chain.
-- Index: none (the primary key, read from its end)
-- Rows: 0 or 1
-- Record: AuditEntry
-- Allow: full-scan, the plan says SCAN, but LIMIT 1 stops at the first row
SELECT
    id,
    action,
    subject_type,
    subject_id,
    actor,
    reason,
    details,
    created_at,
    previous_hash,
    hash
FROM audit_log
ORDER BY id DESC
LIMIT 1;

-- name: list_audit_entries(after_id, max_rows)
-- One page of the log, oldest first.
--   after_id  integer  the last id of the previous page; 0 for the first page
--   max_rows  integer  1 to 1001
-- Index: audit_log primary key (integer), range scan, no sort
-- Rows: 0 to max_rows
-- Record: AuditEntry
SELECT
    id,
    action,
    subject_type,
    subject_id,
    actor,
    reason,
    details,
    created_at,
    previous_hash,
    hash
FROM audit_log
WHERE id > :after_id
ORDER BY id
LIMIT :max_rows;

-- name: list_audit_entries_by_subject(subject_type, subject_id, after_id, max_rows)
-- One page of the entries about one subject, oldest first.
--   subject_type  text  conversation, message, learning, job or upload
--   subject_id  text  id of the subject, which may have been deleted
--   after_id  integer  the last id of the previous page; 0 for the first page
--   max_rows  integer  1 to 1001
-- Index: audit_log_subject_type_subject_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: AuditEntry
SELECT
    id,
    action,
    subject_type,
    subject_id,
    actor,
    reason,
    details,
    created_at,
    previous_hash,
    hash
FROM audit_log
WHERE
    subject_type = :subject_type
    AND subject_id = :subject_id
    AND id > :after_id
ORDER BY id
LIMIT :max_rows;

-- name: list_audit_chain(after_id, max_rows)
-- The log as stored, oldest first, to verify the hash chain: damaged details and times are returned unchanged.
--   after_id  integer  the last id of the previous page; the lowest integer for the first page
--   max_rows  integer  1 to 1000
-- Index: audit_log primary key (integer), range scan, no sort
-- Rows: 0 to max_rows
-- Returns: details text, created_at text
SELECT
    id,
    action,
    subject_type,
    subject_id,
    actor,
    reason,
    details,
    created_at,
    previous_hash,
    hash
FROM audit_log
WHERE id > :after_id
ORDER BY id
LIMIT :max_rows;

-- name: count_audit_entries()$
-- The number of entries in the log.
-- Index: none (counts every entry, in the smallest index)
-- Rows: 1
-- Allow: full-scan, a report
SELECT count(*) AS entry_count
FROM audit_log;

-- name: audit_high_water()$
-- The number of entries ever added to the log. If it is greater than the newest entry's id, the end of the log was lost.
-- Index: audit_log_counter primary key
-- Rows: 0 or 1
SELECT last_id
FROM audit_log_counter
WHERE name = 'audit_log';
