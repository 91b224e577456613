-- Vectors: statements specific to PostgreSQL.

-- name: lock_vector_index(name)^
-- As get_vector_index; the answer stays true until the transaction ends.
--   name  text  learnings or messages
-- Index: vector_indexes primary key
-- Rows: 0 or 1
-- Record: VectorSettings
-- Differs: PostgreSQL locks the row, so that nobody divides the vectors meanwhile; SQLite's writer already has the only lock
SELECT
    model,
    dimensions,
    generation,
    trained_rows
FROM vector_indexes
WHERE name = :name
FOR SHARE;

-- name: add_learning_vectors(rows, vectors, dimensions)!
-- Stores the vectors of some learnings, in place of present ones.
--   rows  rows  a list of [id of the learning, cell, hash of its text]
--   vectors  blob  the vectors, one after another in the order of rows
--   dimensions  integer  bytes per vector
-- Index: learnings_id_key (one lookup per row)
-- Rows: one per learning that exists
-- Differs: PostgreSQL unnests a JSON list differently
INSERT INTO learning_vectors (place, seq, text_hash, vector)
SELECT
    CAST(new_row.value ->> 1 AS BIGINT) * 1099511627776 + learnings.seq,
    learnings.seq,
    new_row.value ->> 2,
    substr(CAST(:vectors AS BYTEA), CAST((new_row.key - 1) * :dimensions + 1 AS INTEGER), CAST(:dimensions AS INTEGER))
FROM json_array_elements(CAST(:rows AS JSON)) WITH ORDINALITY AS new_row (value, key)
INNER JOIN learnings ON learnings.id = new_row.value ->> 0
ON CONFLICT (seq) DO UPDATE SET
    place = excluded.place,
    text_hash = excluded.text_hash,
    vector = excluded.vector;

-- name: move_learning_vectors(rows)!
-- Moves some vectors to other cells.
--   rows  rows  a list of [row number, cell]
-- Index: learning_vectors_seq_key (one lookup per row)
-- Rows: 0 to the length of rows
-- Differs: PostgreSQL unnests a JSON list differently
UPDATE learning_vectors
SET place = CAST(moved.value ->> 1 AS BIGINT) * 1099511627776 + learning_vectors.seq
FROM json_array_elements(CAST(:rows AS JSON)) AS moved (value)
WHERE learning_vectors.seq = CAST(moved.value ->> 0 AS BIGINT);

-- name: list_vectors_of_learnings(seqs)
-- The vectors of some rows.
--   seqs  json  a list of row numbers
-- Index: learning_vectors_seq_key (one lookup per row)
-- Rows: 0 to the length of seqs
-- Differs: PostgreSQL unnests a JSON list differently
SELECT
    learning_vectors.seq,
    learning_vectors.vector
FROM json_array_elements_text(CAST(:seqs AS JSON)) AS wanted (value)
INNER JOIN learning_vectors ON learning_vectors.seq = CAST(wanted.value AS BIGINT);

-- name: list_vectors_by_learning_id(ids)
-- The vectors of some learnings, for disclosure and erasure.
--   ids  json  a list of ids
-- Index: learnings_id_key, learning_vectors_seq_key (one lookup each per row); sorts the list
-- Rows: 0 to the length of ids
-- Differs: PostgreSQL unnests a JSON list differently
SELECT
    learnings.id,
    learning_vectors.vector
FROM json_array_elements_text(CAST(:ids AS JSON)) WITH ORDINALITY AS wanted (value, key)
INNER JOIN learnings ON learnings.id = wanted.value
INNER JOIN learning_vectors ON learning_vectors.seq = learnings.seq
ORDER BY wanted.key;

-- name: list_matching_learnings(query, seqs)
-- The rows of a list, in its order, that match a query.
--   query  match  what a row must have
--   seqs  json  a list of row numbers
-- Index: learning_words primary key (one lookup per row); sorts the list
-- Rows: 0 to the length of seqs
-- Differs: tsvector is specific to PostgreSQL
SELECT learning_words.seq
FROM json_array_elements_text(CAST(:seqs AS JSON)) WITH ORDINALITY AS wanted (value, key)
INNER JOIN learning_words ON learning_words.seq = CAST(wanted.value AS BIGINT)
WHERE learning_words.words @@ CAST(CAST(:query AS JSON) ->> 'query' AS TSQUERY)
ORDER BY wanted.key;

-- name: lock_learning_texts(ids)
-- The present texts of some learnings, which nobody changes until the transaction ends.
--   ids  json  a list of ids
-- Index: learnings_id_key (one lookup per row)
-- Rows: 0 to the length of ids
-- Differs: PostgreSQL locks the rows; SQLite's writer already has the only lock
-- Locks: changes and deletions of these learnings wait until the transaction ends
SELECT
    learnings.id,
    learnings.title,
    learnings.content
FROM learnings
WHERE learnings.id IN (SELECT wanted.value FROM json_array_elements_text(CAST(:ids AS JSON)) AS wanted (value))
ORDER BY learnings.id
FOR SHARE OF learnings;

-- name: add_message_vectors(rows, vectors, dimensions)!
-- Stores the vectors of some messages, in place of present ones.
--   rows  rows  a list of [id of the message, cell, hash of its text]
--   vectors  blob  the vectors, one after another in the order of rows
--   dimensions  integer  bytes per vector
-- Index: messages_id_key (one lookup per row)
-- Rows: one per message that exists
-- Differs: PostgreSQL unnests a JSON list differently
INSERT INTO message_vectors (place, seq, text_hash, vector)
SELECT
    CAST(new_row.value ->> 1 AS BIGINT) * 1099511627776 + messages.seq,
    messages.seq,
    new_row.value ->> 2,
    substr(CAST(:vectors AS BYTEA), CAST((new_row.key - 1) * :dimensions + 1 AS INTEGER), CAST(:dimensions AS INTEGER))
FROM json_array_elements(CAST(:rows AS JSON)) WITH ORDINALITY AS new_row (value, key)
INNER JOIN messages ON messages.id = new_row.value ->> 0
ON CONFLICT (seq) DO UPDATE SET
    place = excluded.place,
    text_hash = excluded.text_hash,
    vector = excluded.vector;

-- name: move_message_vectors(rows)!
-- Moves some vectors to other cells.
--   rows  rows  a list of [row number, cell]
-- Index: message_vectors_seq_key (one lookup per row)
-- Rows: 0 to the length of rows
-- Differs: PostgreSQL unnests a JSON list differently
UPDATE message_vectors
SET place = CAST(moved.value ->> 1 AS BIGINT) * 1099511627776 + message_vectors.seq
FROM json_array_elements(CAST(:rows AS JSON)) AS moved (value)
WHERE message_vectors.seq = CAST(moved.value ->> 0 AS BIGINT);

-- name: list_vectors_of_messages(seqs)
-- The vectors of some rows.
--   seqs  json  a list of row numbers
-- Index: message_vectors_seq_key (one lookup per row)
-- Rows: 0 to the length of seqs
-- Differs: PostgreSQL unnests a JSON list differently
SELECT
    message_vectors.seq,
    message_vectors.vector
FROM json_array_elements_text(CAST(:seqs AS JSON)) AS wanted (value)
INNER JOIN message_vectors ON message_vectors.seq = CAST(wanted.value AS BIGINT);

-- name: list_vectors_by_message_id(ids)
-- The vectors of some messages, for disclosure and erasure.
--   ids  json  a list of ids
-- Index: messages_id_key, message_vectors_seq_key (one lookup each per row); sorts the list
-- Rows: 0 to the length of ids
-- Differs: PostgreSQL unnests a JSON list differently
SELECT
    messages.id,
    message_vectors.vector
FROM json_array_elements_text(CAST(:ids AS JSON)) WITH ORDINALITY AS wanted (value, key)
INNER JOIN messages ON messages.id = wanted.value
INNER JOIN message_vectors ON message_vectors.seq = messages.seq
ORDER BY wanted.key;

-- name: list_matching_messages(query, seqs)
-- The rows of a list, in its order, that match a query.
--   query  match  what a row must have
--   seqs  json  a list of row numbers
-- Index: message_words primary key (one lookup per row); sorts the list
-- Rows: 0 to the length of seqs
-- Differs: tsvector is specific to PostgreSQL
SELECT message_words.seq
FROM json_array_elements_text(CAST(:seqs AS JSON)) WITH ORDINALITY AS wanted (value, key)
INNER JOIN message_words ON message_words.seq = CAST(wanted.value AS BIGINT)
WHERE message_words.words @@ CAST(CAST(:query AS JSON) ->> 'query' AS TSQUERY)
ORDER BY wanted.key;

-- name: lock_message_texts(ids)
-- The present texts of some messages, which nobody changes until the transaction ends.
--   ids  json  a list of ids
-- Index: messages_id_key (one lookup per row)
-- Rows: 0 to the length of ids
-- Differs: PostgreSQL locks the rows; SQLite's writer already has the only lock
-- Locks: changes and deletions of these messages wait until the transaction ends
SELECT
    messages.id,
    messages.content
FROM messages
WHERE messages.id IN (SELECT wanted.value FROM json_array_elements_text(CAST(:ids AS JSON)) AS wanted (value))
ORDER BY messages.id
FOR SHARE OF messages;
