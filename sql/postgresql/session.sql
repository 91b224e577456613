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
--   lock  integer  what is locked: see datastore.engines.postgresql
-- Index: none (no table)
-- Rows: 1
-- Differs: whoever writes to SQLite has its one lock already
SELECT CAST(pg_advisory_xact_lock(CAST(:library AS INTEGER), CAST(:lock AS INTEGER)) AS TEXT) AS locked;

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

-- name: restart_numbers()^
-- Has each table's own numbers go on behind the highest one that is there: behind a copy, which brought its own.
-- Index: the primary keys (their ends)
-- Rows: 1
-- Differs: SQLite goes on behind the highest by itself
SELECT
    (
        SELECT
            setval(
                pg_get_serial_sequence('conversations', 'seq'),
                coalesce(max(conversations.seq), 1),
                max(conversations.seq) IS NOT NULL
            )
        FROM conversations
    ) AS conversations,
    (
        SELECT setval(pg_get_serial_sequence('messages', 'seq'), coalesce(max(messages.seq), 1), max(messages.seq) IS NOT NULL)
        FROM messages
    ) AS messages,
    (
        SELECT setval(pg_get_serial_sequence('learnings', 'seq'), coalesce(max(learnings.seq), 1), max(learnings.seq) IS NOT NULL)
        FROM learnings
    ) AS learnings,
    (
        SELECT setval(pg_get_serial_sequence('uploads', 'seq'), coalesce(max(uploads.seq), 1), max(uploads.seq) IS NOT NULL)
        FROM uploads
    ) AS uploads,
    (
        SELECT setval(pg_get_serial_sequence('redactions', 'seq'), coalesce(max(redactions.seq), 1), max(redactions.seq) IS NOT NULL)
        FROM redactions
    ) AS redactions,
    (
        SELECT setval(pg_get_serial_sequence('job_queue', 'id'), coalesce(max(job_queue.id), 1), max(job_queue.id) IS NOT NULL)
        FROM job_queue
    ) AS jobs;

-- name: list_stored_columns(table_name)
-- The columns of a table that are stored, not computed.
--   table_name  text  which table
-- Index: none (the server's own view)
-- Rows: one a column, in their order
-- Differs: SQLite says it by a PRAGMA
-- Allow: full-scan, because the server's view reads its own small tables so
SELECT CAST(column_name AS TEXT) AS name
FROM information_schema.columns
WHERE
    table_schema = current_schema()
    AND table_name = :table_name
    AND is_generated = 'NEVER'
ORDER BY ordinal_position;

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
