-- Search: the full-text indexes of learnings and messages.
--
-- The application writes what a row is found by, in the transaction that stores the row (datastore/search/analysis.py makes
-- it, sql/sqlite/search.sql writes it): tokens between blanks, which FTS5 takes as they are. It holds the shown rows only.
-- Triggers take out what is changed, hidden or deleted, whoever does it; the application writes it again. What another
-- program wrote or changed is found after `datastore reindex`, and `datastore verify` counts it.
--
-- content and title have the stems of the words, forms the words that are not their own stems ("=organization") and words with
-- their signs ("=c++"), facets what a search filters by: "c:" and a hash for the category, t: for each tag, v: conversation; s:
-- and hexadecimal digits for the session, o: source; r: role, p: tenth of confidence, m: month, y: year. No word of a text has a
-- colon or begins with "=".
--
-- content is the first column, because FTS5 writes the number of every other one into each posting.
--
-- Locks: the write lock, for milliseconds: the tables are new and empty. `datastore reindex` indexes rows that were stored before.
-- Rollback: LOSES DATA (the language of the words); the indexes are filled again by `datastore reindex`.
-- depends: 0003.audit

-- Settings of the indexes: "language", of which the words are; English where there is no row.
CREATE TABLE search_settings (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT search_settings_pkey PRIMARY KEY (name),
    CONSTRAINT search_settings_name_check CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT search_settings_value_check CHECK (length(value) BETWEEN 1 AND 100)
) STRICT, WITHOUT ROWID;

-- Serves rank_learnings, count_learning_matches and their kin.
CREATE VIRTUAL TABLE learnings_fts USING fts5 (
    content,
    title,
    forms,
    facets,
    tokenize = 'ascii tokenchars ''=:+#.@$~-'''
);

-- Learnings may come by thousands in one statement: what FTS5 gathers before it writes a segment may be 4 MiB large, not 1, which
-- halves the number of segments: the index of 100,000 is 5 % smaller, and searched a sixth faster.
INSERT INTO learnings_fts (learnings_fts, rank) VALUES ('hashsize', 4194304);

-- Serves list_learning_words_like: "did you mean" takes its words from what is stored.
CREATE VIRTUAL TABLE learnings_terms USING fts5vocab (learnings_fts, 'row');

-- A deleted learning leaves the index, ...
CREATE TRIGGER learnings_fts_delete AFTER DELETE ON learnings
BEGIN
    DELETE FROM learnings_fts WHERE rowid = old.seq;
END;

-- ... and so does a changed or hidden one, until it is written there again.
CREATE TRIGGER learnings_fts_update
AFTER UPDATE OF seq, category, title, content, confidence, tags, created_at, deleted_at ON learnings
BEGIN
    DELETE FROM learnings_fts WHERE rowid = old.seq;
END;

-- Serves rank_messages, count_message_matches and their kin. title stays empty.
CREATE VIRTUAL TABLE messages_fts USING fts5 (
    content,
    title,
    forms,
    facets,
    tokenize = 'ascii tokenchars ''=:+#.@$~-'''
);

-- Messages with what each is found by: who inserts here has the message in the index too, in one statement. append_message does.
CREATE VIEW new_messages AS
SELECT
    id,
    conversation_id,
    position,
    role,
    content,
    content_hash,
    token_count,
    metadata,
    created_at,
    -- A JSON list: tokens of content and title, forms, facets.
    '' AS words,
    -- The facets of the conversation.
    '' AS facets
FROM messages;

CREATE TRIGGER new_messages_insert INSTEAD OF INSERT ON new_messages
BEGIN
    INSERT INTO messages (id, conversation_id, position, role, content, content_hash, token_count, metadata, created_at)
    VALUES (
        new.id, new.conversation_id, new.position, new.role, new.content, new.content_hash, new.token_count, new.metadata, new.created_at
    );
    INSERT INTO messages_fts (rowid, content, title, forms, facets)
    VALUES (
        (SELECT messages.seq FROM messages WHERE messages.id = new.id),
        json_extract(new.words, '$[0]'),
        '',
        json_extract(new.words, '$[2]'),
        json_extract(new.words, '$[3]') || new.facets
    );
END;

-- Segments are merged eight at a time, not four as FTS5 does by itself: a quarter more is deleted a second, and appends wait
-- less at worst. (A larger hashsize would change nothing: an append writes its segment when its statement ends.)
INSERT INTO messages_fts (messages_fts, rank) VALUES ('automerge', 8), ('usermerge', 8);

-- Serves list_message_words_like.
CREATE VIRTUAL TABLE messages_terms USING fts5vocab (messages_fts, 'row');

-- A deleted message leaves the index, ...
CREATE TRIGGER messages_fts_delete AFTER DELETE ON messages
BEGIN
    DELETE FROM messages_fts WHERE rowid = old.seq;
END;

-- ... and so does a redacted one, until it is written there again.
CREATE TRIGGER messages_fts_update AFTER UPDATE OF seq, role, content, created_at ON messages
BEGIN
    DELETE FROM messages_fts WHERE rowid = old.seq;
END;

-- The messages of a conversation leave the index with it; they and its learnings do where it gets another session or source.
CREATE TRIGGER conversations_fts_update AFTER UPDATE OF session_id, source, deleted_at ON conversations
WHEN
    new.session_id IS NOT old.session_id
    OR new.source <> old.source
    OR (new.deleted_at IS NOT NULL AND old.deleted_at IS NULL)
BEGIN
    DELETE FROM messages_fts
    WHERE rowid IN (SELECT messages.seq FROM messages WHERE messages.conversation_id = new.id);
    DELETE FROM learnings_fts
    WHERE rowid IN (SELECT learnings.seq FROM learnings WHERE learnings.conversation_id = new.id);
END;
