-- LOSES DATA: which types are paused.
DROP TRIGGER job_queue_notify_update ON job_queue;

DROP TRIGGER job_queue_notify_insert ON job_queue;

DROP TRIGGER job_queue_count_delete ON job_queue;

DROP TRIGGER job_queue_count_insert ON job_queue;

DROP TRIGGER job_queue_count_requeue ON job_queue;

DROP TRIGGER job_queue_count_end ON job_queue;

DROP FUNCTION datastore_discount_ended_job();

DROP FUNCTION datastore_count_ended_job();

DROP VIEW job_history;

DROP TRIGGER job_queue_attempt_requeue ON job_queue;

DROP TRIGGER job_queue_attempt_end ON job_queue;

DROP FUNCTION datastore_keep_attempt();

DROP INDEX job_queue_unsuccessful_idx;

DROP TABLE job_counts;

DROP TABLE job_pauses;

DROP FUNCTION datastore_notify_jobs();
