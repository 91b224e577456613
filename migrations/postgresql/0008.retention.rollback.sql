-- LOSES DATA: the legal holds, policies, erasure receipts and tombstones.
DROP TRIGGER uploads_legal_hold_delete ON uploads;

DROP TRIGGER learnings_legal_hold_update ON learnings;

DROP TRIGGER learnings_legal_hold_delete ON learnings;

DROP TRIGGER redactions_legal_hold_delete ON redactions;

DROP TRIGGER messages_legal_hold_update ON messages;

DROP TRIGGER messages_legal_hold_delete ON messages;

DROP TRIGGER conversations_legal_hold_delete ON conversations;

DROP FUNCTION datastore_json_names(JSON);

DROP FUNCTION datastore_refuse_held();

DROP TABLE tombstones;

DROP TABLE erasure_keys;

DROP TABLE erasures;

DROP TABLE retention_policies;

DROP TABLE legal_holds;
