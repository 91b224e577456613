-- LOSES DATA: the language of the indexes, which is English again. `datastore reindex` fills the indexes after the step is applied.
DROP TRIGGER conversations_fts_update;

DROP VIEW new_messages;

DROP TRIGGER messages_fts_update;

DROP TRIGGER messages_fts_delete;

DROP TABLE messages_terms;

DROP TABLE messages_fts;

DROP TRIGGER learnings_fts_update;

DROP TRIGGER learnings_fts_delete;

DROP TABLE learnings_terms;

DROP TABLE learnings_fts;

DROP TABLE search_settings;
