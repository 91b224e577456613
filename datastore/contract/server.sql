-- What the check asks PostgreSQL's catalogue. On a scratch database only: no store loads this file.

-- name: list_partial_indexes()
-- The indexes of some rows of their table only.
-- Index: pg_index (the catalogue's own)
-- Rows: one per index
SELECT pg_class.relname
FROM pg_index
INNER JOIN pg_class ON pg_index.indexrelid = pg_class.oid
WHERE pg_index.indpred IS NOT NULL
ORDER BY pg_class.relname;
