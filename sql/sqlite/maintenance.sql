-- Maintenance: the full-text indexes, which only SQLite keeps in tables of their own.
--
-- Each full-text table has a merge_TABLE_slice and a count_TABLE_segments, which MaintenanceRepository lists; a test holds
-- that none of the schema is missing there.

-- name: list_full_text_tables(max_rows)
-- The full-text tables of the schema, an application's own too.
--   max_rows  integer  1 to 1000
-- Index: none (SQLite's list of the schema has no index), no sort
-- Rows: 0 to max_rows
-- Differs: sqlite_master and FTS5 are SQLite's
SELECT name
FROM sqlite_master
WHERE
    type = 'table'
    AND lower(sql) LIKE 'create virtual table%using fts5%'
    AND lower(sql) NOT LIKE 'create virtual table%using fts5vocab%'
ORDER BY rowid
LIMIT :max_rows;

-- name: count_changes()$
-- How many rows this connection ever changed: a merge that adds fewer than two found nothing to merge.
-- Index: none (no table)
-- Rows: 1
-- Differs: FTS5 tells only so whether a merge did anything
SELECT coalesce(CAST(total_changes() AS INTEGER), 0) AS change_count;

-- name: merge_learnings_fts_slice(pages)!
-- Merges segments of the learnings' full-text index, a slice at a time.
--   pages  integer  how many pages at most; a negative number begins to merge all segments into one
-- Index: none (writes the index's own pages)
-- Rows: 1, without meaning
-- Differs: FTS5 takes its commands as rows
INSERT INTO learnings_fts (learnings_fts, rank) VALUES ('merge', :pages);

-- name: count_learnings_fts_segments()$
-- How many segments the learnings' full-text index has: a search looks into each.
-- Index: none (reads FTS5's own small list of pages)
-- Rows: 1
-- Differs: FTS5 keeps it in a table of its own
-- Allow: full-scan, a row a page of the index, read by status and maintenance only
SELECT count(DISTINCT segid) AS segment_count
FROM learnings_fts_idx;

-- name: merge_messages_fts_slice(pages)!
-- Merges segments of the messages' full-text index, a slice at a time.
--   pages  integer  how many pages at most; a negative number begins to merge all segments into one
-- Index: none (writes the index's own pages)
-- Rows: 1, without meaning
-- Differs: FTS5 takes its commands as rows
INSERT INTO messages_fts (messages_fts, rank) VALUES ('merge', :pages);

-- name: count_messages_fts_segments()$
-- How many segments the messages' full-text index has: a search looks into each.
-- Index: none (reads FTS5's own small list of pages)
-- Rows: 1
-- Differs: FTS5 keeps it in a table of its own
-- Allow: full-scan, a row a page of the index, read by status and maintenance only
SELECT count(DISTINCT segid) AS segment_count
FROM messages_fts_idx;
