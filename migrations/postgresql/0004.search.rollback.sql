-- LOSES DATA: the language of the indexes, which is English again. `datastore reindex` fills the indexes after the step is applied.
--
-- Locks: readers and writers of these tables wait until the rollback ends, for milliseconds.
LOCK TABLE message_words, learning_words, search_settings, messages, learnings, conversations IN ACCESS EXCLUSIVE MODE;

DROP TRIGGER conversations_words_update ON conversations;

DROP FUNCTION datastore_forget_conversation();

DROP TRIGGER messages_words_update ON messages;

DROP FUNCTION datastore_forget_message();

DROP TRIGGER learnings_words_update ON learnings;

DROP FUNCTION datastore_forget_learning();

DROP TABLE message_words;

DROP TABLE learning_words;

DROP TABLE search_settings;
