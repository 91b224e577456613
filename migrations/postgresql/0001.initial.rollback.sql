-- LOSES DATA: every conversation, message, learning, job and upload. Back up first.
DROP TABLE audit_log_counter;

DROP TABLE uploads;

DROP TABLE job_counts;

DROP TABLE job_pauses;

DROP VIEW job_history;

DROP TABLE job_attempts;

DROP TABLE job_queue;

DROP TABLE learning_messages;

DROP TABLE learning_tags;

DROP TABLE learnings;

DROP TABLE messages;

DROP TABLE branches;

DROP TABLE conversations;

DROP FUNCTION datastore_json_patch(JSON, JSON);

DROP FUNCTION datastore_notify_jobs();

DROP FUNCTION datastore_forget_job_type(TEXT);

DROP FUNCTION datastore_discount_ended_job();

DROP FUNCTION datastore_count_ended_job();

DROP FUNCTION datastore_keep_attempt();

DROP FUNCTION datastore_index_tags();

DROP FUNCTION datastore_hide_learnings();

DROP FUNCTION datastore_delete_branch_messages();

DROP FUNCTION datastore_number_branch();

DROP FUNCTION datastore_count_branch_message();

DROP FUNCTION datastore_count_deleted_messages();

DROP FUNCTION datastore_count_added_messages();

DROP FUNCTION datastore_refuse();
