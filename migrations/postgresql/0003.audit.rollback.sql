-- LOSES DATA: the audit log and the redactions. Export or back up first.
DROP TABLE redactions;

DROP TABLE audit_log;

DROP FUNCTION datastore_number_audit_entry();

DROP TABLE audit_log_counter;
