-- Erasures, their receipts and tombstones. Portable: each statement runs as it stands on every engine.

-- name: add_erasure(id, subject_kind, subject_hash, status, actor, reason, receipt, now)^
-- Notes what is to be erased, before anything is deleted.
--   id  text  a time-ordered UUID
--   subject_kind  text  conversation, session, correlation or learning
--   subject_hash  text  HMAC-SHA-256 of the subject's id, lower-case hex
--   status  text  blocked or deleting
--   actor  text  who asked: the name that the store was opened with
--   reason  text?  why; no content
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
-- Notes how far an erasure came.
--   id  text  which one
--   status  text  deleted, scrubbed or verified
--   receipt  json  an object of counts and names
--   now  timestamp  the instant of the transaction
-- Index: erasures primary key
-- Rows: 0 or 1 (0: there is none)
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
--   id  text  which one
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
-- Keeps a key, unless it is there.
--   id  text  a time-ordered UUID
--   secret  text  32 random bytes, lower-case hex
--   created_at  timestamp  when it was made
-- Index: none (an insert; the primary key decides the conflict)
-- Rows: 0 or 1 (0: it is there already)
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
-- The keys, oldest first: new hashes are made with the first one.
--   max_rows  integer  1 to 1000
-- Index: erasure_keys primary key (read as a whole); sorts a handful
-- Rows: 0 to max_rows
-- Record: ErasureKey
-- Allow: full-scan, there are a handful of keys
SELECT
    id,
    secret,
    created_at
FROM erasure_keys
ORDER BY created_at, id
LIMIT :max_rows;

-- name: add_tombstone(kind, subject_hash, erasure_id, created_at, lifted_at)!
-- Notes that something was erased; the later of two notes counts.
--   kind  text  conversation, session, correlation or learning
--   subject_hash  text  HMAC-SHA-256 of its id, lower-case hex
--   erasure_id  text  by which erasure
--   created_at  timestamp  when
--   lifted_at  timestamp?  when it was imported again, on purpose
-- Index: none (an insert; the primary key decides the conflict)
-- Rows: 0 or 1 (0: a later note is there)
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
-- The tombstone of something that was erased.
--   kind  text  conversation, session, correlation or learning
--   subject_hash  text  HMAC-SHA-256 of its id, lower-case hex
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
-- Lets something that was erased come back: somebody imports it again, on purpose.
--   kind  text  conversation, session, correlation or learning
--   subject_hash  text  HMAC-SHA-256 of its id, lower-case hex
--   lifted_at  timestamp  the instant of the transaction
-- Index: tombstones primary key
-- Rows: 0 or 1 (0: there is none in force)
UPDATE tombstones
SET lifted_at = :lifted_at
WHERE
    kind = :kind
    AND subject_hash = :subject_hash
    AND lifted_at IS NULL;

-- name: list_tombstones(after_kind, after_subject_hash, max_rows)
-- One page of the tombstones, the lifted ones too.
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
-- Deletes the last messages of a conversation: a slice of what is erased.
--   conversation_id  text  which conversation
--   max_rows  integer  1 to 1000
-- Index: messages_conversation_id_position_key (range scan, no sort)
-- Rows: 0 to max_rows, in any order
DELETE FROM messages
WHERE
    seq IN (
        SELECT candidates.seq
        FROM messages AS candidates
        WHERE candidates.conversation_id = :conversation_id
        ORDER BY candidates.position DESC
        LIMIT :max_rows
    )
RETURNING id;

-- name: list_derived_learnings(conversation_id)
-- Learnings of other conversations that a message of this one is a source of.
--   conversation_id  text  which conversation
-- Index: messages_conversation_id_created_at_id_idx, learning_messages_message_id_idx, learnings_id_key; sorts them
-- Rows: one a learning
-- Record: Learning
-- Allow: max-rows, an erasure takes them all
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
-- One page of the jobs, oldest first: whatever of them a person could be named in.
--   after_id  integer  the last id of the page before; 0 for the first page
--   max_rows  integer  1 to 1000
-- Index: job_queue primary key (integer), range scan, no sort
-- Rows: 0 to max_rows
SELECT
    id,
    type,
    worker,
    dedupe_key,
    payload,
    progress,
    result,
    last_error
FROM job_queue
WHERE id > :after_id
ORDER BY id
LIMIT :max_rows;

-- name: list_attempt_texts(after_job_id, after_lease_token, max_rows)
-- One page of the jobs' earlier attempts: whatever of them a person could be named in.
--   after_job_id  integer  of the last row of the page before; 0 for the first page
--   after_lease_token  integer  of the same row
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
-- Takes everything out of a job that a person could be named in. One that waits or runs ends: its worker has lost the lease, and
-- stores neither result nor progress nor error any more.
--   id  integer  which job
--   now  timestamp  the instant of the transaction
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1
UPDATE job_queue
SET
    payload = '{"erased": true}',
    dedupe_key = NULL,
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
-- Takes the errors out of a job's earlier attempts.
--   job_id  integer  which job
-- Index: job_attempts primary key (range)
-- Rows: one an attempt that failed
UPDATE job_attempts
SET error = 'erased'
WHERE
    job_id = :job_id
    AND error IS NOT NULL;

-- name: rename_job(id, type, worker)!
-- Gives a job, whose type or worker names a subject, others.
--   id  integer  which job
--   type  text  its type, or erased
--   worker  text?  its worker, or erased
-- Index: job_queue primary key (integer)
-- Rows: 0 or 1
UPDATE job_queue
SET
    type = :type,
    worker = :worker
WHERE id = :id;

-- name: erase_attempt_workers(job_id)!
-- Takes the workers out of a job's earlier attempts.
--   job_id  integer  which job
-- Index: job_attempts primary key (range)
-- Rows: one an attempt
UPDATE job_attempts
SET worker = 'erased'
WHERE
    job_id = :job_id
    AND worker IS NOT NULL;

-- name: forget_job_type(type)!
-- Takes the counts of a type away that no job has any more.
--   type  text  which type
-- Index: job_counts primary key (range)
-- Rows: 0 to five, on PostgreSQL to 64
-- Allow: full-scan, for a type that names a subject, which is rare: no index leads with the type alone
DELETE FROM job_counts
WHERE
    type = :type
    AND NOT EXISTS (
        SELECT 1
        FROM job_queue
        WHERE job_queue.type = :type
    );
