-- LOSES DATA: the legal holds, policies, erasure receipts and tombstones.
DROP TRIGGER uploads_legal_hold_delete;

DROP TRIGGER learnings_legal_hold_update;

DROP TRIGGER learnings_legal_hold_delete;

DROP TRIGGER redactions_legal_hold_delete;

DROP TRIGGER messages_legal_hold_update;

DROP TRIGGER messages_legal_hold_delete;

DROP TRIGGER conversations_legal_hold_delete;

DROP TABLE tombstones;

DROP TABLE erasure_keys;

DROP TABLE erasures;

DROP TABLE retention_policies;

DROP TABLE legal_holds;
