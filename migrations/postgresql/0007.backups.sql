-- Backups and maintenance: which copies of this database were made, and when each upkeep task last ran.
--
-- Locks: none to speak of, the tables are new.
-- Rollback: LOSES DATA (forgets which backups were made; the files stay).
-- depends: 0005.search

-- A copy of this database, so that erasure can name what it does not reach.
CREATE TABLE backups (
    id TEXT COLLATE "C" NOT NULL,
    -- The absolute path of the file, as the machine that made it names it.
    path TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL DEFAULT 'writing',
    created_at TIMESTAMPTZ NOT NULL,
    -- When it was verified and put in its place.
    finished_at TIMESTAMPTZ,
    -- When rotation deleted it, or when it was found to be gone.
    removed_at TIMESTAMPTZ,
    -- Bytes of the file, and their SHA-256 in lower-case hex.
    file_bytes BIGINT,
    checksum TEXT COLLATE "C",
    -- The high-water mark: the newest audit entry in it and that entry's hash. 0 and '' where there is none.
    audit_id BIGINT,
    audit_hash TEXT COLLATE "C",
    CONSTRAINT backups_pkey PRIMARY KEY (id),
    CONSTRAINT backups_id_check CHECK (length(id) BETWEEN 1 AND 200),
    CONSTRAINT backups_path_check CHECK (length(path) BETWEEN 1 AND 4096),
    CONSTRAINT backups_status_check CHECK (status IN ('writing', 'kept', 'removed', 'failed')),
    CONSTRAINT backups_file_bytes_check CHECK (file_bytes >= 0),
    CONSTRAINT backups_checksum_check CHECK (length(checksum) = 64),
    CONSTRAINT backups_audit_id_check CHECK (audit_id >= 0),
    -- What is kept was verified: it has a size, a checksum and a mark.
    CONSTRAINT backups_kept_check CHECK (
        status <> 'kept'
        OR (
            finished_at IS NOT NULL
            AND file_bytes IS NOT NULL
            AND checksum IS NOT NULL
            AND audit_id IS NOT NULL
            AND audit_hash IS NOT NULL
        )
    ),
    CONSTRAINT backups_removed_check CHECK ((status = 'removed') = (removed_at IS NOT NULL))
);

-- Serves list_backups.
CREATE INDEX backups_status_created_at_id_idx ON backups (status, created_at, id);

-- When each task of store.maintenance last ran to its end.
CREATE TABLE maintenance_tasks (
    name TEXT COLLATE "C" NOT NULL,
    ran_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT maintenance_tasks_pkey PRIMARY KEY (name),
    CONSTRAINT maintenance_tasks_name_check
    CHECK (name IN ('free_pages', 'full_text', 'checkpoint', 'optimize', 'vacuum'))
);
