-- Search: the full-text indexes of learnings and messages.
--
-- The application indexes a row in the transaction that stores it: datastore/search/analysis.py computes tokens, which are
-- separated by blanks and which FTS5 indexes unchanged; sql/sqlite/search.sql writes them. Hidden rows are not indexed.
-- Triggers remove changed, hidden and deleted rows, whoever changes them; the application indexes them again. Rows that
-- another program wrote or changed are found after `datastore reindex`; `datastore verify` counts them.
--
-- content and title contain stems. forms contains words that differ from their stems ("=organization") and words with their signs
-- ("=c++"). facets contains what a search filters by: c: and a hash for the category, t: for each tag, v: conversation; s: and
-- hexadecimal digits for the session, o: source; r: role, p: tenth of confidence, m: month, y: year. No word of a text contains a
-- colon or begins with "=".
--
-- content is the first column, because FTS5 stores the column number in each posting of any other column.
--
-- Locks: the write lock, for milliseconds: the tables are new and empty. `datastore reindex` indexes rows that were stored before.
-- Rollback: LOSES DATA (the language of the indexes); `datastore reindex` fills the indexes again.
-- depends: 0003.audit

-- Settings of the indexes: "language"; English if there is no row.
CREATE TABLE search_settings (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT search_settings_pkey PRIMARY KEY (name),
    CONSTRAINT search_settings_name_check CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT search_settings_value_check CHECK (length(value) BETWEEN 1 AND 100)
) STRICT, WITHOUT ROWID;

-- Serves rank_learnings, count_learning_matches and list_learning_matches_before.
CREATE VIRTUAL TABLE learnings_fts USING fts5 (
    content,
    title,
    forms,
    facets,
    tokenize = 'ascii tokenchars ''=:+#.@$~-'''
);

-- One statement may insert thousands of learnings. FTS5 collects 4 MiB instead of 1 MiB before it writes a segment, which halves
-- the number of segments: an index of 100,000 learnings is 5 % smaller, and a search a sixth faster.
INSERT INTO learnings_fts (learnings_fts, rank) VALUES ('hashsize', 4194304);

-- Serves list_learning_words_like, for "did you mean".
CREATE VIRTUAL TABLE learnings_terms USING fts5vocab (learnings_fts, 'row');

-- Deleted learnings are removed from the index, ...
CREATE TRIGGER learnings_fts_delete AFTER DELETE ON learnings
BEGIN
    DELETE FROM learnings_fts WHERE rowid = old.seq;
END;

-- ... and so are changed and hidden ones, until they are indexed again.
CREATE TRIGGER learnings_fts_update
AFTER UPDATE OF seq, category, title, content, confidence, tags, created_at, deleted_at ON learnings
BEGIN
    DELETE FROM learnings_fts WHERE rowid = old.seq;
END;

-- Serves rank_messages, count_message_matches and list_message_matches_before.
CREATE VIRTUAL TABLE messages_fts USING fts5 (
    content,
    forms,
    facets,
    tokenize = 'ascii tokenchars ''=:+#.@$~-'''
);

-- Messages with their words: an insert into this view, which append_message does, stores and indexes a message in one statement.
CREATE VIEW new_messages AS
SELECT
    id,
    conversation_id,
    branch,
    position,
    role,
    content,
    content_hash,
    token_count,
    parts,
    metadata,
    created_at,
    source_id,
    -- Tokens, a tab, forms. (A JSON list would make an append a fifth slower.)
    '' AS words,
    '' AS facets
FROM messages;

CREATE TRIGGER new_messages_insert INSTEAD OF INSERT ON new_messages
BEGIN
    INSERT INTO messages (
        id, conversation_id, branch, position, role, content, content_hash, token_count, parts, metadata, created_at, source_id
    )
    VALUES (
        new.id,
        new.conversation_id,
        new.branch,
        new.position,
        new.role,
        new.content,
        new.content_hash,
        new.token_count,
        new.parts,
        new.metadata,
        new.created_at,
        new.source_id
    );
    INSERT INTO messages_fts (rowid, content, forms, facets)
    VALUES (
        (SELECT messages.seq FROM messages WHERE messages.id = new.id),
        substr(new.words, 1, instr(new.words, char(9)) - 1),
        substr(new.words, instr(new.words, char(9)) + 1),
        new.facets
    );
END;

-- Eight segments are merged at a time instead of FTS5's default of four: deletions are a quarter faster, and the longest wait of
-- an append is shorter. (A larger hashsize has no effect: an append writes its segment when its statement ends.)
INSERT INTO messages_fts (messages_fts, rank) VALUES ('automerge', 8), ('usermerge', 8);

-- Serves list_message_words_like.
CREATE VIRTUAL TABLE messages_terms USING fts5vocab (messages_fts, 'row');

-- Deleted messages are removed from the index, ...
CREATE TRIGGER messages_fts_delete AFTER DELETE ON messages
BEGIN
    DELETE FROM messages_fts WHERE rowid = old.seq;
END;

-- ... and so are redacted ones, until they are indexed again.
CREATE TRIGGER messages_fts_update AFTER UPDATE OF seq, role, content, created_at ON messages
WHEN old.partial = 0 OR new.partial = 0
BEGIN
    DELETE FROM messages_fts WHERE rowid = old.seq;
END;

-- The messages of a deleted conversation are removed. If its session or source changes, its messages and learnings are removed
-- until they are indexed again.
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
