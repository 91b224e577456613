-- Vectors: statements specific to SQLite.

-- name: lock_vector_index(name)^
-- As get_vector_index; the answer stays true until the transaction ends.
--   name  text  learnings or messages
-- Index: vector_indexes primary key
-- Rows: 0 or 1
-- Record: VectorSettings
-- Differs: SQLite's writer already has the only lock; PostgreSQL locks the row
SELECT
    model,
    dimensions,
    generation,
    trained_rows
FROM vector_indexes
WHERE name = :name;

-- name: add_learning_vectors(rows, vectors, dimensions)!
-- Stores the vectors of some learnings, in place of present ones.
--   rows  rows  a list of [id of the learning, cell, hash of its text]
--   vectors  blob  the vectors, one after another in the order of rows
--   dimensions  integer  bytes per vector
-- Index: learnings_id_key (one lookup per row)
-- Rows: one per learning that exists
-- Differs: SQLite passes a list as JSON to json_each
INSERT INTO learning_vectors (place, seq, text_hash, vector)
SELECT
    json_extract(new_row.value, '$[1]') * 1099511627776 + learnings.seq,
    learnings.seq,
    json_extract(new_row.value, '$[2]'),
    substr(:vectors, new_row.key * :dimensions + 1, :dimensions)
FROM json_each(:rows) AS new_row
CROSS JOIN learnings
WHERE learnings.id = json_extract(new_row.value, '$[0]')
ON CONFLICT (seq) DO UPDATE SET
    place = excluded.place,
    text_hash = excluded.text_hash,
    vector = excluded.vector;

-- name: move_learning_vectors(rows)!
-- Moves some vectors to other cells.
--   rows  rows  a list of [row number, cell]
-- Index: learning_vectors_seq_key (one lookup per row)
-- Rows: 0 to the length of rows
-- Differs: SQLite passes a list as JSON to json_each
UPDATE learning_vectors
SET place = json_extract(moved.value, '$[1]') * 1099511627776 + learning_vectors.seq
FROM json_each(:rows) AS moved
WHERE learning_vectors.seq = json_extract(moved.value, '$[0]');

-- name: list_vectors_of_learnings(seqs)
-- The vectors of some rows.
--   seqs  json  a list of row numbers
-- Index: learning_vectors_seq_key (one lookup per row)
-- Rows: 0 to the length of seqs
-- Differs: SQLite passes a list as JSON to json_each; PostgreSQL has arrays
-- Allow: max-rows, the length of seqs bounds the result
SELECT
    learning_vectors.seq,
    learning_vectors.vector
FROM json_each(:seqs) AS wanted
CROSS JOIN learning_vectors
WHERE learning_vectors.seq = wanted.value;

-- name: list_vectors_by_learning_id(ids)
-- The vectors of some learnings, for disclosure and erasure.
--   ids  json  a list of ids
-- Index: learnings_id_key, learning_vectors_seq_key (one lookup each per row); sorts the list
-- Rows: 0 to the length of ids
-- Differs: SQLite passes a list as JSON to json_each; PostgreSQL has arrays
-- Allow: max-rows, the length of ids bounds the result
SELECT
    learnings.id,
    learning_vectors.vector
FROM json_each(:ids) AS wanted
CROSS JOIN learnings
CROSS JOIN learning_vectors
WHERE
    learnings.id = wanted.value
    AND learning_vectors.seq = learnings.seq
ORDER BY wanted.key;

-- name: list_matching_learnings(query, seqs)
-- The rows of a list, in its order, that match a query.
--   query  match  what a row must have
--   seqs  json  a list of row numbers
-- Index: learnings_fts (MATCH and one row number each); sorts the list
-- Rows: 0 to the length of seqs
-- Differs: FTS5 is specific to SQLite; PostgreSQL has tsvector
-- Allow: max-rows, the length of seqs bounds the result
SELECT learnings_fts.rowid AS seq
FROM json_each(:seqs) AS wanted
CROSS JOIN learnings_fts
WHERE
    learnings_fts MATCH :query
    AND learnings_fts.rowid = wanted.value
ORDER BY wanted.key;

-- name: lock_learning_texts(ids)
-- The present texts of some learnings, which nobody changes until the transaction ends.
--   ids  json  a list of ids
-- Index: learnings_id_key (one lookup per row)
-- Rows: 0 to the length of ids
-- Differs: SQLite's writer already has the only lock; PostgreSQL locks the rows
-- Allow: max-rows, the length of ids bounds the result
SELECT
    learnings.id,
    learnings.title,
    learnings.content
FROM json_each(:ids) AS wanted
CROSS JOIN learnings
WHERE learnings.id = wanted.value;

-- name: add_message_vectors(rows, vectors, dimensions)!
-- Stores the vectors of some messages, in place of present ones.
--   rows  rows  a list of [id of the message, cell, hash of its text]
--   vectors  blob  the vectors, one after another in the order of rows
--   dimensions  integer  bytes per vector
-- Index: messages_id_key (one lookup per row)
-- Rows: one per message that exists
-- Differs: SQLite passes a list as JSON to json_each
INSERT INTO message_vectors (place, seq, text_hash, vector)
SELECT
    json_extract(new_row.value, '$[1]') * 1099511627776 + messages.seq,
    messages.seq,
    json_extract(new_row.value, '$[2]'),
    substr(:vectors, new_row.key * :dimensions + 1, :dimensions)
FROM json_each(:rows) AS new_row
CROSS JOIN messages
WHERE messages.id = json_extract(new_row.value, '$[0]')
ON CONFLICT (seq) DO UPDATE SET
    place = excluded.place,
    text_hash = excluded.text_hash,
    vector = excluded.vector;

-- name: move_message_vectors(rows)!
-- Moves some vectors to other cells.
--   rows  rows  a list of [row number, cell]
-- Index: message_vectors_seq_key (one lookup per row)
-- Rows: 0 to the length of rows
-- Differs: SQLite passes a list as JSON to json_each
UPDATE message_vectors
SET place = json_extract(moved.value, '$[1]') * 1099511627776 + message_vectors.seq
FROM json_each(:rows) AS moved
WHERE message_vectors.seq = json_extract(moved.value, '$[0]');

-- name: list_vectors_of_messages(seqs)
-- The vectors of some rows.
--   seqs  json  a list of row numbers
-- Index: message_vectors_seq_key (one lookup per row)
-- Rows: 0 to the length of seqs
-- Differs: SQLite passes a list as JSON to json_each; PostgreSQL has arrays
-- Allow: max-rows, the length of seqs bounds the result
SELECT
    message_vectors.seq,
    message_vectors.vector
FROM json_each(:seqs) AS wanted
CROSS JOIN message_vectors
WHERE message_vectors.seq = wanted.value;

-- name: list_vectors_by_message_id(ids)
-- The vectors of some messages, for disclosure and erasure.
--   ids  json  a list of ids
-- Index: messages_id_key, message_vectors_seq_key (one lookup each per row); sorts the list
-- Rows: 0 to the length of ids
-- Differs: SQLite passes a list as JSON to json_each; PostgreSQL has arrays
-- Allow: max-rows, the length of ids bounds the result
SELECT
    messages.id,
    message_vectors.vector
FROM json_each(:ids) AS wanted
CROSS JOIN messages
CROSS JOIN message_vectors
WHERE
    messages.id = wanted.value
    AND message_vectors.seq = messages.seq
ORDER BY wanted.key;

-- name: list_matching_messages(query, seqs)
-- The rows of a list, in its order, that match a query.
--   query  match  what a row must have
--   seqs  json  a list of row numbers
-- Index: messages_fts (MATCH and one row number each); sorts the list
-- Rows: 0 to the length of seqs
-- Differs: FTS5 is specific to SQLite; PostgreSQL has tsvector
-- Allow: max-rows, the length of seqs bounds the result
SELECT messages_fts.rowid AS seq
FROM json_each(:seqs) AS wanted
CROSS JOIN messages_fts
WHERE
    messages_fts MATCH :query
    AND messages_fts.rowid = wanted.value
ORDER BY wanted.key;

-- name: lock_message_texts(ids)
-- The present texts of some messages, which nobody changes until the transaction ends.
--   ids  json  a list of ids
-- Index: messages_id_key (one lookup per row)
-- Rows: 0 to the length of ids
-- Differs: SQLite's writer already has the only lock; PostgreSQL locks the rows
-- Allow: max-rows, the length of ids bounds the result
SELECT
    messages.id,
    messages.content
FROM json_each(:ids) AS wanted
CROSS JOIN messages
WHERE messages.id = wanted.value;
