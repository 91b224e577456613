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

-- name: list_objects()
-- Everything that a step may create, with its definition: a column is an object of its own, so that a difference names it.
-- Index: none (reads the whole catalogue)
-- Rows: one per object
SELECT
    CASE relkind
        WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' ELSE 'table'
    END AS kind,
    CAST(relname AS TEXT) AS name,
    CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) ELSE concat_ws(' ', relpersistence, reloptions, relrowsecurity) END
        AS definition
FROM pg_class
WHERE relnamespace = to_regnamespace(quote_ident(current_schema())) AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
UNION ALL
SELECT
    'column' AS kind,
    concat(pg_class.relname, '.', pg_attribute.attname) AS name,
    concat_ws(
        ' ',
        format_type(pg_attribute.atttypid, pg_attribute.atttypmod),
        (SELECT collname FROM pg_collation WHERE oid = pg_attribute.attcollation),
        CASE WHEN pg_attribute.attnotnull THEN 'NOT NULL' END,
        pg_get_expr(pg_attrdef.adbin, pg_attrdef.adrelid),
        pg_attribute.attidentity,
        pg_attribute.attgenerated
    ) AS definition
FROM pg_attribute
INNER JOIN pg_class ON pg_attribute.attrelid = pg_class.oid
LEFT JOIN pg_attrdef ON pg_attribute.attrelid = pg_attrdef.adrelid AND pg_attribute.attnum = pg_attrdef.adnum
WHERE
    pg_class.relnamespace = to_regnamespace(quote_ident(current_schema()))
    AND pg_class.relkind IN ('r', 'p')
    AND pg_attribute.attnum > 0
    AND NOT pg_attribute.attisdropped
UNION ALL
SELECT
    'constraint' AS kind,
    concat(CAST(conrelid AS REGCLASS), '.', conname) AS name,
    concat(pg_get_constraintdef(oid), CASE WHEN NOT convalidated THEN ' NOT VALID' END) AS definition
FROM pg_constraint
WHERE connamespace = to_regnamespace(quote_ident(current_schema())) AND contype IN ('c', 'f', 'p', 'u', 'x')
UNION ALL
SELECT
    'index' AS kind,
    CAST(indexes.relname AS TEXT) AS name,
    concat(pg_get_indexdef(pg_index.indexrelid), CASE WHEN NOT pg_index.indisvalid THEN ' INVALID' END) AS definition
FROM pg_index
INNER JOIN pg_class AS indexes ON pg_index.indexrelid = indexes.oid
WHERE
    indexes.relnamespace = to_regnamespace(quote_ident(current_schema()))
    AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = pg_index.indexrelid AND contype IN ('p', 'u', 'x'))
UNION ALL
SELECT
    'trigger' AS kind,
    concat(CAST(tgrelid AS REGCLASS), '.', tgname) AS name,
    concat(tgenabled, ' ', pg_get_triggerdef(pg_trigger.oid)) AS definition
FROM pg_trigger
INNER JOIN pg_class ON pg_trigger.tgrelid = pg_class.oid
WHERE pg_class.relnamespace = to_regnamespace(quote_ident(current_schema())) AND NOT tgisinternal
UNION ALL
SELECT
    'function' AS kind,
    CAST(CAST(oid AS REGPROCEDURE) AS TEXT) AS name,
    pg_get_functiondef(oid) AS definition
FROM pg_proc
WHERE pronamespace = to_regnamespace(quote_ident(current_schema())) AND prokind IN ('f', 'p')
UNION ALL
SELECT
    'policy' AS kind,
    concat(CAST(polrelid AS REGCLASS), '.', polname) AS name,
    concat_ws(
        ' ', polcmd, polpermissive, polroles, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
    ) AS definition
FROM pg_policy
INNER JOIN pg_class ON pg_policy.polrelid = pg_class.oid
WHERE pg_class.relnamespace = to_regnamespace(quote_ident(current_schema()))
UNION ALL
SELECT
    'type' AS kind,
    CAST(pg_type.typname AS TEXT) AS name,
    concat_ws(
        ' ',
        pg_type.typtype,
        format_type(pg_type.typbasetype, pg_type.typtypmod),
        (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = pg_type.oid)
    ) AS definition
FROM pg_type
WHERE pg_type.typnamespace = to_regnamespace(quote_ident(current_schema())) AND pg_type.typtype IN ('d', 'e', 'r')
UNION ALL
SELECT
    'extension' AS kind,
    CAST(extname AS TEXT) AS name,
    extversion AS definition
FROM pg_extension
WHERE extname <> 'plpgsql'
ORDER BY 1, 2;

-- name: list_columns()
-- The columns of the tables.
-- Index: none (reads the whole catalogue)
-- Rows: one per column, by table and place
SELECT
    CAST(pg_class.relname AS TEXT) AS table_name,
    CAST(pg_attribute.attname AS TEXT) AS name,
    CAST(pg_type.typname AS TEXT) AS type,
    pg_attribute.attnotnull AS not_null,
    CASE WHEN pg_attribute.attgenerated = '' THEN pg_get_expr(pg_attrdef.adbin, pg_attrdef.adrelid) END AS column_default
FROM pg_attribute
INNER JOIN pg_class ON pg_attribute.attrelid = pg_class.oid
INNER JOIN pg_type ON pg_attribute.atttypid = pg_type.oid
LEFT JOIN pg_attrdef ON pg_attribute.attrelid = pg_attrdef.adrelid AND pg_attribute.attnum = pg_attrdef.adnum
WHERE
    pg_class.relnamespace = to_regnamespace(quote_ident(current_schema()))
    AND pg_class.relkind IN ('r', 'p')
    AND pg_attribute.attnum > 0
    AND NOT pg_attribute.attisdropped
ORDER BY pg_class.relname, pg_attribute.attnum;

-- name: list_indexes()
-- The indexes of the tables: whether primary, unique or partial, and their columns; NULL for an expression.
-- Index: none (reads the whole catalogue)
-- Rows: one per index
SELECT
    CAST(tables.relname AS TEXT) AS table_name,
    CAST(indexes.relname AS TEXT) AS name,
    pg_index.indisprimary AS is_primary,
    pg_index.indisunique AS is_unique,
    pg_index.indpred IS NOT NULL AS is_partial,
    ARRAY(
        SELECT CAST(pg_attribute.attname AS TEXT)
        FROM unnest(CAST(pg_index.indkey AS SMALLINT [])) WITH ORDINALITY AS key (number, place)
        LEFT JOIN pg_attribute ON pg_index.indrelid = pg_attribute.attrelid AND key.number = pg_attribute.attnum
        WHERE key.place <= pg_index.indnkeyatts
        ORDER BY key.place
    ) AS columns
FROM pg_index
INNER JOIN pg_class AS tables ON pg_index.indrelid = tables.oid
INNER JOIN pg_class AS indexes ON pg_index.indexrelid = indexes.oid
WHERE tables.relnamespace = to_regnamespace(quote_ident(current_schema()))
ORDER BY tables.relname, indexes.relname;

-- name: list_foreign_keys()
-- The foreign keys with their columns and those of the parent, and what a delete of the parent does.
-- Index: none (reads the whole catalogue)
-- Rows: one per foreign key
SELECT
    CAST(tables.relname AS TEXT) AS table_name,
    ARRAY(
        SELECT CAST(attname AS TEXT)
        FROM unnest(pg_constraint.conkey) WITH ORDINALITY AS key (number, place)
        INNER JOIN pg_attribute ON pg_constraint.conrelid = pg_attribute.attrelid AND key.number = pg_attribute.attnum
        ORDER BY key.place
    ) AS columns,
    CAST(parents.relname AS TEXT) AS parent,
    ARRAY(
        SELECT CAST(attname AS TEXT)
        FROM unnest(pg_constraint.confkey) WITH ORDINALITY AS key (number, place)
        INNER JOIN pg_attribute ON pg_constraint.confrelid = pg_attribute.attrelid AND key.number = pg_attribute.attnum
        ORDER BY key.place
    ) AS parent_columns,
    CASE pg_constraint.confdeltype
        WHEN 'c' THEN 'CASCADE' WHEN 'r' THEN 'RESTRICT' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' ELSE 'NO ACTION'
    END AS on_delete
FROM pg_constraint
INNER JOIN pg_class AS tables ON pg_constraint.conrelid = tables.oid
INNER JOIN pg_class AS parents ON pg_constraint.confrelid = parents.oid
WHERE pg_constraint.contype = 'f' AND tables.relnamespace = to_regnamespace(quote_ident(current_schema()))
ORDER BY tables.relname, pg_constraint.conname;

-- name: list_checks()
-- The CHECKs with their columns.
-- Index: none (reads the whole catalogue)
-- Rows: one per CHECK
SELECT
    CAST(pg_class.relname AS TEXT) AS table_name,
    CAST(pg_constraint.conname AS TEXT) AS name,
    pg_get_constraintdef(pg_constraint.oid) AS text
FROM pg_constraint
INNER JOIN pg_class ON pg_constraint.conrelid = pg_class.oid
WHERE pg_constraint.contype = 'c' AND pg_class.relnamespace = to_regnamespace(quote_ident(current_schema()))
ORDER BY pg_class.relname, pg_constraint.conname;

-- name: reload_settings()
-- Makes the server read its settings again.
-- Index: none (no table)
-- Rows: 1
SELECT pg_reload_conf() AS done;
