-- Search: the full-text indexes of learnings and messages.
--
-- The application indexes a row in the transaction that stores it: datastore/search/analysis.py computes a tsvector, which needs
-- no text search configuration, locale or extension; sql/postgresql/search.sql writes it. Hidden rows are not indexed. Triggers
-- remove changed and hidden rows, whoever changes them; the application indexes them again. Rows that another program wrote or
-- changed are found after `datastore reindex`; `datastore verify` counts them.
--
-- Lexemes with positions are stems (weight A: of the title). Lexemes without positions are words that differ from their stems
-- ("=organization"), words with their signs ("=c++"), and what a search filters by, as in migrations/sqlite/0004.search.sql.
--
-- Locks: writes to conversations, learnings and messages wait until the step ends, for milliseconds: the tables are new and
-- empty. `datastore reindex` indexes rows that were stored before.
-- Rollback: LOSES DATA (the language of the indexes); `datastore reindex` fills the indexes again.
-- depends: 0003.audit

-- Adding foreign keys and triggers locks these tables. They are locked at once, and in the order of an append, so that no client
-- that writes one and then the other meets this step halfway.
LOCK TABLE messages, learnings, conversations IN SHARE ROW EXCLUSIVE MODE;

-- Every function of this step resolves names in this schema first, and in the session's temporary tables last.
DO $$
BEGIN
    PERFORM set_config('search_path', quote_ident(current_schema()) || ', pg_temp', TRUE);
END;
$$;

-- Settings of the indexes: "language"; English if there is no row.
CREATE TABLE search_settings (
    name TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    CONSTRAINT search_settings_pkey PRIMARY KEY (name),
    CONSTRAINT search_settings_name_check CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT search_settings_value_check CHECK (length(value) BETWEEN 1 AND 100)
);

-- The words of the learnings.
CREATE TABLE learning_words (
    seq BIGINT NOT NULL,
    words TSVECTOR NOT NULL,
    -- Number of tokens, for BM25.
    word_count INTEGER NOT NULL,
    CONSTRAINT learning_words_pkey PRIMARY KEY (seq),
    CONSTRAINT learning_words_seq_fkey FOREIGN KEY (seq) REFERENCES learnings (seq) ON DELETE CASCADE,
    CONSTRAINT learning_words_word_count_check CHECK (word_count >= 0)
);

-- Serves rank_learnings, count_learning_matches and list_learning_matches_before.
CREATE INDEX learning_words_idx ON learning_words USING gin (words);

-- The words of the messages.
CREATE TABLE message_words (
    seq BIGINT NOT NULL,
    words TSVECTOR NOT NULL,
    -- Number of tokens, for BM25.
    word_count INTEGER NOT NULL,
    CONSTRAINT message_words_pkey PRIMARY KEY (seq),
    CONSTRAINT message_words_seq_fkey FOREIGN KEY (seq) REFERENCES messages (seq) ON DELETE CASCADE,
    CONSTRAINT message_words_word_count_check CHECK (word_count >= 0)
);

-- Serves rank_messages, count_message_matches and list_message_matches_before.
CREATE INDEX message_words_idx ON message_words USING gin (words);

-- Changed and hidden learnings are removed from the index until they are indexed again.
CREATE FUNCTION datastore_forget_learning() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM learning_words WHERE seq = old.seq;
    RETURN NULL;
END;
$$;

CREATE TRIGGER learnings_words_update
AFTER UPDATE OF category, title, content, confidence, tags, created_at, deleted_at ON learnings
FOR EACH ROW EXECUTE FUNCTION datastore_forget_learning();

-- Redacted messages are removed from the index until they are indexed again.
CREATE FUNCTION datastore_forget_message() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM message_words WHERE seq = old.seq;
    RETURN NULL;
END;
$$;

CREATE TRIGGER messages_words_update AFTER UPDATE OF role, content, created_at ON messages
FOR EACH ROW WHEN (old.partial = 0 OR new.partial = 0) EXECUTE FUNCTION datastore_forget_message();

-- The messages of a deleted conversation are removed. If its session or source changes, its messages and learnings are removed
-- until they are indexed again.
CREATE FUNCTION datastore_forget_conversation() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM message_words
    USING messages
    WHERE messages.conversation_id = new.id AND message_words.seq = messages.seq;
    DELETE FROM learning_words
    USING learnings
    WHERE learnings.conversation_id = new.id AND learning_words.seq = learnings.seq;
    RETURN NULL;
END;
$$;

CREATE TRIGGER conversations_words_update AFTER UPDATE OF session_id, source, deleted_at ON conversations
FOR EACH ROW
WHEN (
    new.session_id IS DISTINCT FROM old.session_id
    OR new.source <> old.source
    OR (new.deleted_at IS NOT NULL AND old.deleted_at IS NULL)
)
EXECUTE FUNCTION datastore_forget_conversation();
