-- Queries of PostgreSQL's system catalog for test templates. On scratch databases only: no store loads this file.

-- name: get_schema_fingerprint()^
-- A text that changes with every table, column, constraint, trigger or function: it has the transactions that wrote them.
-- Index: none (the system catalog is read whole)
-- Rows: 1
WITH own AS (
    SELECT oid
    FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
)

SELECT md5(string_agg(written.line, ',' ORDER BY written.line)) AS fingerprint
FROM (
    SELECT concat('relation ', oid, ' ', xmin) AS line
    FROM pg_class
    WHERE relnamespace IN (SELECT oid FROM own)
    UNION ALL
    SELECT concat('column ', attrelid, ' ', attnum, ' ', pg_attribute.xmin)
    FROM pg_attribute
    INNER JOIN pg_class ON pg_attribute.attrelid = pg_class.oid
    WHERE relnamespace IN (SELECT oid FROM own)
    UNION ALL
    SELECT concat('constraint ', oid, ' ', xmin)
    FROM pg_constraint
    WHERE connamespace IN (SELECT oid FROM own)
    UNION ALL
    SELECT concat('trigger ', pg_trigger.oid, ' ', pg_trigger.xmin)
    FROM pg_trigger
    INNER JOIN pg_class ON pg_trigger.tgrelid = pg_class.oid
    WHERE relnamespace IN (SELECT oid FROM own)
    UNION ALL
    SELECT concat('function ', oid, ' ', xmin)
    FROM pg_proc
    WHERE pronamespace IN (SELECT oid FROM own)
) AS written;

-- name: list_clearing_commands()
-- The commands that delete every row and reset each sequence to its current value. DELETE, because TRUNCATE creates new files.
-- Index: none (the system catalog is read whole)
-- Rows: one per table and sequence
SELECT format('DELETE FROM ONLY %I.%I', nspname, relname) AS command
FROM pg_class
INNER JOIN pg_namespace ON pg_class.relnamespace = pg_namespace.oid
WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
UNION ALL
SELECT
    format(
        'SELECT setval(%L, %s, %L) FROM %I.%I WHERE (last_value, is_called) <> (%s, %L)',
        format('%I.%I', schemaname, sequencename),
        coalesce(last_value, start_value),
        last_value IS NOT NULL,
        schemaname,
        sequencename,
        coalesce(last_value, start_value),
        last_value IS NOT NULL
    )
FROM pg_sequences;

-- name: list_copy_commands()
-- For each table, the command that writes its rows out and the one that reads them in.
-- Index: none (the system catalog is read whole)
-- Rows: one per table
SELECT
    format('COPY %I.%I TO STDOUT', nspname, relname) AS give,
    format('COPY %I.%I FROM STDIN', nspname, relname) AS take
FROM pg_class
INNER JOIN pg_namespace ON pg_class.relnamespace = pg_namespace.oid
WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
ORDER BY nspname, relname;
