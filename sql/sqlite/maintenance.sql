-- Maintenance: the full-text indexes, which only SQLite stores in separate tables.
--
-- Each full-text table has the statements merge_TABLE_slice and count_TABLE_segments, which MaintenanceRepository lists; a test
-- checks that the list has every full-text table of the schema.

-- name: list_full_text_tables(max_rows)
-- The full-text tables of the schema, including those of the application.
--   max_rows  integer  1 to 1000
-- Index: none (sqlite_master has no index), no sort
-- Rows: 0 to max_rows
-- Differs: only SQLite has sqlite_master and FTS5
SELECT name
FROM sqlite_master
WHERE
    type = 'table'
    AND lower(sql) LIKE 'create virtual table%using fts5%'
    AND lower(sql) NOT LIKE 'create virtual table%using fts5vocab%'
ORDER BY rowid
LIMIT :max_rows;

-- name: count_changes()$
-- The number of rows changed by this connection since it was opened. A merge that adds fewer than two had nothing to merge.
-- Index: none (no table)
-- Rows: 1
-- Differs: only this number tells whether an FTS5 merge did anything
SELECT coalesce(CAST(total_changes() AS INTEGER), 0) AS change_count;

-- name: merge_learnings_fts_slice(pages)!
-- Merges segments of the learnings' full-text index, one slice per call.
--   pages  integer  the maximum number of pages to write; a negative number starts to merge all segments into one
-- Index: none (writes the pages of the full-text index)
-- Rows: 1, which has no meaning
-- Differs: FTS5 commands are inserted as rows
INSERT INTO learnings_fts (learnings_fts, rank) VALUES ('merge', :pages);

-- name: count_learnings_fts_segments()$
-- The number of segments of the learnings' full-text index; a search reads each of them.
-- Index: none (reads the small page list of FTS5)
-- Rows: 1
-- Differs: FTS5 stores it in a separate table
-- Allow: full-scan, one row per page of the index, read only by status and maintenance
SELECT count(DISTINCT segid) AS segment_count
FROM learnings_fts_idx;

-- name: merge_messages_fts_slice(pages)!
-- Merges segments of the messages' full-text index, one slice per call.
--   pages  integer  the maximum number of pages to write; a negative number starts to merge all segments into one
-- Index: none (writes the pages of the full-text index)
-- Rows: 1, which has no meaning
-- Differs: FTS5 commands are inserted as rows
INSERT INTO messages_fts (messages_fts, rank) VALUES ('merge', :pages);

-- name: count_messages_fts_segments()$
-- The number of segments of the messages' full-text index; a search reads each of them.
-- Index: none (reads the small page list of FTS5)
-- Rows: 1
-- Differs: FTS5 stores it in a separate table
-- Allow: full-scan, one row per page of the index, read only by status and maintenance
SELECT count(DISTINCT segid) AS segment_count
FROM messages_fts_idx;
