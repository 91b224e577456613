-- LOSES DATA: the audit log and the redactions. Export or back up first.
--
-- Refused while the log has an entry, unless DATASTORE_ROLLBACK=destroy is set (docs/migrations.md).
CREATE TEMP TABLE rollback_guard (
    found INTEGER,
    CONSTRAINT audit_log_rollback_guard CHECK (found = 0)
);

INSERT INTO rollback_guard (found)
SELECT count(*)
FROM audit_log
WHERE NOT EXISTS (SELECT 1 FROM sqlite_temp_master AS marks WHERE marks.name = 'rollback_may_destroy');

DROP TABLE rollback_guard;

DROP TABLE redactions;

DROP TRIGGER audit_log_count;

DROP TRIGGER audit_log_append_only_insert;

DROP TRIGGER audit_log_append_only_delete;

DROP TRIGGER audit_log_append_only_update;

DROP TABLE audit_log;
