-- LOSES DATA: the audit log and the redactions. Export or back up first.
--
-- Refused while the log has an entry, unless DATASTORE_ROLLBACK=destroy is set (docs/migrations.md).
-- Locks: readers and writers of these tables wait until the rollback ends, for milliseconds.
LOCK TABLE audit_log, redactions, messages, conversations IN ACCESS EXCLUSIVE MODE;

DO $$
BEGIN
    IF coalesce(current_setting('datastore.rollback', TRUE), '') <> 'destroy' AND EXISTS (SELECT 1 FROM audit_log) THEN
        RAISE EXCEPTION USING ERRCODE = 'DS001', CONSTRAINT = 'audit_log_rollback_guard', MESSAGE = 'audit_log_rollback_guard';
    END IF;
END;
$$;

DROP TABLE redactions;

DROP TABLE audit_log;

DROP FUNCTION datastore_number_audit_entry();
