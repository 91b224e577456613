-- Schema: which tables there are, an application's own too; what copies whole tables and what follows foreign keys reads it.

-- name: list_tables()
-- Every table of the schema but yoyo's, those of extensions, and partitions, whose rows their table has.
-- Index: none (the server's catalogue is small); sorts
-- Rows: one per table, by name
-- Differs: pg_class is PostgreSQL's catalogue
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
-- The columns of every table that are stored, not computed, with their place in the primary key.
-- Index: none (the server's catalogue is small); sorts
-- Rows: one per table and column, by table and place
-- Differs: pg_attribute is PostgreSQL's catalogue; the type of a domain is what it is made of
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
-- The foreign keys of every table, a row a column.
-- Index: none (the server's catalogue is small); sorts
-- Rows: one per foreign key and column, by table, key and place
-- Differs: pg_constraint is PostgreSQL's catalogue
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
