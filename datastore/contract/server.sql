-- Queries of the server check on PostgreSQL's catalogue. They run only on a scratch database; no store loads this file.

-- name: list_partial_indexes()
-- The partial indexes.
-- Index: pg_index (a table of the catalogue)
-- Rows: one per index
SELECT pg_class.relname
FROM pg_index
INNER JOIN pg_class ON pg_index.indexrelid = pg_class.oid
WHERE pg_index.indpred IS NOT NULL
ORDER BY pg_class.relname;
