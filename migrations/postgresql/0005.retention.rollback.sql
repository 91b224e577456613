-- LOSES DATA: the register of backups (the files remain), the times of maintenance, legal holds, policies, receipts and tombstones.
--
-- Refused while a hold, a receipt or a tombstone is stored, unless DATASTORE_ROLLBACK=destroy is set (docs/migrations.md).
-- Locks: readers and writers of these tables wait until the rollback ends, for milliseconds.
LOCK TABLE
held_learnings, held_conversations, legal_holds, redactions, learning_messages, uploads, messages, learnings, conversations,
erasures, erasure_keys, tombstones, retention_policies
IN ACCESS EXCLUSIVE MODE;

DO $$
BEGIN
    IF
        coalesce(current_setting('datastore.rollback', TRUE), '') <> 'destroy'
        AND (
            EXISTS (SELECT 1 FROM legal_holds)
            OR EXISTS (SELECT 1 FROM erasures)
            OR EXISTS (SELECT 1 FROM tombstones)
        )
        THEN
        RAISE EXCEPTION USING ERRCODE = 'DS001', CONSTRAINT = 'legal_holds_rollback_guard', MESSAGE = 'legal_holds_rollback_guard';
    END IF;
END;
$$;

DROP TRIGGER legal_holds_legal_hold_truncate ON legal_holds;

DROP TRIGGER uploads_legal_hold_truncate ON uploads;

DROP TRIGGER learning_messages_legal_hold_truncate ON learning_messages;

DROP TRIGGER learnings_legal_hold_truncate ON learnings;

DROP TRIGGER redactions_legal_hold_truncate ON redactions;

DROP TRIGGER messages_legal_hold_truncate ON messages;

DROP TRIGGER branches_legal_hold_truncate ON branches;

DROP TRIGGER conversations_legal_hold_truncate ON conversations;

DROP TRIGGER legal_holds_legal_hold_update ON legal_holds;

DROP TRIGGER legal_holds_legal_hold_delete ON legal_holds;

DROP TRIGGER uploads_legal_hold_change ON uploads;

DROP TRIGGER learning_messages_legal_hold_change ON learning_messages;

DROP TRIGGER learnings_legal_hold_hide ON learnings;

DROP TRIGGER learnings_legal_hold_update ON learnings;

DROP TRIGGER learnings_legal_hold_delete ON learnings;

DROP TRIGGER redactions_legal_hold_change ON redactions;

DROP TRIGGER messages_legal_hold_change ON messages;

DROP TRIGGER branches_legal_hold_update ON branches;

DROP TRIGGER branches_legal_hold_delete ON branches;

DROP TRIGGER conversations_legal_hold_update ON conversations;

DROP TRIGGER conversations_legal_hold_delete ON conversations;

DROP FUNCTION datastore_refuse_truncate();

DROP FUNCTION datastore_refuse_hiding_held();

DROP FUNCTION datastore_refuse_held();

DROP VIEW held_learnings;

DROP VIEW held_conversations;

DROP TABLE tombstones;

DROP TABLE erasure_keys;

DROP TABLE erasures;

DROP TABLE retention_policies;

DROP TABLE legal_holds;

DROP TABLE maintenance_tasks;

DROP TABLE backups;
