-- Retention policies, and the rows that expire under them. Portable: every statement runs unchanged on every engine.

-- name: set_retention_policy(name, target, scope, scope_value, since, age_days, grace_days, now)^
-- Stores a policy; replaces one with the same name.
--   name  text  1 to 100 characters
--   target  text  conversations, learnings, jobs, attempts, uploads or redactions
--   scope  text  all; source or session_prefix (conversations); category (learnings)
--   scope_value  text?  the source, the prefix of the session id, or the category; NULL for all
--   since  text  activity or completion: the event that the age is counted from
--   age_days  real  0 to 36500
--   grace_days  real  0 to 36500: how long a conversation stays hidden before it is deleted permanently
--   now  timestamp  the instant of the transaction
-- Index: none (an insert; the primary key decides the conflict)
-- Rows: 1
-- Record: RetentionPolicy
INSERT INTO retention_policies (
    name,
    target,
    scope,
    scope_value,
    since,
    age_days,
    grace_days,
    created_at,
    updated_at
)
VALUES (
    :name,
    :target,
    :scope,
    :scope_value,
    :since,
    :age_days,
    :grace_days,
    :now,
    :now
)
ON CONFLICT (name) DO UPDATE
SET
    target = excluded.target,
    scope = excluded.scope,
    scope_value = excluded.scope_value,
    since = excluded.since,
    age_days = excluded.age_days,
    grace_days = excluded.grace_days,
    updated_at = excluded.updated_at
RETURNING
    name,
    target,
    scope,
    scope_value,
    since,
    age_days,
    grace_days,
    created_at,
    updated_at;

-- name: list_retention_policies(after_name, max_rows)
-- One page of the policies, by name.
--   after_name  text  return policies after this name; '' for the first page
--   max_rows  integer  1 to 1001
-- Index: retention_policies primary key (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: RetentionPolicy
SELECT
    name,
    target,
    scope,
    scope_value,
    since,
    age_days,
    grace_days,
    created_at,
    updated_at
FROM retention_policies
WHERE name > :after_name
ORDER BY name
LIMIT :max_rows;

-- name: delete_retention_policy(name)!
-- Deletes a policy; conversations that it soft-deleted stay soft-deleted.
--   name  text  name of the policy
-- Index: retention_policies primary key
-- Rows: 0 or 1 (0: not found)
DELETE FROM retention_policies
WHERE name = :name;

-- name: list_expired_conversations(source, session_from, session_to, completed_before, updated_before, after_created_at, after_id, max_rows)
-- One page of the conversations that a policy would hide, oldest first; excludes those on legal hold.
--   source  text  only from this source
--   session_from  text  lower bound of session_id, inclusive: the prefix itself
--   session_to  text  upper bound of session_id, exclusive
--   completed_before  timestamp  only those completed before this instant
--   updated_before  timestamp  upper bound of updated_at, exclusive; a conversation that began later was active later
--   after_created_at  timestamp  rows newer than (after_created_at, after_id); the earliest instant for the first page
--   after_id  text  '' for the first page
--   max_rows  integer  1 to 1000
-- Index: conversations_created_at_id_idx (range scan, no sort)
--   with source: conversations_source_created_at_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Conversation
SELECT
    id,
    session_id,
    correlation_id,
    source,
    title,
    sanitization_version,
    metadata,
    message_count,
    last_position,
    active_branch,
    last_branch,
    created_at,
    updated_at,
    completed_at,
    deleted_at
FROM conversations
WHERE
    deleted_at IS NULL
    AND source = :source -- if: source
    AND session_id >= :session_from -- if: session_from
    AND session_id < :session_to -- if: session_to
    AND completed_at < :completed_before -- if: completed_before
    AND created_at < :updated_before
    AND updated_at < :updated_before
    AND (created_at, id) > (:after_created_at, :after_id)
    AND NOT EXISTS (
        SELECT 1
        FROM legal_holds
        WHERE
            legal_holds.conversation_id = conversations.id
            AND legal_holds.released_at IS NULL
    )
ORDER BY created_at, id
LIMIT :max_rows;

-- name: list_expired_hidden_conversations(source, session_from, session_to, deleted_before, after_deleted_at, after_id, max_rows)
-- One page of the hidden conversations whose grace period has ended, longest hidden first; excludes those on legal hold.
--   source  text  only from this source
--   session_from  text  lower bound of session_id, inclusive: the prefix itself
--   session_to  text  upper bound of session_id, exclusive
--   deleted_before  timestamp  upper bound of deleted_at, exclusive
--   after_deleted_at  timestamp  rows hidden later than (after_deleted_at, after_id); the earliest instant for the first page
--   after_id  text  '' for the first page
--   max_rows  integer  1 to 1000
-- Index: conversations_deleted_at_idx (range scan); sorts only rows hidden at the same instant
-- Rows: 0 to max_rows
-- Record: Conversation
SELECT
    id,
    session_id,
    correlation_id,
    source,
    title,
    sanitization_version,
    metadata,
    message_count,
    last_position,
    active_branch,
    last_branch,
    created_at,
    updated_at,
    completed_at,
    deleted_at
FROM conversations
WHERE
    deleted_at IS NOT NULL
    AND source = :source -- if: source
    AND session_id >= :session_from -- if: session_from
    AND session_id < :session_to -- if: session_to
    AND deleted_at < :deleted_before
    AND (deleted_at, id) > (:after_deleted_at, :after_id)
    AND NOT EXISTS (
        SELECT 1
        FROM legal_holds
        WHERE
            legal_holds.conversation_id = conversations.id
            AND legal_holds.released_at IS NULL
    )
ORDER BY deleted_at, id
LIMIT :max_rows;

-- name: list_expired_learnings(category, updated_before, after_created_at, after_id, max_rows)
-- One page of the learnings that a policy would delete, oldest first; excludes those of a conversation on legal hold.
--   category  text  only in this category
--   updated_before  timestamp  upper bound of updated_at, exclusive
--   after_created_at  timestamp  rows newer than (after_created_at, after_id); the earliest instant for the first page
--   after_id  text  '' for the first page
--   max_rows  integer  1 to 1000
-- Index: learnings_created_at_id_idx (range scan, no sort)
--   with category: learnings_category_created_at_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
SELECT
    id,
    created_at,
    updated_at
FROM learnings
WHERE
    deleted_at IS NULL
    AND category = :category -- if: category
    AND created_at < :updated_before
    AND updated_at < :updated_before
    AND (created_at, id) > (:after_created_at, :after_id)
    AND NOT EXISTS (
        SELECT 1
        FROM legal_holds
        WHERE
            legal_holds.conversation_id = learnings.conversation_id
            AND legal_holds.released_at IS NULL
    )
ORDER BY created_at, id
LIMIT :max_rows;

-- name: count_expired_jobs(finished_before)^
-- The number of jobs that a policy would delete, and when the first of them ended.
--   finished_before  timestamp  upper bound of finished_at, exclusive
-- Index: job_queue_finished_at_idx (range scan)
-- Rows: 1
-- Returns: oldest timestamp?
SELECT
    min(finished_at) AS oldest,
    count(*) AS expired
FROM job_queue
WHERE
    status IN ('succeeded', 'failed', 'quarantined', 'cancelled')
    AND finished_at < :finished_before;

-- name: count_expired_attempts(finished_before)^
-- The number of earlier attempts that a policy would delete, and when the first of them ended.
--   finished_before  timestamp  upper bound of finished_at, exclusive
-- Index: none (reads the whole table)
-- Rows: 1
-- Returns: oldest timestamp?
-- Allow: full-scan, few jobs are retried, and policies are applied rarely
SELECT
    min(finished_at) AS oldest,
    count(*) AS expired
FROM job_attempts
WHERE finished_at < :finished_before;

-- name: prune_attempts(finished_before, max_rows)
-- Deletes earlier attempts, in the order of the job ids.
--   finished_before  timestamp  upper bound of finished_at, exclusive
--   max_rows  integer  1 to 1000
-- Index: job_attempts primary key (scan in its order, no sort)
-- Rows: 0 to max_rows, in any order
-- Allow: full-scan, few jobs are retried, and policies are applied rarely
DELETE FROM job_attempts
WHERE
    (job_id, lease_token) IN (
        SELECT
            candidates.job_id,
            candidates.lease_token
        FROM job_attempts AS candidates
        WHERE candidates.finished_at < :finished_before
        ORDER BY candidates.job_id, candidates.lease_token
        LIMIT :max_rows
    )
RETURNING job_id;

-- name: count_expired_uploads(confirmed_before)^
-- The number of uploads that a policy would delete, and when the first of them was confirmed; excludes those of a
-- conversation on legal hold.
--   confirmed_before  timestamp  upper bound of confirmed_at, exclusive
-- Index: uploads_status_created_at_id_idx (range scan)
-- Rows: 1
-- Returns: oldest timestamp?
SELECT
    min(confirmed_at) AS oldest,
    count(*) AS expired
FROM uploads
WHERE
    status = 'confirmed'
    AND created_at < :confirmed_before
    AND confirmed_at < :confirmed_before
    AND NOT EXISTS (
        SELECT 1
        FROM learnings
        INNER JOIN legal_holds ON learnings.conversation_id = legal_holds.conversation_id
        WHERE
            learnings.id = uploads.learning_id
            AND legal_holds.released_at IS NULL
    );

-- name: prune_uploads(confirmed_before, max_rows)
-- Deletes confirmed uploads, oldest first, except those of a conversation on legal hold. Nothing is deleted at the
-- destination.
--   confirmed_before  timestamp  upper bound of confirmed_at, exclusive
--   max_rows  integer  1 to 1000
-- Index: uploads_status_created_at_id_idx (range scan, no sort)
-- Rows: 0 to max_rows, in any order
DELETE FROM uploads
WHERE
    seq IN (
        SELECT candidates.seq
        FROM uploads AS candidates
        WHERE
            candidates.status = 'confirmed'
            AND candidates.created_at < :confirmed_before
            AND candidates.confirmed_at < :confirmed_before
            AND NOT EXISTS (
                SELECT 1
                FROM learnings
                INNER JOIN legal_holds ON learnings.conversation_id = legal_holds.conversation_id
                WHERE
                    learnings.id = candidates.learning_id
                    AND legal_holds.released_at IS NULL
            )
        ORDER BY candidates.created_at, candidates.id
        LIMIT :max_rows
    )
RETURNING id;

-- name: count_expired_redactions(created_before)^
-- The number of redactions that a policy would delete, and when the first of them was made; excludes those of
-- a conversation on legal hold.
--   created_before  timestamp  upper bound of created_at, exclusive
-- Index: redactions_conversation_id_created_at_id_idx (full scan)
-- Rows: 1
-- Returns: oldest timestamp?
-- Allow: full-scan, policies are applied rarely
SELECT
    min(created_at) AS oldest,
    count(*) AS expired
FROM redactions
WHERE
    created_at < :created_before
    AND NOT EXISTS (
        SELECT 1
        FROM legal_holds
        WHERE
            legal_holds.conversation_id = redactions.conversation_id
            AND legal_holds.released_at IS NULL
    );

-- name: purge_redactions(created_before, max_rows)
-- Deletes redactions in the order in which they were stored, except those of a conversation on legal hold.
--   created_before  timestamp  upper bound of created_at, exclusive
--   max_rows  integer  1 to 1000
-- Index: redactions primary key (scan in its order, no sort)
-- Rows: 0 to max_rows, in any order
-- Allow: full-scan, rows are stored oldest first, so the scan finds a batch immediately
DELETE FROM redactions
WHERE
    seq IN (
        SELECT candidates.seq
        FROM redactions AS candidates
        WHERE
            candidates.created_at < :created_before
            AND NOT EXISTS (
                SELECT 1
                FROM legal_holds
                WHERE
                    legal_holds.conversation_id = candidates.conversation_id
                    AND legal_holds.released_at IS NULL
            )
        ORDER BY candidates.seq
        LIMIT :max_rows
    )
RETURNING id;
