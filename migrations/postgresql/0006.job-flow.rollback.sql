-- LOSES DATA: the limits and the schedules. Jobs that waited for their turn can be claimed.
--
-- Locks: readers and writers of these tables wait until the rollback ends, for milliseconds.
LOCK TABLE job_queue, job_limits, job_groups, schedules IN ACCESS EXCLUSIVE MODE;

DROP TRIGGER job_queue_notify_place ON job_queue;

DROP TRIGGER job_queue_notify_turn ON job_queue;

DROP TRIGGER job_queue_groups_delete ON job_queue;

DROP TRIGGER job_queue_groups_end ON job_queue;

DROP TRIGGER job_queue_groups_requeue ON job_queue;

DROP TRIGGER job_queue_groups_insert ON job_queue;

UPDATE job_queue
SET waits_for = NULL
WHERE waits_for IS NOT NULL;

DROP TABLE schedules;

DROP TABLE job_groups;

DROP TABLE job_limits;

DROP FUNCTION datastore_notify_place();

DROP FUNCTION datastore_lift_limit();

DROP FUNCTION datastore_leave_groups();

DROP FUNCTION datastore_join_groups();
