-- A help desk: a schema as people write them, old and new tables together.

CREATE TABLE customers (
    id INTEGER PRIMARY KEY,
    email TEXT NOT NULL COLLATE NOCASE,
    name TEXT,
    metadata TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata)),
    vip INTEGER NOT NULL DEFAULT 0 CHECK (vip IN (0, 1)),
    created_at TEXT NOT NULL CHECK (created_at GLOB '????-??-??T??:??:??.??????Z')
) STRICT;

CREATE UNIQUE INDEX customers_email_key ON customers (email);

CREATE TABLE agents (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    team TEXT,
    rate REAL NOT NULL,
    manager_id INTEGER REFERENCES agents (id)
) STRICT;

CREATE TABLE tickets (
    id INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (id),
    assignee_id INTEGER REFERENCES agents (id),
    subject TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'closed')),
    priority INTEGER NOT NULL,
    tags TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(tags)),
    opened_at TEXT NOT NULL CHECK (opened_at GLOB '????-??-??T??:??:??.??????Z'),
    closed_at TEXT CHECK (closed_at GLOB '????-??-??T??:??:??.??????Z')
) STRICT;

CREATE TABLE comments (
    ticket_id INTEGER NOT NULL REFERENCES tickets (id),
    position INTEGER NOT NULL,
    author TEXT,
    body TEXT NOT NULL,
    attachment BLOB,
    PRIMARY KEY (ticket_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    status TEXT NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0,
    payload TEXT NOT NULL CHECK (json_valid(payload)),
    attempts INTEGER NOT NULL DEFAULT 0,
    run_at TEXT NOT NULL CHECK (run_at GLOB '????-??-??T??:??:??.??????Z'),
    worker TEXT,
    lease_expires_at TEXT CHECK (lease_expires_at GLOB '????-??-??T??:??:??.??????Z')
) STRICT;

-- From before STRICT: a TEXT primary key takes NULL, a NUMERIC column takes words.
CREATE TABLE legacy_prices (
    code TEXT PRIMARY KEY,
    price NUMERIC NOT NULL,
    note
);

CREATE VIEW ticket_overview AS
SELECT
    tickets.id,
    tickets.subject,
    agents.name AS assignee
FROM tickets
LEFT JOIN agents ON agents.id = tickets.assignee_id;

CREATE VIRTUAL TABLE ticket_search USING fts5 (subject, body);
