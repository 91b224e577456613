-- Creates two roles: an owner, which migrates, and an application, which can do everything that the library does. The application
-- cannot change the schema or the audit log, nor delete a legal hold, a receipt or a tombstone. Run it with psql as a superuser:
--
--     psql -v owner=datastore_owner -v application=datastore_app -f docs/roles.sql DATABASE
--
-- Run it before the first migration, because it creates the roles, and again after every migration, which may add tables.
-- Migrate as the owner (yoyo apply --database postgresql+datastore://datastore_owner@host/DATABASE ...), and open the store as the
-- application (postgresql://datastore_app@host/DATABASE). Store passwords in ~/.pgpass or the file that PGPASSFILE names.

\set ON_ERROR_STOP on

-- Create the roles that do not exist yet.
SELECT format('CREATE ROLE %I LOGIN', wanted.name)
FROM (VALUES (:'owner'), (:'application')) AS wanted (name)
WHERE wanted.name NOT IN (SELECT rolname FROM pg_catalog.pg_roles)
\gexec

-- Only the owner may create objects. Temporary tables are refused too, because one could hide a table of the library.
REVOKE TEMPORARY ON DATABASE :"DBNAME" FROM PUBLIC, :"application";

GRANT CONNECT ON DATABASE :"DBNAME" TO :"owner", :"application";

REVOKE CREATE ON SCHEMA public FROM PUBLIC, :"application";

GRANT USAGE, CREATE ON SCHEMA public TO :"owner";

GRANT USAGE ON SCHEMA public TO :"application";

-- Grant the application only the rights that it needs on each table. Triggers write counters, tags and the log's numbers. Cascades
-- delete the rows that belong to a conversation with the rights of the owner of their table.
SELECT
    format('REVOKE ALL ON public.%I FROM %I, PUBLIC', found.relname, :'application') AS "before",
    format('GRANT %s ON public.%I TO %I', wanted.rights, found.relname, :'application') AS "now"
FROM (VALUES
    ('conversations', 'SELECT, INSERT, UPDATE, DELETE'),
    ('messages', 'SELECT, INSERT, UPDATE, DELETE'),
    ('learnings', 'SELECT, INSERT, UPDATE, DELETE'),
    ('branches', 'SELECT, INSERT, UPDATE, DELETE'),
    ('learning_vectors', 'SELECT, INSERT, UPDATE, DELETE'),
    ('message_vectors', 'SELECT, INSERT, UPDATE, DELETE'),
    ('vector_cells', 'SELECT, INSERT, DELETE'),
    ('vector_indexes', 'SELECT, INSERT, UPDATE'),
    ('learning_tags', 'SELECT, INSERT, DELETE'),
    ('learning_messages', 'SELECT, INSERT'),
    ('learning_words', 'SELECT, INSERT, DELETE'),
    ('message_words', 'SELECT, INSERT, DELETE'),
    ('search_settings', 'SELECT, INSERT, UPDATE'),
    ('uploads', 'SELECT, INSERT, UPDATE, DELETE'),
    ('redactions', 'SELECT, INSERT, DELETE'),
    ('job_queue', 'SELECT, INSERT, UPDATE, DELETE'),
    ('job_attempts', 'SELECT, INSERT, UPDATE, DELETE'),
    ('job_pauses', 'SELECT, INSERT, DELETE'),
    ('job_limits', 'SELECT, INSERT, UPDATE, DELETE'),
    ('job_groups', 'SELECT, INSERT, UPDATE, DELETE'),
    ('schedules', 'SELECT, INSERT, UPDATE, DELETE'),
    -- Counts are written by triggers and by `datastore reindex`. A function with the owner's rights deletes those of erased types.
    ('job_counts', 'SELECT, INSERT, UPDATE'),
    ('retention_policies', 'SELECT, INSERT, UPDATE, DELETE'),
    ('maintenance_tasks', 'SELECT'),
    ('backups', 'SELECT'),
    -- Holds are placed and released, receipts are updated, tombstones are set and lifted; none of them may be deleted.
    ('legal_holds', 'SELECT, INSERT, UPDATE (released_by, released_at)'),
    ('erasures', 'SELECT, INSERT, UPDATE (status, receipt, updated_at)'),
    ('erasure_keys', 'SELECT, INSERT'),
    ('tombstones', 'SELECT, INSERT, UPDATE (erasure_id, created_at, lifted_at)'),
    -- The log is append-only; a trigger with the owner's rights assigns its numbers.
    ('audit_log', 'SELECT, INSERT'),
    ('audit_log_counter', 'SELECT'),
    -- yoyo's tables belong to the owner.
    ('_yoyo_log', 'SELECT'),
    ('_yoyo_migration', 'SELECT'),
    ('_yoyo_version', 'SELECT'),
    -- Views.
    ('job_history', 'SELECT'),
    ('held_conversations', 'SELECT'),
    ('held_learnings', 'SELECT')
) AS wanted (name, rights)
INNER JOIN pg_catalog.pg_class AS found ON wanted.name = found.relname
WHERE found.relnamespace = CAST('public' AS regnamespace)
ORDER BY found.relname
\gexec

-- Prevent roles from using the library's trigger functions on their own tables.
SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC, %I', CAST(oid AS regprocedure), :'application')
FROM pg_catalog.pg_proc
WHERE pronamespace = CAST('public' AS regnamespace) AND proname LIKE 'datastore\_%' AND prorettype = CAST('trigger' AS regtype)
ORDER BY oid
\gexec

-- Grant rights on the application's own tables as well, for example: GRANT SELECT, INSERT ON notes TO :"application";
