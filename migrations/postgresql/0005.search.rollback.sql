-- Loses no data: the columns are computed again by applying the step.
DROP VIEW messages_totals;

DROP VIEW learnings_totals;

DROP INDEX messages_words_idx;

DROP INDEX learnings_words_idx;

ALTER TABLE messages DROP COLUMN words;

ALTER TABLE learnings DROP COLUMN words;

DROP FUNCTION datastore_message_lexemes(TEXT, TEXT, TEXT, TIMESTAMPTZ);

DROP FUNCTION datastore_learning_lexemes(TEXT, TEXT, TEXT, JSON, DOUBLE PRECISION, TIMESTAMPTZ);

DROP FUNCTION datastore_hex(TEXT);

DROP FUNCTION datastore_words(TEXT);

DROP TEXT SEARCH CONFIGURATION datastore_words;

DROP TEXT SEARCH DICTIONARY datastore_porter;
