-- Verify: what SQLite needs its own words for.

-- name: check_learnings_fts()!
-- Compares the full-text index with the learnings; a difference is an error (the file is damaged).
-- Index: none (reads the index and the table to their ends)
-- Rows: 0 or 1, without meaning; it changes nothing
-- Differs: FTS5 is SQLite's, and takes its commands as rows
INSERT INTO learnings_fts (learnings_fts, rank) VALUES ('integrity-check', 1);

-- name: check_messages_fts()!
-- Compares the full-text index with the messages; a difference is an error (the file is damaged).
-- Index: none (reads the index and the table to their ends)
-- Rows: 0 or 1, without meaning; it changes nothing
-- Differs: FTS5 is SQLite's, and takes its commands as rows
INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1);

-- name: clear_learnings_fts()!
-- Empties the full-text index, to fill it again in the same transaction.
-- Index: none (drops the index's own rows)
-- Rows: 0 or 1, without meaning
-- Differs: FTS5 is SQLite's, and takes its commands as rows
INSERT INTO learnings_fts (learnings_fts) VALUES ('delete-all');

-- name: fill_learnings_fts(after_seq, to_seq)!
-- Indexes the rows between two places.
--   after_seq  integer  the place before the first row
--   to_seq  integer  the last row's place, inclusive
-- Index: learnings primary key (range scan); sorts the words, and the letters, of one row at a time
-- Rows: 0 to to_seq - after_seq
-- Differs: FTS5 is SQLite's; its triggers keep it, this fills it when it was cleared
-- Locks: the write lock until the transaction ends, about 60 s per million rows
INSERT INTO learnings_fts (rowid, content, title, facets)
SELECT
    seq,
    content,
    title,
    facets
FROM learnings_shown
WHERE
    seq > :after_seq
    AND seq <= :to_seq
ORDER BY seq;

-- name: merge_learnings_fts()!
-- Merges the parts of the full-text index into one, which is smaller and faster.
-- Index: none (reads the index to its end)
-- Rows: 0 or 1, without meaning
-- Differs: FTS5 is SQLite's, and takes its commands as rows
-- Locks: the write lock while it merges, about 10 s per million rows
INSERT INTO learnings_fts (learnings_fts) VALUES ('optimize');

-- name: clear_messages_fts()!
-- Empties the full-text index, to fill it again in the same transaction.
-- Index: none (drops the index's own rows)
-- Rows: 0 or 1, without meaning
-- Differs: FTS5 is SQLite's, and takes its commands as rows
INSERT INTO messages_fts (messages_fts) VALUES ('delete-all');

-- name: fill_messages_fts(after_seq, to_seq)!
-- Indexes the rows between two places.
--   after_seq  integer  the place before the first row
--   to_seq  integer  the last row's place, inclusive
-- Index: messages primary key (range scan); sorts the words, and the letters, of one row at a time
-- Rows: 0 to to_seq - after_seq
-- Differs: FTS5 is SQLite's; its triggers keep it, this fills it when it was cleared
-- Locks: the write lock until the transaction ends, about 60 s per million rows
INSERT INTO messages_fts (rowid, content, facets)
SELECT
    seq,
    content,
    facets
FROM messages_indexed
WHERE
    seq > :after_seq
    AND seq <= :to_seq
ORDER BY seq;

-- name: get_last_learning_seq()$
-- The last place on disk that is taken.
-- Index: none (the last row of the table)
-- Rows: 1
-- Differs: seq is the row's place on disk, which SQLite's full-text index refers to
SELECT CAST(coalesce(max(seq), 0) AS INTEGER) AS last_seq
FROM learnings;

-- name: get_last_message_seq()$
-- The last place on disk that is taken.
-- Index: none (the last row of the table)
-- Rows: 1
-- Differs: seq is the row's place on disk, which SQLite's full-text index refers to
SELECT CAST(coalesce(max(seq), 0) AS INTEGER) AS last_seq
FROM messages;
