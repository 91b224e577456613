-- The session: what the engine asks of the server for itself. SQLite has PRAGMAs and its own lock instead.

-- name: set_session(synchronous_commit, lock_timeout)^
-- Sets what a session takes from its role or database otherwise, so that values look the same everywhere.
--   synchronous_commit  text  on or off
--   lock_timeout  text  how long a statement waits for a lock, with its unit: 30000ms
-- Index: none (no table)
-- Rows: 1
-- Differs: PostgreSQL has settings a session
SELECT
    set_config('TimeZone', 'UTC', FALSE) AS time_zone,
    set_config('DateStyle', 'ISO', FALSE) AS date_style,
    set_config('extra_float_digits', '1', FALSE) AS float_digits,
    set_config('standard_conforming_strings', 'on', FALSE) AS standard_strings,
    set_config('synchronous_commit', :synchronous_commit, FALSE) AS synchronous_commit,
    set_config('lock_timeout', :lock_timeout, FALSE) AS lock_timeout;

-- name: set_lock_timeout(lock_timeout)^
-- How long a statement of this session waits for a lock.
--   lock_timeout  text  with its unit: 30000ms
-- Index: none (no table)
-- Rows: 1
-- Differs: PostgreSQL has settings a session
SELECT set_config('lock_timeout', :lock_timeout, FALSE) AS lock_timeout;

-- name: take_lock(library, lock)^
-- Waits until no other transaction has this lock, which ends with the transaction.
--   library  integer  this library's number
--   lock  integer  what is locked: see datastore.engines.postgresql.engine
-- Index: none (no table)
-- Rows: 1
-- Differs: whoever writes to SQLite has its one lock already
SELECT CAST(pg_advisory_xact_lock(CAST(:library AS INTEGER), CAST(:lock AS INTEGER)) AS TEXT) AS locked;

-- name: try_session_lock(library, lock)$
-- Takes a lock that ends with the session, if nobody else has it; a session that has it already has it once more.
--   library  integer  this library's number
--   lock  integer  what is locked: see datastore.engines.postgresql.engine
-- Index: none (no table)
-- Rows: 1
-- Differs: whoever migrates a SQLite file has its write gate
SELECT CASE WHEN pg_try_advisory_lock(CAST(:library AS INTEGER), CAST(:lock AS INTEGER)) THEN 1 ELSE 0 END AS taken;

-- name: release_session_lock(library, lock)$
-- Lets a lock of this session go.
--   library  integer  this library's number
--   lock  integer  what is locked: see datastore.engines.postgresql.engine
-- Index: none (no table)
-- Rows: 1
-- Differs: whoever migrates a SQLite file has its write gate
SELECT CASE WHEN pg_advisory_unlock(CAST(:library AS INTEGER), CAST(:lock AS INTEGER)) THEN 1 ELSE 0 END AS released;

-- name: get_transaction_number()$
-- The number of the transaction that runs: another one where it was ended meanwhile.
-- Index: none (no table)
-- Rows: 1
-- Differs: SQLite refuses the COMMIT of a migration by itself
SELECT CAST(pg_current_xact_id() AS TEXT) AS number;

-- name: get_clock()$
-- The server's clock, now and not when the transaction began.
-- Index: none (no table)
-- Rows: 1
-- Differs: a file has no clock
SELECT clock_timestamp() AS clock;

-- name: get_server_state()^
-- What an operator asks first: the server, the size, who is there, how long the oldest transaction has been open (which
-- keeps vacuum from taking dead rows away, and makes claims slower).
-- Index: none (the server's own views)
-- Rows: 1
-- Differs: a file has none of it
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
    ) AS oldest_transaction_seconds;

-- name: count_other_clients()$
-- How many other clients are connected to this database.
-- Index: none (the server's own view)
-- Rows: 1
-- Differs: a file has none of it
SELECT count(*) AS clients
FROM pg_stat_activity
WHERE
    datname = current_database()
    AND backend_type = 'client backend'
    AND pid <> pg_backend_pid();

-- name: list_numbers()
-- The columns whose values a sequence gives, and the last one that it gave.
-- Index: none (the server's catalogue is small); sorts
-- Rows: one per such column, by table and column (last_value is NULL where none was given)
-- Differs: SQLite keeps its last numbers in sqlite_sequence
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
-- Has a sequence go on after a number.
--   sequence  text  its name, quoted where that is needed
--   last_value  integer  the last number that is taken
-- Index: none (no table)
-- Rows: 1
-- Differs: SQLite goes on after the highest by itself
SELECT setval(CAST(CAST(:sequence AS TEXT) AS REGCLASS), CAST(:last_value AS BIGINT)) AS last_value;

-- name: list_own_triggers()
-- The tables with triggers on an insertion that do not heed datastore.copying: an application's own.
-- Index: none (the server's catalogue is small); sorts
-- Rows: one per such table, by name
-- Differs: SQLite's triggers are taken away while rows are copied
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
-- Waits until nobody writes to these tables, and keeps writers out until the transaction ends; readers go on.
-- Index: none (no row is read)
-- Rows: 0
-- Differs: whoever writes to SQLite has its one lock already
LOCK TABLE conversations, messages, learnings, job_queue IN SHARE ROW EXCLUSIVE MODE;

-- name: set_rollback(allowed)$
-- Lets rollbacks of this transaction destroy what they refuse to destroy otherwise (docs/migrations.md).
--   allowed  text  destroy
-- Index: none (a setting, which the rollback files look for)
-- Rows: 1
-- Differs: SQLite has no settings of a session's own
SELECT set_config('datastore.rollback', :allowed, TRUE) AS rollback;
