-- Search: learnings by any filter inside the full-text index, and messages.
--
-- content stands first, because FTS5 writes the number of every column but the first into each posting: a
-- quarter of the index. facets are words that no text can hold (they begin with U+E000, for private use, which
-- is taken out of every query): the category, each tag, a tenth of confidence, the month, and the length in
-- steps of 16 bytes and more. Each word ends in x, so that no stemmer shortens it.
--
-- learnings_titles is the same for titles alone, without positions: a tenth of the size. Where a text's words
-- are common, search takes what it ranks from there (docs/search.md).
--
-- Locks: takes the write lock while both indexes are built, about 90 s per million learnings.
-- Rollback: loses no data; the index of step 0002 is built again.
-- depends: 0004.job_queue

DROP TRIGGER learnings_fts_update;

DROP TRIGGER learnings_fts_delete;

DROP TRIGGER learnings_fts_insert;

DROP TABLE learnings_fts;

DROP VIEW learnings_shown;

-- What the full-text indexes of learnings cover: hidden ones are not in them, so that ranking reads no table.
-- hex() keeps a tag whole whatever it is made of; 222C22 is the '","' between two of them.
CREATE VIEW learnings_shown AS
SELECT
    seq,
    content,
    title,
    char(57344) || 'c' || hex(category) || 'x '
    || CASE
        WHEN tags = '[]' THEN ''
        ELSE
            char(57344) || 't'
            || replace(
                substr(hex(tags), 5, length(hex(tags)) - 8), '222C22', 'x ' || char(57344) || 't'
            )
            || 'x '
    END
    || char(57344) || 'p' || CAST(confidence * 10 AS INTEGER) || 'x '
    || char(57344) || 'm' || substr(created_at, 1, 4) || substr(created_at, 6, 2) || 'x '
    || char(57344) || 'l'
    || CASE
        WHEN length(CAST(title AS BLOB)) + length(CAST(content AS BLOB)) < 256
            THEN (length(CAST(title AS BLOB)) + length(CAST(content AS BLOB))) / 16
        WHEN length(CAST(title AS BLOB)) + length(CAST(content AS BLOB)) < 512
            THEN 8 + (length(CAST(title AS BLOB)) + length(CAST(content AS BLOB))) / 32
        WHEN length(CAST(title AS BLOB)) + length(CAST(content AS BLOB)) < 1024
            THEN 16 + (length(CAST(title AS BLOB)) + length(CAST(content AS BLOB))) / 64
        ELSE 32
    END
    || 'x' AS facets
FROM learnings
WHERE deleted_at IS NULL;

-- Serves rank_learnings, list_learning_matches and their kin. Holds terms only: the text is read from learnings.
CREATE VIRTUAL TABLE learnings_fts USING fts5 (
    content,
    title,
    facets,
    content = 'learnings_shown',
    content_rowid = 'seq',
    tokenize = 'porter unicode61 remove_diacritics 2'
);

-- Serves list_learning_title_matches.
CREATE VIRTUAL TABLE learnings_titles USING fts5 (
    title,
    facets,
    content = 'learnings_shown',
    content_rowid = 'seq',
    tokenize = 'porter unicode61 remove_diacritics 2',
    columnsize = 0,
    detail = 'none'
);

-- Serves list_learning_terms_like: "did you mean" takes its words from what is stored.
CREATE VIRTUAL TABLE learnings_terms USING fts5vocab (learnings_fts, 'row');

-- The full-text indexes follow learnings, whoever writes.
CREATE TRIGGER learnings_fts_insert AFTER INSERT ON learnings
WHEN new.deleted_at IS NULL
BEGIN
    INSERT INTO learnings_fts (rowid, content, title, facets)
    SELECT
        learnings_shown.seq,
        learnings_shown.content,
        learnings_shown.title,
        learnings_shown.facets
    FROM learnings_shown
    WHERE learnings_shown.seq = new.seq;
    INSERT INTO learnings_titles (rowid, title, facets)
    SELECT
        learnings_shown.seq,
        learnings_shown.title,
        learnings_shown.facets
    FROM learnings_shown
    WHERE learnings_shown.seq = new.seq;
END;

-- A deletion tells the indexes the old text, without which they could not find the terms: so it goes before.
CREATE TRIGGER learnings_fts_delete BEFORE DELETE ON learnings
WHEN old.deleted_at IS NULL
BEGIN
    INSERT INTO learnings_fts (learnings_fts, rowid, content, title, facets)
    SELECT
        'delete',
        learnings_shown.seq,
        learnings_shown.content,
        learnings_shown.title,
        learnings_shown.facets
    FROM learnings_shown
    WHERE learnings_shown.seq = old.seq;
    INSERT INTO learnings_titles (learnings_titles, rowid, title, facets)
    SELECT
        'delete',
        learnings_shown.seq,
        learnings_shown.title,
        learnings_shown.facets
    FROM learnings_shown
    WHERE learnings_shown.seq = old.seq;
END;

-- An update, or hiding and showing, is a deletion to the indexes ...
CREATE TRIGGER learnings_fts_update_before
BEFORE UPDATE OF seq, category, title, content, confidence, tags, created_at, deleted_at ON learnings
WHEN old.deleted_at IS NULL
BEGIN
    INSERT INTO learnings_fts (learnings_fts, rowid, content, title, facets)
    SELECT
        'delete',
        learnings_shown.seq,
        learnings_shown.content,
        learnings_shown.title,
        learnings_shown.facets
    FROM learnings_shown
    WHERE learnings_shown.seq = old.seq;
    INSERT INTO learnings_titles (learnings_titles, rowid, title, facets)
    SELECT
        'delete',
        learnings_shown.seq,
        learnings_shown.title,
        learnings_shown.facets
    FROM learnings_shown
    WHERE learnings_shown.seq = old.seq;
END;

-- ... and an insertion.
CREATE TRIGGER learnings_fts_update_after
AFTER UPDATE OF seq, category, title, content, confidence, tags, created_at, deleted_at ON learnings
WHEN new.deleted_at IS NULL
BEGIN
    INSERT INTO learnings_fts (rowid, content, title, facets)
    SELECT
        learnings_shown.seq,
        learnings_shown.content,
        learnings_shown.title,
        learnings_shown.facets
    FROM learnings_shown
    WHERE learnings_shown.seq = new.seq;
    INSERT INTO learnings_titles (rowid, title, facets)
    SELECT
        learnings_shown.seq,
        learnings_shown.title,
        learnings_shown.facets
    FROM learnings_shown
    WHERE learnings_shown.seq = new.seq;
END;

-- What the full-text index of messages covers: all of them. Those of a deleted conversation are hidden when the
-- hits are read, so that hiding a conversation of a million messages is one row's work.
CREATE VIEW messages_indexed AS
SELECT
    seq,
    content,
    char(57344) || 'c' || hex(conversation_id) || 'x '
    || char(57344) || 'r' || role || 'x '
    || char(57344) || 'm' || substr(created_at, 1, 4) || substr(created_at, 6, 2) || 'x' AS facets
FROM messages;

-- Serves rank_messages, list_message_matches and their kin.
CREATE VIRTUAL TABLE messages_fts USING fts5 (
    content,
    facets,
    content = 'messages_indexed',
    content_rowid = 'seq',
    tokenize = 'porter unicode61 remove_diacritics 2'
);

-- Serves list_message_terms_like.
CREATE VIRTUAL TABLE messages_terms USING fts5vocab (messages_fts, 'row');

-- The full-text index follows messages, whoever writes.
CREATE TRIGGER messages_fts_insert AFTER INSERT ON messages
BEGIN
    INSERT INTO messages_fts (rowid, content, facets)
    SELECT
        messages_indexed.seq,
        messages_indexed.content,
        messages_indexed.facets
    FROM messages_indexed
    WHERE messages_indexed.seq = new.seq;
END;

-- See learnings_fts_delete.
CREATE TRIGGER messages_fts_delete BEFORE DELETE ON messages
BEGIN
    INSERT INTO messages_fts (messages_fts, rowid, content, facets)
    SELECT
        'delete',
        messages_indexed.seq,
        messages_indexed.content,
        messages_indexed.facets
    FROM messages_indexed
    WHERE messages_indexed.seq = old.seq;
END;

-- A redaction is a deletion to the index ...
CREATE TRIGGER messages_fts_update_before
BEFORE UPDATE OF seq, conversation_id, role, content, created_at ON messages
BEGIN
    INSERT INTO messages_fts (messages_fts, rowid, content, facets)
    SELECT
        'delete',
        messages_indexed.seq,
        messages_indexed.content,
        messages_indexed.facets
    FROM messages_indexed
    WHERE messages_indexed.seq = old.seq;
END;

-- ... and an insertion.
CREATE TRIGGER messages_fts_update_after
AFTER UPDATE OF seq, conversation_id, role, content, created_at ON messages
BEGIN
    INSERT INTO messages_fts (rowid, content, facets)
    SELECT
        messages_indexed.seq,
        messages_indexed.content,
        messages_indexed.facets
    FROM messages_indexed
    WHERE messages_indexed.seq = new.seq;
END;

-- Indexes what was stored before this step.
INSERT INTO learnings_fts (learnings_fts) VALUES ('rebuild');

INSERT INTO learnings_titles (learnings_titles) VALUES ('rebuild');

INSERT INTO messages_fts (messages_fts) VALUES ('rebuild');
