-- Loses no data: applying the step again rebuilds the indexes.
DROP INDEX uploads_created_at_id_idx;

DROP INDEX uploads_status_created_at_id_idx;

DROP INDEX uploads_learning_id_destination_key;

DROP INDEX job_queue_batch_id_status_idx;

DROP INDEX job_queue_after_batch_idx;

DROP INDEX job_queue_sequence_key_idx;

DROP INDEX job_queue_limit_key_idx;

DROP INDEX job_queue_dedupe_key_key;

DROP INDEX job_queue_unsuccessful_idx;

DROP INDEX job_queue_finished_at_idx;

DROP INDEX job_queue_lease_expires_at_idx;

DROP INDEX job_queue_claim_idx;

DROP INDEX learning_messages_message_id_idx;

DROP INDEX learning_tags_learning_id_idx;

DROP INDEX learnings_conversation_id_dedupe_key_key;

DROP INDEX learnings_conversation_id_created_at_id_idx;

DROP INDEX learnings_category_created_at_id_idx;

DROP INDEX learnings_created_at_id_idx;

DROP INDEX messages_conversation_id_created_at_id_idx;

DROP INDEX messages_partial_created_at_id_idx;

DROP INDEX messages_conversation_id_branch_source_id_key;

DROP INDEX messages_conversation_id_branch_position_key;

DROP INDEX conversations_correlation_id_key;

DROP INDEX conversations_deleted_at_idx;

DROP INDEX conversations_deleted_created_at_id_idx;

DROP INDEX conversations_source_created_at_id_idx;

DROP INDEX conversations_session_id_created_at_id_idx;

DROP INDEX conversations_created_at_id_idx;
