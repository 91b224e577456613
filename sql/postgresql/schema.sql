-- Schema: the tables that exist, including those of the application, for code that copies tables or follows foreign keys.

-- name: list_tables()
-- Every table of the schema except yoyo's, those of extensions, and partitions, whose rows belong to their partitioned table.
-- Index: none (the server's catalogue is small); sorts
-- Rows: one per table, by name
-- Differs: PostgreSQL's catalogue is pg_class
-- Allow: full-scan, because the server's catalogue is small
SELECT
    CAST(pg_class.relname AS TEXT) AS name,
    CASE WHEN pg_class.relkind = 'f' THEN 'virtual' ELSE 'table' END AS kind
FROM pg_class
WHERE
    pg_class.relnamespace = to_regnamespace(quote_ident(current_schema()))
    AND pg_class.relkind IN ('r', 'p', 'f')
    AND NOT pg_class.relispartition
    AND pg_class.relname NOT LIKE '\_yoyo\_%'
    AND pg_class.relname NOT LIKE 'yoyo\_%'
    AND NOT EXISTS (
        SELECT 1
        FROM pg_depend
        WHERE
            pg_depend.classid = CAST('pg_class' AS REGCLASS)
            AND pg_depend.objid = pg_class.oid
            AND pg_depend.deptype = 'e'
    )
ORDER BY CAST(pg_class.relname AS TEXT);

-- name: list_stored_columns()
-- The stored (not generated) columns of every table, with their position in the primary key.
-- Index: none (the server's catalogue is small); sorts
-- Rows: one per table and column, by table and position
-- Differs: PostgreSQL's catalogue is pg_attribute; a domain is reported as its base type
-- Allow: full-scan, because the server's catalogue is small
SELECT
    CAST(pg_class.relname AS TEXT) AS table_name,
    CAST(pg_attribute.attname AS TEXT) AS name,
    CASE
        WHEN pg_type.typtype = 'd' THEN format_type(pg_type.typbasetype, pg_type.typtypmod)
        ELSE format_type(pg_attribute.atttypid, pg_attribute.atttypmod)
    END AS type,
    coalesce(array_position(CAST(pg_index.indkey AS SMALLINT[]), pg_attribute.attnum) + 1, 0) AS key_place
FROM pg_class
INNER JOIN pg_attribute ON pg_class.oid = pg_attribute.attrelid
INNER JOIN pg_type ON pg_attribute.atttypid = pg_type.oid
LEFT JOIN pg_index
    ON
        pg_class.oid = pg_index.indrelid
        AND pg_index.indisprimary
WHERE
    pg_class.relnamespace = to_regnamespace(quote_ident(current_schema()))
    AND pg_class.relkind IN ('r', 'p')
    AND pg_attribute.attnum > 0
    AND NOT pg_attribute.attisdropped
    AND pg_attribute.attgenerated = ''
ORDER BY CAST(pg_class.relname AS TEXT), pg_attribute.attnum;

-- name: list_foreign_keys()
-- The foreign keys of every table, one row per column.
-- Index: none (the server's catalogue is small); sorts
-- Rows: one per foreign key and column, by table, key and position
-- Differs: PostgreSQL's catalogue is pg_constraint
-- Allow: full-scan, because the server's catalogue is small
SELECT
    CAST(pg_class.relname AS TEXT) AS table_name,
    CAST(pg_constraint.conname AS TEXT) AS key,
    CAST(parents.relname AS TEXT) AS parent,
    CAST(columns.attname AS TEXT) AS name,
    CAST(parent_columns.attname AS TEXT) AS parent_column,
    CASE pg_constraint.confdeltype
        WHEN 'c' THEN 'CASCADE'
        WHEN 'n' THEN 'SET NULL'
        WHEN 'd' THEN 'SET DEFAULT'
        WHEN 'r' THEN 'RESTRICT'
        ELSE 'NO ACTION'
    END AS on_delete
FROM pg_constraint
INNER JOIN pg_class ON pg_constraint.conrelid = pg_class.oid
INNER JOIN pg_class AS parents ON pg_constraint.confrelid = parents.oid
CROSS JOIN LATERAL unnest(pg_constraint.conkey, pg_constraint.confkey) WITH ORDINALITY AS pairs (own, parents, place)
INNER JOIN pg_attribute AS columns
    ON
        pg_class.oid = columns.attrelid
        AND pairs.own = columns.attnum
INNER JOIN pg_attribute AS parent_columns
    ON
        parents.oid = parent_columns.attrelid
        AND pairs.parents = parent_columns.attnum
WHERE
    pg_constraint.contype = 'f'
    AND pg_constraint.conparentid = 0
    AND pg_class.relnamespace = to_regnamespace(quote_ident(current_schema()))
    AND parents.relnamespace = pg_class.relnamespace
ORDER BY CAST(pg_class.relname AS TEXT), CAST(pg_constraint.conname AS TEXT), pairs.place;
