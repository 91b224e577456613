-- Verify: what SQLite needs its own words for.

-- name: check_learnings_fts()!
-- Compares the full-text index with the learnings; a difference is an error (the file is damaged).
-- Index: none (reads the index and the table to their ends)
-- Rows: 0 or 1, without meaning; it changes nothing
-- Differs: FTS5 is SQLite's, and takes its commands as rows
INSERT INTO learnings_fts (learnings_fts, rank) VALUES ('integrity-check', 1);
