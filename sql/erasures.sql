-- Erasures, their receipts and tombstones. Portable: every statement runs unchanged on every engine.

-- name: add_erasure(id, subject_kind, subject_hash, status, actor, reason, receipt, now)^
-- Records the subject of an erasure before anything is deleted.
--   id  text  a time-ordered UUID
--   subject_kind  text  conversation, session, correlation or learning
--   subject_hash  text  HMAC-SHA-256 of the subject's id, lower-case hex
--   status  text  blocked or deleting
--   actor  text  who requested it: the name that the store was opened with
--   reason  text?  why, without content
--   receipt  json  an object of counts and names
--   now  timestamp  the instant of the transaction
-- Index: none (an insert)
-- Rows: 1
-- Record: Erasure
INSERT INTO erasures (
    id,
    subject_kind,
    subject_hash,
    status,
    actor,
    reason,
    receipt,
    created_at,
    updated_at
)
VALUES (
    :id,
    :subject_kind,
    :subject_hash,
    :status,
    :actor,
    :reason,
    :receipt,
    :now,
    :now
)
RETURNING
    id,
    subject_kind,
    subject_hash,
    status,
    actor,
    reason,
    receipt,
    created_at,
    updated_at;

-- name: update_erasure(id, status, receipt, now)^
-- Records the progress of an erasure.
--   id  text  id of the erasure
--   status  text  deleted, scrubbed or verified
--   receipt  json  an object of counts and names
--   now  timestamp  the instant of the transaction
-- Index: erasures primary key
-- Rows: 0 or 1 (0: not found)
-- Record: Erasure
UPDATE erasures
SET
    status = :status,
    receipt = :receipt,
    updated_at = :now
WHERE id = :id
RETURNING
    id,
    subject_kind,
    subject_hash,
    status,
    actor,
    reason,
    receipt,
    created_at,
    updated_at;

-- name: get_erasure(id)^
-- One receipt.
--   id  text  id of the erasure
-- Index: erasures primary key
-- Rows: 0 or 1
-- Record: Erasure
SELECT
    id,
    subject_kind,
    subject_hash,
    status,
    actor,
    reason,
    receipt,
    created_at,
    updated_at
FROM erasures
WHERE id = :id;

-- name: list_erasures(before_created_at, before_id, max_rows)
-- One page of the receipts, newest first.
--   before_created_at  timestamp  rows older than (before_created_at, before_id); the latest instant for the first page
--   before_id  text  '' for the first page
--   max_rows  integer  1 to 1001
-- Index: erasures_created_at_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Erasure
SELECT
    id,
    subject_kind,
    subject_hash,
    status,
    actor,
    reason,
    receipt,
    created_at,
    updated_at
FROM erasures
WHERE (created_at, id) < (:before_created_at, :before_id)
ORDER BY created_at DESC, id DESC
LIMIT :max_rows;

-- name: add_erasure_key(id, secret, created_at)!
-- Stores a key unless it is already stored.
--   id  text  a time-ordered UUID
--   secret  text  32 random bytes, lower-case hex
--   created_at  timestamp  when the key was created
-- Index: none (an insert; the primary key decides the conflict)
-- Rows: 0 or 1 (0: already stored)
INSERT INTO erasure_keys (
    id,
    secret,
    created_at
)
VALUES (
    :id,
    :secret,
    :created_at
)
ON CONFLICT (id) DO NOTHING;

-- name: list_erasure_keys(max_rows)
-- The keys, oldest first; the first one is used for new hashes.
--   max_rows  integer  1 to 1000
-- Index: erasure_keys primary key (full scan); sorts a few rows
-- Rows: 0 to max_rows
-- Record: ErasureKey
-- Allow: full-scan, there are only a few keys
SELECT
    id,
    secret,
    created_at
FROM erasure_keys
ORDER BY created_at, id
LIMIT :max_rows;

-- name: add_tombstone(kind, subject_hash, erasure_id, created_at, lifted_at)!
-- Records that a subject was erased; of two records, the later one applies.
--   kind  text  conversation, session, correlation or learning
--   subject_hash  text  HMAC-SHA-256 of the subject's id, lower-case hex
--   erasure_id  text  id of the erasure
--   created_at  timestamp  when it was erased
--   lifted_at  timestamp?  when it was deliberately imported again
-- Index: none (an insert; the primary key decides the conflict)
-- Rows: 0 or 1 (0: a later record exists)
INSERT INTO tombstones (
    kind,
    subject_hash,
    erasure_id,
    created_at,
    lifted_at
)
VALUES (
    :kind,
    :subject_hash,
    :erasure_id,
    :created_at,
    :lifted_at
)
ON CONFLICT (kind, subject_hash) DO UPDATE
SET
    erasure_id = excluded.erasure_id,
    created_at = excluded.created_at,
    lifted_at = excluded.lifted_at
WHERE excluded.created_at >= tombstones.created_at;

-- name: find_tombstone(kind, subject_hash)^
-- The tombstone of a subject.
--   kind  text  conversation, session, correlation or learning
--   subject_hash  text  HMAC-SHA-256 of the subject's id, lower-case hex
-- Index: tombstones primary key
-- Rows: 0 or 1
-- Record: Tombstone
SELECT
    kind,
    subject_hash,
    erasure_id,
    created_at,
    lifted_at
FROM tombstones
WHERE
    kind = :kind
    AND subject_hash = :subject_hash;

-- name: lift_tombstone(kind, subject_hash, lifted_at)!
-- Lifts a tombstone, so that an erased subject can deliberately be imported again.
--   kind  text  conversation, session, correlation or learning
--   subject_hash  text  HMAC-SHA-256 of the subject's id, lower-case hex
--   lifted_at  timestamp  the instant of the transaction
-- Index: tombstones primary key
-- Rows: 0 or 1 (0: none is in force)
UPDATE tombstones
SET lifted_at = :lifted_at
WHERE
    kind = :kind
    AND subject_hash = :subject_hash
    AND lifted_at IS NULL;

-- name: list_tombstones(after_kind, after_subject_hash, max_rows)
-- One page of the tombstones, including lifted ones.
--   after_kind  text  '' for the first page
--   after_subject_hash  text  '' for the first page
--   max_rows  integer  1 to 1000
-- Index: tombstones primary key (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Tombstone
SELECT
    kind,
    subject_hash,
    erasure_id,
    created_at,
    lifted_at
FROM tombstones
WHERE (kind, subject_hash) > (:after_kind, :after_subject_hash)
ORDER BY kind, subject_hash
LIMIT :max_rows;

-- name: delete_last_messages(conversation_id, max_rows)
-- Deletes the last messages of a conversation: one batch of an erasure.
--   conversation_id  text  id of the conversation
--   max_rows  integer  1 to 1000
-- Index: messages_conversation_id_branch_position_key (range scan, no sort)
-- Rows: 0 to max_rows, in any order
DELETE FROM messages
WHERE
    seq IN (
        SELECT candidates.seq
        FROM messages AS candidates
        WHERE candidates.conversation_id = :conversation_id
        ORDER BY candidates.branch DESC, candidates.position DESC
        LIMIT :max_rows
    )
RETURNING id;

-- name: list_derived_learnings(conversation_id)
-- Learnings of other conversations that have a message of this conversation as a source.
--   conversation_id  text  id of the conversation
-- Index: messages_conversation_id_created_at_id_idx, learning_messages_message_id_idx, learnings_id_key; sorts the learnings
-- Rows: one per learning
-- Record: Learning
-- Allow: max-rows, an erasure needs all of them
SELECT
    id,
    conversation_id,
    category,
    title,
    content,
    confidence,
    tags,
    dedupe_key,
    metadata,
    created_at,
    updated_at,
    deleted_at
FROM learnings
WHERE
    conversation_id <> :conversation_id
    AND id IN (
        SELECT learning_messages.learning_id
        FROM messages
        CROSS JOIN learning_messages
        WHERE
            messages.conversation_id = :conversation_id
            AND learning_messages.message_id = messages.id
    )
ORDER BY created_at, id;

-- name: list_job_texts(after_id, max_rows)
-- One page of the jobs, oldest first, with the fields that could name a person.
--   after_id  integer  the last id of the previous page; 0 for the first page
--   max_rows  integer  1 to 1000
-- Index: job_queue primary key (integer), range scan, no sort
-- Rows: 0 to max_rows
SELECT
    id,
    type,
    worker,
    dedupe_key,
    limit_key,
    sequence_key,
    batch_id,
    after_batch,
    payload,
    progress,
    result,
    last_error
FROM job_queue
WHERE id > :after_id
ORDER BY id
LIMIT :max_rows;

-- name: list_attempt_texts(after_job_id, after_lease_token, max_rows)
-- One page of the jobs' earlier attempts, with the fields that could name a person.
--   after_job_id  integer  job_id of the last row of the previous page; 0 for the first page
--   after_lease_token  integer  lease_token of the same row
--   max_rows  integer  1 to 1000
-- Index: job_attempts primary key (range scan, no sort)
-- Rows: 0 to max_rows
SELECT
    job_id,
    lease_token,
    worker,
    error
FROM job_attempts
WHERE (job_id, lease_token) > (:after_job_id, :after_lease_token)
ORDER BY job_id, lease_token
LIMIT :max_rows;

-- name: erase_job_texts(id, now)!
-- Clears every field of a job that could name a person. A queued or running job ends: its worker loses the lease, and can no
-- longer store a result, progress or an error.
--   id  integer  id of the job
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1
UPDATE job_queue
SET
    payload = '{"erased": true}',
    dedupe_key = NULL,
    limit_key = NULL,
    sequence_key = NULL,
    batch_id = NULL,
    after_batch = NULL,
    waits_for = NULL,
    progress = NULL,
    result = NULL,
    last_error = CASE WHEN last_error IS NULL THEN NULL ELSE 'erased' END,
    last_outcome = CASE WHEN status IN ('queued', 'running') THEN 'cancelled' ELSE last_outcome END,
    status = CASE WHEN status IN ('queued', 'running') THEN 'cancelled' ELSE status END,
    lease_expires_at = NULL,
    updated_at = :now,
    finished_at = coalesce(finished_at, :now)
WHERE id = :id;

-- name: erase_job_attempts(job_id)!
-- Clears the errors of a job's earlier attempts.
--   job_id  integer  id of the job
-- Index: job_attempts primary key (range)
-- Rows: one per failed attempt
UPDATE job_attempts
SET error = 'erased'
WHERE
    job_id = :job_id
    AND error IS NOT NULL;

-- name: rename_job(id, type, worker)!
-- Replaces the type and the worker of a job when one of them names a subject.
--   id  integer  id of the job
--   type  text  the current type, or erased
--   worker  text?  the current worker, or erased
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1
UPDATE job_queue
SET
    type = :type,
    worker = :worker
WHERE id = :id;

-- name: erase_attempt_workers(job_id)!
-- Clears the workers of a job's earlier attempts.
--   job_id  integer  id of the job
-- Index: job_attempts primary key (range)
-- Rows: one per attempt
UPDATE job_attempts
SET worker = 'erased'
WHERE
    job_id = :job_id
    AND worker IS NOT NULL;
