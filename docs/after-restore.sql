-- Makes a database of this library complete after its tables arrived in another way than by its migrations: by logical replication,
-- which copies no sequences, or by a restore into another schema, whose functions still name the old one. Run it with psql as the
-- owner of the tables, with writers stopped, and with the schema where the tables are now:
--
--     psql -v schema=public -f docs/after-restore.sql DATABASE
--
-- It may be run again: what is right stays as it is. Afterwards run: datastore verify --database URL

\set ON_ERROR_STOP on

-- Every function finds the tables in the schema where it is, and among the session's temporary tables last, never first.
SELECT format('ALTER FUNCTION %s SET search_path = %I, pg_temp', CAST(pg_proc.oid AS REGPROCEDURE), pg_namespace.nspname)
FROM pg_catalog.pg_proc
INNER JOIN pg_catalog.pg_namespace ON pg_proc.pronamespace = pg_namespace.oid
WHERE pg_namespace.nspname = :'schema' AND pg_proc.proname LIKE 'datastore\_%' AND pg_proc.prosqlbody IS NULL
ORDER BY pg_proc.oid
\gexec

-- Every sequence continues after the highest number in its column.
SELECT
    format(
        'SELECT setval(%L, greatest(highest, last, 1), greatest(highest, last) IS NOT NULL)'
        ' FROM (SELECT max(%I) AS highest, pg_sequence_last_value(%L) AS last FROM %I.%I) AS numbers',
        CAST(pg_depend.objid AS REGCLASS),
        pg_attribute.attname,
        CAST(pg_depend.objid AS REGCLASS),
        pg_namespace.nspname,
        pg_class.relname
    )
FROM pg_catalog.pg_depend
INNER JOIN pg_catalog.pg_class ON pg_depend.refobjid = pg_class.oid
INNER JOIN pg_catalog.pg_namespace ON pg_class.relnamespace = pg_namespace.oid
INNER JOIN pg_catalog.pg_attribute
    ON pg_class.oid = pg_attribute.attrelid AND pg_depend.refobjsubid = pg_attribute.attnum
INNER JOIN pg_catalog.pg_class AS sequences ON pg_depend.objid = sequences.oid
WHERE
    pg_namespace.nspname = :'schema'
    AND pg_depend.classid = CAST('pg_class' AS REGCLASS)
    AND pg_depend.refclassid = CAST('pg_class' AS REGCLASS)
    AND pg_depend.deptype IN ('a', 'i')
    AND sequences.relkind = 'S'
ORDER BY pg_class.relname
\gexec
