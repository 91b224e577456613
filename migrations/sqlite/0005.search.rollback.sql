-- Loses no data: the full-text index of step 0002 is built again from the learnings.
DROP TRIGGER messages_fts_update_after;

DROP TRIGGER messages_fts_update_before;

DROP TRIGGER messages_fts_delete;

DROP TRIGGER messages_fts_insert;

DROP TABLE messages_terms;

DROP TABLE messages_fts;

DROP VIEW messages_indexed;

DROP TRIGGER learnings_fts_update_after;

DROP TRIGGER learnings_fts_update_before;

DROP TRIGGER learnings_fts_delete;

DROP TRIGGER learnings_fts_insert;

DROP TABLE learnings_terms;

DROP TABLE learnings_fts;

DROP VIEW learnings_shown;

-- What the full-text index covers: hidden learnings are not in it, so that ranking reads no table.
CREATE VIEW learnings_shown AS
SELECT
    seq,
    title,
    content
FROM learnings
WHERE deleted_at IS NULL;

-- Serves search_learnings and its kin. Holds terms only: title and content are read from learnings.
CREATE VIRTUAL TABLE learnings_fts USING fts5 (
    title,
    content,
    content = 'learnings_shown',
    content_rowid = 'seq',
    tokenize = 'porter unicode61 remove_diacritics 2'
);

-- The full-text index follows learnings, whoever writes.
CREATE TRIGGER learnings_fts_insert AFTER INSERT ON learnings
WHEN new.deleted_at IS NULL
BEGIN
    INSERT INTO learnings_fts (rowid, title, content) VALUES (new.seq, new.title, new.content);
END;

-- A deletion tells the index the old text, without which it could not find the terms.
CREATE TRIGGER learnings_fts_delete AFTER DELETE ON learnings
WHEN old.deleted_at IS NULL
BEGIN
    INSERT INTO learnings_fts (learnings_fts, rowid, title, content)
    VALUES ('delete', old.seq, old.title, old.content);
END;

-- An update, or hiding and showing, is a deletion and an insertion to the index.
CREATE TRIGGER learnings_fts_update AFTER UPDATE OF seq, title, content, deleted_at ON learnings
BEGIN
    INSERT INTO learnings_fts (learnings_fts, rowid, title, content)
    SELECT
        'delete',
        old.seq,
        old.title,
        old.content
    WHERE old.deleted_at IS NULL;
    INSERT INTO learnings_fts (rowid, title, content)
    SELECT
        new.seq,
        new.title,
        new.content
    WHERE new.deleted_at IS NULL;
END;

-- Indexes what was stored before this step.
INSERT INTO learnings_fts (learnings_fts) VALUES ('rebuild');
