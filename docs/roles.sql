-- Two roles: an owner, which migrates, and an application, which does everything that the library does and can change neither
-- the schema nor the audit log, nor take away a legal hold, a receipt or a tombstone. With psql, as a superuser:
--
--     psql -v owner=datastore_owner -v application=datastore_app -f docs/roles.sql DATABASE
--
-- Run it before the first migration, because it makes the roles, and again after every migration, which may add tables.
-- Migrate as the owner (yoyo apply --database postgresql+datastore://datastore_owner@host/DATABASE ...), open the store as the
-- application (postgresql://datastore_app@host/DATABASE). Passwords belong into ~/.pgpass or PGPASSFILE.

\set ON_ERROR_STOP on

-- The roles, where they are not there yet.
SELECT format('CREATE ROLE %I LOGIN', wanted.name)
FROM (VALUES (:'owner'), (:'application')) AS wanted (name)
WHERE wanted.name NOT IN (SELECT rolname FROM pg_catalog.pg_roles)
\gexec

-- Nobody but the owner makes anything, not even a temporary table, which would hide one of the library's.
REVOKE TEMPORARY ON DATABASE :"DBNAME" FROM PUBLIC, :"application";

GRANT CONNECT ON DATABASE :"DBNAME" TO :"owner", :"application";

REVOKE CREATE ON SCHEMA public FROM PUBLIC, :"application";

GRANT USAGE, CREATE ON SCHEMA public TO :"owner";

GRANT USAGE ON SCHEMA public TO :"application";

-- What the application does with each table, and nothing else. Counters, tags and the log's numbers are written by triggers; rows
-- that go with their conversation are deleted with the rights of their table's owner.
SELECT
    format('REVOKE ALL ON public.%I FROM %I, PUBLIC', found.relname, :'application') AS "before",
    format('GRANT %s ON public.%I TO %I', wanted.rights, found.relname, :'application') AS "now"
FROM (VALUES
    ('conversations', 'SELECT, INSERT, UPDATE, DELETE'),
    ('messages', 'SELECT, INSERT, UPDATE, DELETE'),
    ('learnings', 'SELECT, INSERT, UPDATE, DELETE'),
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
    ('job_counts', 'SELECT, INSERT, UPDATE, DELETE'),
    ('retention_policies', 'SELECT, INSERT, UPDATE, DELETE'),
    ('maintenance_tasks', 'SELECT'),
    ('backups', 'SELECT'),
    -- A hold is placed and released, a receipt goes on, a tombstone is set and lifted; none of them is taken away.
    ('legal_holds', 'SELECT, INSERT, UPDATE (released_by, released_at)'),
    ('erasures', 'SELECT, INSERT, UPDATE (status, receipt, updated_at)'),
    ('erasure_keys', 'SELECT, INSERT'),
    ('tombstones', 'SELECT, INSERT, UPDATE (erasure_id, created_at, lifted_at)'),
    -- The log is added to and read; its numbers are given by a trigger with the owner's rights.
    ('audit_log', 'SELECT, INSERT'),
    ('audit_log_counter', 'SELECT'),
    -- yoyo's tables are the owner's.
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

-- Nobody fires a trigger of the library's on a table of his own.
SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC, %I', CAST(oid AS regprocedure), :'application')
FROM pg_catalog.pg_proc
WHERE pronamespace = CAST('public' AS regnamespace) AND proname LIKE 'datastore\_%' AND prorettype = CAST('trigger' AS regtype)
ORDER BY oid
\gexec

-- The tables of an application's own are granted beside these, for example: GRANT SELECT, INSERT ON notes TO :"application";
