-- The session: statements that the engine runs for itself. SQLite has PRAGMAs and its own lock instead.

-- name: set_session(synchronous_commit, lock_timeout, read_only)^
-- Sets options that a session otherwise inherits from its role or database, so that values have the same format everywhere.
--   synchronous_commit  text  on or off
--   lock_timeout  text  how long a statement waits for a lock, with its unit: 30000ms
--   read_only  text  on: changes are refused; off
-- Index: none (no table)
-- Rows: 1
-- Differs: only PostgreSQL has session settings
SELECT
    set_config('TimeZone', 'UTC', FALSE) AS time_zone,
    set_config('DateStyle', 'ISO', FALSE) AS date_style,
    set_config('extra_float_digits', '1', FALSE) AS float_digits,
    set_config('standard_conforming_strings', 'on', FALSE) AS standard_strings,
    set_config('synchronous_commit', :synchronous_commit, FALSE) AS synchronous_commit,
    set_config('lock_timeout', :lock_timeout, FALSE) AS lock_timeout,
    set_config('default_transaction_read_only', :read_only, FALSE) AS read_only;

-- name: set_setting(name, value)^
-- Sets an option of this session.
--   name  text  of the option: lock_timeout
--   value  text  with its unit: 100ms
-- Index: none (no table)
-- Rows: 1
-- Differs: only PostgreSQL has session settings
SELECT set_config(:name, :value, FALSE) AS value;

-- name: find_oldest_transaction()
-- The oldest open transaction of another client in this database.
-- Index: none (the server's view); sorts
-- Rows: 0 or 1
-- Differs: SQLite has no server
SELECT
    pid AS process,
    application_name,
    CAST(extract(EPOCH FROM clock_timestamp() - xact_start) AS DOUBLE PRECISION) AS seconds
FROM pg_stat_activity
WHERE
    datname = current_database()
    AND pid <> pg_backend_pid()
    AND xact_start IS NOT NULL
ORDER BY xact_start, pid
LIMIT 1;

-- name: list_invalid_indexes()
-- The indexes that a failed CREATE INDEX CONCURRENTLY left, each with the command that drops it.
-- Index: none (the server's catalogue is small); sorts
-- Rows: one per such index
-- Differs: SQLite builds an index completely or not at all
-- Allow: full-scan, because the server's catalogue is small
SELECT
    CAST(pg_class.relname AS TEXT) AS name,
    format('DROP INDEX CONCURRENTLY IF EXISTS %I.%I', current_schema(), pg_class.relname) AS command
FROM pg_index
INNER JOIN pg_class ON pg_index.indexrelid = pg_class.oid
WHERE
    NOT pg_index.indisvalid
    AND pg_class.relnamespace = to_regnamespace(quote_ident(current_schema()))
ORDER BY CAST(pg_class.relname AS TEXT);

-- name: get_comment_command(target, words)$
-- The command that stores a comment with a table, a column, a function, ...
--   target  text  what, as COMMENT ON names it: COLUMN messages.role
--   words  text  the comment
-- Index: none (no table)
-- Rows: 1
-- Differs: SQLite keeps the text of CREATE TABLE with its comments
SELECT format('COMMENT ON %s IS %L', CAST(:target AS TEXT), CAST(:words AS TEXT)) AS command;

-- name: take_lock(library, lock)^
-- Acquires a lock that is released at the end of the transaction; waits while another transaction has it.
--   library  integer  number of this library
--   lock  integer  the lock: see datastore.engines.postgresql.engine
-- Index: none (no table)
-- Rows: 1
-- Differs: a SQLite writer already has the only write lock
SELECT CAST(pg_advisory_xact_lock(CAST(:library AS INTEGER), CAST(:lock AS INTEGER)) AS TEXT) AS locked;

-- name: try_session_lock(library, lock)$
-- Acquires a lock that is released at the end of the session, unless another session has it. The same session may acquire it
-- more than once.
--   library  integer  number of this library
--   lock  integer  the lock: see datastore.engines.postgresql.engine
-- Index: none (no table)
-- Rows: 1
-- Differs: a migration of a SQLite file has its write gate
SELECT CASE WHEN pg_try_advisory_lock(CAST(:library AS INTEGER), CAST(:lock AS INTEGER)) THEN 1 ELSE 0 END AS taken;

-- name: release_session_lock(library, lock)$
-- Releases a lock of this session.
--   library  integer  number of this library
--   lock  integer  the lock: see datastore.engines.postgresql.engine
-- Index: none (no table)
-- Rows: 1
-- Differs: a migration of a SQLite file has its write gate
SELECT CASE WHEN pg_advisory_unlock(CAST(:library AS INTEGER), CAST(:lock AS INTEGER)) THEN 1 ELSE 0 END AS released;

-- name: get_transaction_number()$
-- The id of the current transaction; it changes if a migration ended the transaction.
-- Index: none (no table)
-- Rows: 1
-- Differs: SQLite itself refuses a COMMIT in a migration
SELECT CAST(pg_current_xact_id() AS TEXT) AS number;

-- name: get_clock()$
-- The current time of the server, not the time at which the transaction began.
-- Index: none (no table)
-- Rows: 1
-- Differs: a SQLite file has no clock
SELECT clock_timestamp() AS clock;

-- name: get_server_state()^
-- The state of the server for an operator: version, size, connected clients, the age of the oldest open transaction (which
-- prevents vacuum from removing dead rows, and slows down claims), the table with the most dead rows per live one (of those with more
-- than 100,000), how far a replica is behind, and the WAL that a replication slot retains.
-- Index: none (the server's views); sorts
-- Rows: 1
-- Differs: SQLite has no server
-- Allow: full-scan, because the server's catalogue is small
SELECT
    current_setting('server_version') AS version,
    pg_database_size(current_database()) AS bytes,
    CASE WHEN pg_is_in_recovery() THEN 1 ELSE 0 END AS standby,
    (
        SELECT count(*)
        FROM pg_stat_activity
        WHERE datname = current_database()
    ) AS connections,
    (
        SELECT CAST(coalesce(extract(EPOCH FROM max(clock_timestamp() - xact_start)), 0) AS DOUBLE PRECISION)
        FROM pg_stat_activity
        WHERE
            datname = current_database()
            AND pid <> pg_backend_pid()
    ) AS oldest_transaction_seconds,
    dead.relname AS dead_table,
    dead.share AS dead_share,
    CASE
        WHEN pg_is_in_recovery()
            THEN CAST(extract(EPOCH FROM clock_timestamp() - pg_last_xact_replay_timestamp()) AS DOUBLE PRECISION)
        ELSE (
            SELECT CAST(extract(EPOCH FROM max(replay_lag)) AS DOUBLE PRECISION)
            FROM pg_stat_replication
        )
    END AS replica_lag_seconds,
    CASE
        WHEN NOT pg_is_in_recovery()
            THEN (
                SELECT CAST(max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) AS BIGINT)
                FROM pg_replication_slots
            )
    END AS retained_wal_bytes
FROM (VALUES (1)) AS one (number)
LEFT JOIN (
    SELECT
        CAST(relname AS TEXT) AS relname,
        CAST(n_dead_tup AS DOUBLE PRECISION) / greatest(n_live_tup, 1) AS share
    FROM pg_stat_user_tables
    WHERE n_dead_tup > 100000
    ORDER BY CAST(n_dead_tup AS DOUBLE PRECISION) / greatest(n_live_tup, 1) DESC
    LIMIT 1
) AS dead ON TRUE;

-- name: count_other_clients()$
-- The number of other clients connected to this database.
-- Index: none (the server's view)
-- Rows: 1
-- Differs: SQLite has no server
SELECT count(*) AS clients
FROM pg_stat_activity
WHERE
    datname = current_database()
    AND backend_type = 'client backend'
    AND pid <> pg_backend_pid();

-- name: list_numbers()
-- The columns whose values come from a sequence, with the last value that the sequence returned.
-- Index: none (the server's catalogue is small); sorts
-- Rows: one per such column, by table and column (last_value is NULL if the sequence has returned none)
-- Differs: SQLite stores the last values in sqlite_sequence
-- Allow: full-scan, because the server's catalogue is small
SELECT
    CAST(pg_class.relname AS TEXT) AS table_name,
    CAST(pg_attribute.attname AS TEXT) AS name,
    CAST(CAST(pg_depend.objid AS REGCLASS) AS TEXT) AS sequence,
    pg_sequence_last_value(CAST(pg_depend.objid AS REGCLASS)) AS last_value
FROM pg_depend
INNER JOIN pg_class AS sequences ON pg_depend.objid = sequences.oid
INNER JOIN pg_class ON pg_depend.refobjid = pg_class.oid
INNER JOIN pg_attribute
    ON
        pg_class.oid = pg_attribute.attrelid
        AND pg_depend.refobjsubid = pg_attribute.attnum
WHERE
    pg_depend.classid = CAST('pg_class' AS REGCLASS)
    AND pg_depend.refclassid = CAST('pg_class' AS REGCLASS)
    AND pg_depend.deptype IN ('a', 'i')
    AND sequences.relkind = 'S'
    AND pg_class.relnamespace = to_regnamespace(quote_ident(current_schema()))
ORDER BY CAST(pg_class.relname AS TEXT), pg_attribute.attnum;

-- name: raise_number(sequence, last_value)^
-- Sets a sequence to continue after a number.
--   sequence  text  its name, quoted if necessary
--   last_value  integer  the last number in use
-- Index: none (no table)
-- Rows: 1
-- Differs: SQLite itself continues after the highest
SELECT setval(CAST(CAST(:sequence AS TEXT) AS REGCLASS), CAST(:last_value AS BIGINT)) AS last_value;

-- name: list_own_triggers()
-- The tables with insert triggers that ignore datastore.copying, which are those of the application.
-- Index: none (the server's catalogue is small); sorts
-- Rows: one per such table, by name
-- Differs: SQLite's triggers are dropped while rows are copied
-- Allow: full-scan, because the server's catalogue is small
SELECT DISTINCT CAST(pg_class.relname AS TEXT) AS table_name
FROM pg_trigger
INNER JOIN pg_class ON pg_trigger.tgrelid = pg_class.oid
INNER JOIN pg_proc ON pg_trigger.tgfoid = pg_proc.oid
WHERE
    NOT pg_trigger.tgisinternal
    AND pg_class.relnamespace = to_regnamespace(quote_ident(current_schema()))
    AND pg_trigger.tgtype & 4 = 4
    AND pg_proc.proname NOT LIKE 'datastore\_%'
ORDER BY CAST(pg_class.relname AS TEXT);

-- name: lock_writers_out()!
-- Locks these tables against writers until the transaction ends; waits for current writers. Readers are not blocked.
-- Index: none (no row is read)
-- Rows: 0
-- Differs: a SQLite writer already has the only write lock
LOCK TABLE conversations, messages, learnings, job_queue IN SHARE ROW EXCLUSIVE MODE;

-- name: set_rollback(allowed)$
-- Allows rollbacks in this transaction to destroy data that they otherwise refuse to destroy (docs/migrations.md).
--   allowed  text  destroy
-- Index: none (a setting, which the rollback files check)
-- Rows: 1
-- Differs: SQLite has no session settings
SELECT set_config('datastore.rollback', :allowed, TRUE) AS rollback;
