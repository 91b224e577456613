-- LOSES DATA: the audit log and the redactions. Export or back up first.
DROP TABLE redactions;

DROP TRIGGER audit_log_append_only_insert;

DROP TRIGGER audit_log_append_only_delete;

DROP TRIGGER audit_log_append_only_update;

DROP TABLE audit_log;
