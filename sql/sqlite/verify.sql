-- Verification: statements specific to SQLite.

-- name: check_learnings_fts()!
-- Compares the full-text index of learnings with the tokens that were added to it; a difference raises an error (the file is damaged).
-- Index: none (reads the whole index)
-- Rows: 0 or 1, which has no meaning; the statement changes nothing
-- Differs: only SQLite has FTS5, whose commands are inserted as rows
INSERT INTO learnings_fts (learnings_fts, rank) VALUES ('integrity-check', 1);

-- name: check_messages_fts()!
-- Compares the full-text index of messages with the tokens that were added to it; a difference raises an error (the file is damaged).
-- Index: none (reads the whole index)
-- Rows: 0 or 1, which has no meaning; the statement changes nothing
-- Differs: only SQLite has FTS5, whose commands are inserted as rows
INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1);

-- name: merge_learnings_fts()!
-- Merges the segments of the learnings' full-text index into one, which is smaller and faster to search.
-- Index: none (reads the whole index)
-- Rows: 0 or 1, which has no meaning
-- Differs: only SQLite has FTS5, whose commands are inserted as rows
-- Locks: holds the write lock during the merge, about 10 s per million rows
INSERT INTO learnings_fts (learnings_fts) VALUES ('optimize');
