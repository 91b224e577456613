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
