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

PRAGMA application_id = 0;
