-- Two roles: an owner, which migrates, and an application, which does everything that the library does and cannot change the
-- schema or the audit log. Run once as a superuser, then again the GRANTs after each migration that adds a table:
--
--     psql -v owner=datastore_owner -v application=datastore_app -f docs/roles.sql DATABASE
--
-- Migrate as the owner (yoyo apply --database postgresql+datastore://datastore_owner@host/DATABASE ...), open the store as the
-- application (postgresql://datastore_app@host/DATABASE). Passwords belong into ~/.pgpass or PGPASSFILE.

GRANT CONNECT ON DATABASE :"database" TO :"application";

REVOKE CREATE ON SCHEMA public FROM PUBLIC;

GRANT USAGE, CREATE ON SCHEMA public TO :"owner";

GRANT USAGE ON SCHEMA public TO :"application";

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO :"application";

GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO :"application";

-- The log is added to and read, and nothing else; its numbers are given by a trigger with the owner's rights.
REVOKE UPDATE, DELETE ON audit_log FROM :"application";

REVOKE ALL ON audit_log_counter FROM :"application";

GRANT SELECT ON audit_log_counter TO :"application";

-- yoyo's tables are the owner's.
REVOKE INSERT, UPDATE, DELETE ON _yoyo_log, _yoyo_migration, _yoyo_version FROM :"application";
