-- Retention policies, and what they let expire. Portable: each statement runs as it stands on every engine.

-- name: set_retention_policy(name, target, scope, scope_value, since, age_days, grace_days, now)^
-- Keeps a policy; one of the same name is replaced.
--   name  text  1 to 100 characters
--   target  text  conversations, learnings, jobs, attempts, uploads or redactions
--   scope  text  all; source or session_prefix (conversations); category (learnings)
--   scope_value  text?  the source, the beginning of the session id, the category; NULL for all
--   since  text  activity or completion: what the age is counted from
--   age_days  real  0 to 36500
--   grace_days  real  0 to 36500: how long a conversation stays hidden before it is deleted for good
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
--   after_name  text  only with a greater name; empty for the first page
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
-- Deletes a policy; what it soft-deleted stays so.
--   name  text  which one
-- Index: retention_policies primary key
-- Rows: 0 or 1 (0: there is none)
DELETE FROM retention_policies
WHERE name = :name;

-- name: list_expired_conversations(source, session_from, session_to, completed_before, updated_before, after_created_at, after_id, max_rows)
-- One page of the conversations that a policy hides, oldest first; those on legal hold are none of them.
--   source  text  only from this source
--   session_from  text  only with a session id from here on: the prefix itself
--   session_to  text  ... and before this
--   completed_before  timestamp  only those that were over before then
--   updated_before  timestamp  the latest updated_at, exclusive; what began later was active later
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
-- One page of the hidden conversations whose grace is over, longest hidden first; those on legal hold are none of them.
--   source  text  only from this source
--   session_from  text  only with a session id from here on: the prefix itself
--   session_to  text  ... and before this
--   deleted_before  timestamp  the latest deleted_at, exclusive
--   after_deleted_at  timestamp  rows hidden later than (after_deleted_at, after_id); the earliest for the first page
--   after_id  text  '' for the first page
--   max_rows  integer  1 to 1000
-- Index: conversations_deleted_at_idx (range scan); sorts only what was hidden at the same instant
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
-- One page of the learnings that a policy deletes, oldest first; those of a conversation on legal hold are none of them.
--   category  text  only of this category
--   updated_before  timestamp  the latest updated_at, exclusive
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
-- How many jobs a policy deletes, and when the first of them ended.
--   finished_before  timestamp  the latest finished_at, exclusive
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
-- How many earlier attempts a policy deletes, and when the first of them ended.
--   finished_before  timestamp  the latest finished_at, exclusive
-- Index: none (read to its end)
-- Rows: 1
-- Returns: oldest timestamp?
-- Allow: full-scan, few jobs are tried twice, and a policy is applied now and then
SELECT
    min(finished_at) AS oldest,
    count(*) AS expired
FROM job_attempts
WHERE finished_at < :finished_before;

-- name: prune_attempts(finished_before, max_rows)
-- Deletes earlier attempts, those of the first jobs first.
--   finished_before  timestamp  the latest finished_at, exclusive
--   max_rows  integer  1 to 1000
-- Index: job_attempts primary key (read in its order, no sort)
-- Rows: 0 to max_rows, in any order
-- Allow: full-scan, few jobs are tried twice, and a policy is applied now and then
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
-- How many uploads a policy deletes, and when the first of them was confirmed; none of a conversation on legal hold.
--   confirmed_before  timestamp  the latest confirmed_at, exclusive
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
-- Deletes uploads that were confirmed, oldest first; what is at the destination stays there, and so does what belongs
-- to a conversation on legal hold.
--   confirmed_before  timestamp  the latest confirmed_at, exclusive
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
-- How many redactions a policy deletes, and when the first of them was made; none of a conversation on legal hold.
--   created_before  timestamp  the latest created_at, exclusive
-- Index: redactions_conversation_id_created_at_id_idx (read to its end)
-- Rows: 1
-- Returns: oldest timestamp?
-- Allow: full-scan, a policy is applied now and then
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
-- Deletes redactions, the first stored first; those of a conversation on legal hold stay.
--   created_before  timestamp  the latest created_at, exclusive
--   max_rows  integer  1 to 1000
-- Index: redactions primary key (read in its order, no sort)
-- Rows: 0 to max_rows, in any order
-- Allow: full-scan, the first stored are the oldest, so that a batch is found at once
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
