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

-- name: list_columns()
-- The columns of the tables, and whether each is NOT NULL.
-- Index: pg_attribute (a table of the catalogue)
-- Rows: one per column
SELECT
    pg_class.relname,
    pg_attribute.attname,
    pg_attribute.attnotnull
FROM pg_attribute
INNER JOIN pg_class ON pg_attribute.attrelid = pg_class.oid
WHERE
    pg_class.relkind IN ('r', 'p')
    AND pg_class.relnamespace = CAST('public' AS REGNAMESPACE)
    AND pg_attribute.attnum > 0
    AND NOT pg_attribute.attisdropped;

-- name: list_unique_keys()
-- The columns of each unique index that has no expressions, and whether it is partial.
-- Index: pg_index (a table of the catalogue)
-- Rows: one per index
SELECT
    pg_class.relname,
    array_agg(CAST(pg_attribute.attname AS TEXT)) AS names,
    bool_or(pg_index.indpred IS NOT NULL) AS is_partial
FROM pg_index
INNER JOIN pg_class ON pg_index.indrelid = pg_class.oid
INNER JOIN pg_attribute
    ON
        pg_index.indrelid = pg_attribute.attrelid
        AND pg_attribute.attnum = any(CAST(pg_index.indkey AS INT2 []))
WHERE
    pg_index.indisunique
    AND pg_index.indexprs IS NULL
    AND pg_class.relnamespace = CAST('public' AS REGNAMESPACE)
GROUP BY pg_class.relname, pg_index.indexrelid;
