-- LOSES DATA: the limits and the schedules. Jobs that waited for their turn can be claimed.
DROP TRIGGER job_limits_update;

DROP TRIGGER job_limits_delete;

DROP TRIGGER job_queue_groups_delete;

DROP TRIGGER job_queue_groups_end;

DROP TRIGGER job_queue_groups_requeue;

DROP TRIGGER job_queue_groups_insert;

UPDATE job_queue
SET waits_for = NULL
WHERE waits_for IS NOT NULL;

DROP TABLE schedules;

DROP TABLE job_groups;

DROP TABLE job_limits;
