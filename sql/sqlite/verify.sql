-- Verify: what SQLite needs its own words for.

-- name: check_learnings_fts()!
-- Compares the full-text index of learnings with the tokens that it was given; a difference is an error (the file is damaged).
-- Index: none (reads the index to its end)
-- Rows: 0 or 1, without meaning; it changes nothing
-- Differs: FTS5 is SQLite's, and takes its commands as rows
INSERT INTO learnings_fts (learnings_fts, rank) VALUES ('integrity-check', 1);

-- name: check_messages_fts()!
-- Compares the full-text index of messages with the tokens that it was given; a difference is an error (the file is damaged).
-- Index: none (reads the index to its end)
-- Rows: 0 or 1, without meaning; it changes nothing
-- Differs: FTS5 is SQLite's, and takes its commands as rows
INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1);

-- name: merge_learnings_fts()!
-- Merges the parts of the full-text index into one, which is smaller and faster.
-- Index: none (reads the index to its end)
-- Rows: 0 or 1, without meaning
-- Differs: FTS5 is SQLite's, and takes its commands as rows
-- Locks: the write lock while it merges, about 10 s per million rows
INSERT INTO learnings_fts (learnings_fts) VALUES ('optimize');
