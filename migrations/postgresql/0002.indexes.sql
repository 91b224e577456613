-- Indexes: for foreign keys, for the order of the lists, and for the job queue.
--
-- The same indexes as in SQLite. Every list has an index that ends with the list's total order, so that a page is a range of the
-- index and needs no sort. "Serves" names the statements that an index was created for; the catalogue (docs/catalog/index.html)
-- lists all statements that use it.
--
-- Locks: none that a reader or writer waits for. CREATE INDEX CONCURRENTLY cannot be part of a transaction. If the step fails, apply
-- it again: it builds what is missing. It waits for every transaction that began before it.
-- Rollback: loses no data.
-- depends: 0001.initial
-- transactional: false

-- Serves list_conversations, count_conversations.
CREATE INDEX CONCURRENTLY IF NOT EXISTS conversations_created_at_id_idx ON conversations (created_at, id)
WHERE deleted_at IS NULL;

-- Serves list_conversations and count_conversations with a session.
CREATE INDEX CONCURRENTLY IF NOT EXISTS conversations_session_id_created_at_id_idx
ON conversations (session_id, created_at, id)
WHERE deleted_at IS NULL;

-- Serves list_conversations and count_conversations with a source.
CREATE INDEX CONCURRENTLY IF NOT EXISTS conversations_source_created_at_id_idx ON conversations (source, created_at, id)
WHERE deleted_at IS NULL;

-- Serves list_deleted_conversations and count_deleted_conversations.
CREATE INDEX CONCURRENTLY IF NOT EXISTS conversations_deleted_created_at_id_idx ON conversations (created_at, id)
WHERE deleted_at IS NOT NULL;

-- Serves list_purgeable_conversations.
CREATE INDEX CONCURRENTLY IF NOT EXISTS conversations_deleted_at_idx ON conversations (deleted_at)
WHERE deleted_at IS NOT NULL;

-- Serves find_conversation_by_correlation.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS conversations_correlation_id_key ON conversations (correlation_id)
WHERE correlation_id IS NOT NULL;

-- Serves list_messages_after, list_messages_before and the other statements that read a branch by position; the foreign key.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS messages_conversation_id_branch_position_key ON messages (conversation_id, branch, position);

-- Serves find_message_by_source. Only imported messages are in it.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS messages_conversation_id_branch_source_id_key
ON messages (conversation_id, branch, source_id)
WHERE source_id IS NOT NULL;

-- Serves list_partial_messages. Finished messages are not in it.
CREATE INDEX CONCURRENTLY IF NOT EXISTS messages_partial_created_at_id_idx ON messages (created_at, id)
WHERE partial = 1;

-- Serves list_messages_by_time_after, list_messages_by_time_before.
CREATE INDEX CONCURRENTLY IF NOT EXISTS messages_conversation_id_created_at_id_idx
ON messages (conversation_id, created_at, id);

-- Serves list_learnings.
CREATE INDEX CONCURRENTLY IF NOT EXISTS learnings_created_at_id_idx ON learnings (created_at, id)
WHERE deleted_at IS NULL;

-- Serves list_learnings and count_learnings with a category.
CREATE INDEX CONCURRENTLY IF NOT EXISTS learnings_category_created_at_id_idx ON learnings (category, created_at, id)
WHERE deleted_at IS NULL;

-- Serves list_learnings_by_conversation; the foreign key.
CREATE INDEX CONCURRENTLY IF NOT EXISTS learnings_conversation_id_created_at_id_idx
ON learnings (conversation_id, created_at, id);

-- Serves add_learning: storing the same learning again returns the first one.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS learnings_conversation_id_dedupe_key_key
ON learnings (conversation_id, dedupe_key);

-- Serves the foreign key, and learnings_tags_update.
CREATE INDEX CONCURRENTLY IF NOT EXISTS learning_tags_learning_id_idx ON learning_tags (learning_id);

-- Serves the foreign key.
CREATE INDEX CONCURRENTLY IF NOT EXISTS learning_messages_message_id_idx ON learning_messages (message_id);

-- Serves claim_jobs and list_queued_job_types: one short range per type and level.
CREATE INDEX CONCURRENTLY IF NOT EXISTS job_queue_claim_idx ON job_queue (type, priority DESC, run_at, id)
WHERE status = 'queued' AND waits_for IS NULL;

-- Serves list_expired_jobs; count_running_jobs reads nothing but this index.
CREATE INDEX CONCURRENTLY IF NOT EXISTS job_queue_lease_expires_at_idx ON job_queue (lease_expires_at, id, type, limit_key, status)
WHERE status = 'running';

-- Serves prune_jobs.
CREATE INDEX CONCURRENTLY IF NOT EXISTS job_queue_finished_at_idx ON job_queue (finished_at)
WHERE status IN ('succeeded', 'failed', 'quarantined', 'cancelled');

-- Serves list_unsuccessful_jobs. Jobs that succeed never enter this index.
CREATE INDEX CONCURRENTLY IF NOT EXISTS job_queue_unsuccessful_idx ON job_queue (status, id)
WHERE status IN ('failed', 'quarantined', 'cancelled');

-- Serves add_job, find_live_job: at most one live job per key.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS job_queue_dedupe_key_key ON job_queue (dedupe_key)
WHERE dedupe_key IS NOT NULL AND status IN ('queued', 'running');

-- Serves list_limited_jobs: the jobs that found no free place, by key.
CREATE INDEX CONCURRENTLY IF NOT EXISTS job_queue_limit_key_idx ON job_queue (type, limit_key, priority DESC, run_at, id)
WHERE waits_for = 'limit';

-- Serves the triggers of 0006.job-flow: the next job of a sequence, ...
CREATE INDEX CONCURRENTLY IF NOT EXISTS job_queue_sequence_key_idx ON job_queue (sequence_key, id)
WHERE waits_for = 'sequence';

-- ... and the jobs that start after a batch.
CREATE INDEX CONCURRENTLY IF NOT EXISTS job_queue_after_batch_idx ON job_queue (after_batch)
WHERE waits_for = 'batch';

-- Serves list_jobs_by_batch and count_batch_jobs.
CREATE INDEX CONCURRENTLY IF NOT EXISTS job_queue_batch_id_status_idx ON job_queue (batch_id, status)
WHERE batch_id IS NOT NULL;

-- Serves find_upload_by_destination, add_upload; the foreign key.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS uploads_learning_id_destination_key ON uploads (learning_id, destination);

-- Serves list_uploads with a status.
CREATE INDEX CONCURRENTLY IF NOT EXISTS uploads_status_created_at_id_idx ON uploads (status, created_at, id);

-- Serves list_uploads.
CREATE INDEX CONCURRENTLY IF NOT EXISTS uploads_created_at_id_idx ON uploads (created_at, id);
