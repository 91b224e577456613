-- Loses no data: the indexes are filled again by applying the step and `datastore reindex`.
DROP TRIGGER conversations_fts_update;

DROP TRIGGER messages_fts_update;

DROP TRIGGER messages_fts_delete;

DROP TABLE messages_terms;

DROP TABLE messages_fts;

DROP TRIGGER learnings_fts_update;

DROP TRIGGER learnings_fts_delete;

DROP TABLE learnings_terms;

DROP TABLE learnings_fts;

DROP TABLE search_settings;
