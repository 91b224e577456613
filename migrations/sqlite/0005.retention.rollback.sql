-- LOSES DATA: the register of backups (the files remain), the times of maintenance, legal holds, policies, receipts and tombstones.
--
-- Refused while a hold, a receipt or a tombstone is stored, unless DATASTORE_ROLLBACK=destroy is set (docs/migrations.md).
CREATE TEMP TABLE rollback_guard (
    found INTEGER,
    CONSTRAINT legal_holds_rollback_guard CHECK (found = 0)
);

INSERT INTO rollback_guard (found)
SELECT count(*)
FROM (
    SELECT id FROM legal_holds
    UNION ALL
    SELECT id FROM erasures
    UNION ALL
    SELECT subject_hash FROM tombstones
) AS kept
WHERE NOT EXISTS (SELECT 1 FROM sqlite_temp_master AS marks WHERE marks.name = 'rollback_may_destroy');

DROP TABLE rollback_guard;

DROP TRIGGER legal_holds_replace_insert;

DROP TRIGGER uploads_replace_update;

DROP TRIGGER uploads_replace_insert;

DROP TRIGGER learnings_replace_update;

DROP TRIGGER learnings_replace_insert;

DROP TRIGGER redactions_replace_update;

DROP TRIGGER redactions_replace_insert;

DROP TRIGGER messages_replace_update;

DROP TRIGGER messages_replace_insert;

DROP TRIGGER branches_replace_update;

DROP TRIGGER branches_replace_insert;

DROP TRIGGER conversations_replace_update;

DROP TRIGGER conversations_replace_insert;

DROP TRIGGER legal_holds_legal_hold_update;

DROP TRIGGER legal_holds_legal_hold_delete;

DROP TRIGGER uploads_legal_hold_update;

DROP TRIGGER uploads_legal_hold_delete;

DROP TRIGGER learning_messages_legal_hold_update;

DROP TRIGGER learning_messages_legal_hold_delete;

DROP TRIGGER learnings_legal_hold_hide;

DROP TRIGGER learnings_legal_hold_update;

DROP TRIGGER learnings_legal_hold_delete;

DROP TRIGGER redactions_legal_hold_update;

DROP TRIGGER redactions_legal_hold_delete;

DROP TRIGGER messages_legal_hold_update;

DROP TRIGGER messages_legal_hold_delete;

DROP TRIGGER branches_legal_hold_update;

DROP TRIGGER branches_legal_hold_delete;

DROP TRIGGER conversations_legal_hold_update;

DROP TRIGGER conversations_legal_hold_delete;

DROP VIEW held_learnings;

DROP VIEW held_conversations;

DROP TABLE tombstones;

DROP TABLE erasure_keys;

DROP TABLE erasures;

DROP TABLE retention_policies;

DROP TABLE legal_holds;

DROP TABLE maintenance_tasks;

DROP TABLE backups;
