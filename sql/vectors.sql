-- Vectors: statements about the inverted files of the vectors. Portable: every statement runs unchanged on every engine. The
-- application makes the vectors and chooses their cells (datastore/search/vectors.py); no statement compares vectors.

-- name: get_vector_index(name)^
-- The model of the vectors of a table, and how they are divided.
--   name  text  learnings or messages
-- Index: vector_indexes primary key
-- Rows: 0 or 1 (0: no vector has been stored)
-- Record: VectorSettings
SELECT
    model,
    dimensions,
    generation,
    trained_rows
FROM vector_indexes
WHERE name = :name;

-- name: add_vector_index(name, model, dimensions)!
-- Notes the model and the length of the first vector of a table, unless another connection has just done so.
--   name  text  learnings or messages
--   model  text  the application's name for its model; 1 to 200 characters
--   dimensions  integer  1 to 8192
-- Index: none (an insert; the primary key decides the conflict)
-- Rows: 0 or 1
INSERT INTO vector_indexes (name, model, dimensions)
VALUES (:name, :model, :dimensions)
ON CONFLICT (name) DO UPDATE SET
    dimensions = excluded.dimensions
WHERE vector_indexes.dimensions IS NULL;

-- name: change_vector_model(name, model)!
-- Notes that another model makes the vectors of a table, which are deleted in the same transaction with their cells.
--   name  text  learnings or messages
--   model  text  the application's name for its model; 1 to 200 characters
-- Index: vector_indexes primary key
-- Rows: 0 or 1
-- Locks: waits for transactions that have stored vectors
UPDATE vector_indexes
SET
    model = :model,
    dimensions = NULL,
    generation = generation + 1,
    trained_rows = 0
WHERE name = :name;

-- name: set_vector_generation(name, generation, trained_rows)!
-- Notes that the vectors of a table are being divided again, so that new ones go to the new cells, or that all are in them.
--   name  text  learnings or messages
--   generation  integer  one more than before; then the same
--   trained_rows  integer  0; then the number of vectors
-- Index: vector_indexes primary key
-- Rows: 0 or 1
-- Locks: waits for transactions that have stored vectors, which decided on their cells
UPDATE vector_indexes
SET
    generation = :generation,
    trained_rows = :trained_rows
WHERE name = :name;

-- name: list_vector_cells(name, after_cell, max_rows)
-- The centroids of a table, in the order of their cells.
--   name  text  learnings or messages
--   after_cell  integer  cells after this one; 0 for the first page
--   max_rows  integer  1 to 5000
-- Index: vector_cells primary key (range scan, no sort)
-- Rows: 0 to max_rows
SELECT
    cell,
    generation,
    centroid
FROM vector_cells
WHERE
    name = :name
    AND cell > :after_cell
ORDER BY cell
LIMIT :max_rows;

-- name: add_vector_cell(name, cell, generation, centroid)!
-- Adds a cell.
--   name  text  learnings or messages
--   cell  integer  greater than every cell before
--   generation  integer  the division that it belongs to
--   centroid  blob  16-bit floats, little-endian
-- Index: none (an insert)
-- Rows: 1
INSERT INTO vector_cells (name, cell, generation, centroid)
VALUES (:name, :cell, :generation, :centroid);

-- name: delete_vector_cells(name, before_generation)!
-- Deletes the cells of earlier divisions, which are empty.
--   name  text  learnings or messages
--   before_generation  integer  the present division
-- Index: vector_cells primary key (the cells of a table)
-- Rows: one per cell of earlier divisions
DELETE FROM vector_cells
WHERE
    name = :name
    AND generation < :before_generation;

-- name: add_learning_vector(id, cell, text_hash, vector)!
-- Stores the vector of a learning, in place of a present one.
--   id  text  id of the learning
--   cell  integer  the cell of the nearest centroid
--   text_hash  text  hash of its text
--   vector  blob  8-bit integers
-- Index: learnings_id_key (one lookup)
-- Rows: 1
INSERT INTO learning_vectors (place, seq, text_hash, vector)
SELECT
    CAST(:cell AS BIGINT) * 1099511627776 + learnings.seq,
    learnings.seq,
    :text_hash,
    :vector
FROM learnings
WHERE learnings.id = :id
ON CONFLICT (seq) DO UPDATE SET
    place = excluded.place,
    text_hash = excluded.text_hash,
    vector = excluded.vector;

-- name: list_learning_vectors(after_place, before_place, max_rows)
-- Some vectors of a cell, by row number.
--   after_place  integer  the cell times 2^40, plus the last row number of the page before
--   before_place  integer  the next cell times 2^40
--   max_rows  integer  1 to 5000
-- Index: learning_vectors primary key (range scan, no sort)
-- Rows: 0 to max_rows
SELECT
    seq,
    vector
FROM learning_vectors
WHERE
    place > :after_place
    AND place < :before_place
ORDER BY place
LIMIT :max_rows;

-- name: list_unembedded_learnings(after_seq, max_rows)
-- Learnings that are not hidden and have no vector: nobody has made one yet, or their text has changed.
--   after_seq  integer  rows after this number; 0 for the first page
--   max_rows  integer  1 to 1000
-- Index: learnings primary key (range scan), learning_vectors_seq_key (one lookup each per row)
-- Rows: 0 to max_rows, by row number
SELECT
    learnings.seq,
    learnings.id,
    learnings.title,
    learnings.content
FROM learnings
WHERE
    learnings.seq > :after_seq
    AND learnings.deleted_at IS NULL
    AND NOT EXISTS (
        SELECT 1
        FROM learning_vectors
        WHERE learning_vectors.seq = learnings.seq
    )
ORDER BY learnings.seq
LIMIT :max_rows;

-- name: list_embedded_learnings(after_seq, max_rows)
-- The texts of learnings that have a vector, each with the hash of the text that it is of, to find vectors of other texts.
--   after_seq  integer  rows after this number; 0 for the first page
--   max_rows  integer  1 to 1000
-- Index: learning_vectors_seq_key (range scan, no sort), learnings primary key (one lookup per row)
-- Rows: 0 to max_rows, by row number
SELECT
    learning_vectors.seq,
    learnings.id,
    learnings.title,
    learnings.content,
    learning_vectors.text_hash
FROM learning_vectors
CROSS JOIN learnings
WHERE
    learning_vectors.seq > :after_seq
    AND learnings.seq = learning_vectors.seq
ORDER BY learning_vectors.seq
LIMIT :max_rows;

-- name: count_learning_vectors()$
-- The number of vectors.
-- Index: learning_vectors_seq_key (all of it)
-- Rows: 1
-- Allow: full-scan, asked when vectors are divided, and by a person
SELECT count(*) AS vector_count
FROM learning_vectors;

-- name: list_stray_learning_vectors(after_seq, max_rows)
-- Vectors in no cell, or of another length than the model's; there are none, unless another program wrote them.
--   after_seq  integer  rows after this number; 0 for the first page
--   max_rows  integer  1 to 1000
-- Index: learning_vectors_seq_key (range scan, no sort), vector_indexes primary key, vector_cells primary key (one lookup each per
--   vector)
-- Rows: 0 to max_rows, by row number
SELECT learning_vectors.seq
FROM learning_vectors
WHERE
    learning_vectors.seq > :after_seq
    AND (
        NOT EXISTS (
            SELECT 1
            FROM vector_indexes
            WHERE
                vector_indexes.name = 'learnings'
                AND vector_indexes.dimensions = length(learning_vectors.vector)
        )
        OR (
            learning_vectors.place >= 1099511627776
            AND NOT EXISTS (
                SELECT 1
                FROM vector_cells
                WHERE
                    vector_cells.name = 'learnings'
                    AND vector_cells.cell = learning_vectors.place / 1099511627776
            )
        )
    )
ORDER BY learning_vectors.seq
LIMIT :max_rows;

-- name: delete_learning_vector(seq)!
-- Deletes the vector of a learning.
--   seq  integer  the learning's row number
-- Index: learning_vectors_seq_key (one lookup)
-- Rows: 0 or 1
DELETE FROM learning_vectors
WHERE seq = :seq;

-- name: clear_learning_vectors()!
-- Deletes all vectors of learnings: another model will make them.
-- Index: none (full scan)
-- Rows: one per vector
-- Allow: no-where, no vector of the model before may stay
DELETE FROM learning_vectors;

-- name: add_message_vector(id, cell, text_hash, vector)!
-- Stores the vector of a message, in place of a present one.
--   id  text  id of the message
--   cell  integer  the cell of the nearest centroid
--   text_hash  text  hash of its text
--   vector  blob  8-bit integers
-- Index: messages_id_key (one lookup)
-- Rows: 1
INSERT INTO message_vectors (place, seq, text_hash, vector)
SELECT
    CAST(:cell AS BIGINT) * 1099511627776 + messages.seq,
    messages.seq,
    :text_hash,
    :vector
FROM messages
WHERE messages.id = :id
ON CONFLICT (seq) DO UPDATE SET
    place = excluded.place,
    text_hash = excluded.text_hash,
    vector = excluded.vector;

-- name: list_message_vectors(after_place, before_place, max_rows)
-- Some vectors of a cell, by row number.
--   after_place  integer  the cell times 2^40, plus the last row number of the page before
--   before_place  integer  the next cell times 2^40
--   max_rows  integer  1 to 5000
-- Index: message_vectors primary key (range scan, no sort)
-- Rows: 0 to max_rows
SELECT
    seq,
    vector
FROM message_vectors
WHERE
    place > :after_place
    AND place < :before_place
ORDER BY place
LIMIT :max_rows;

-- name: list_unembedded_messages(after_seq, max_rows)
-- Messages with a text that are finished, not hidden and have no vector: nobody has made one yet, or their text has changed.
--   after_seq  integer  rows after this number; 0 for the first page
--   max_rows  integer  1 to 1000
-- Index: messages primary key (range scan), message_vectors_seq_key, conversations_id_key (one lookup each per row)
-- Rows: 0 to max_rows, by row number
SELECT
    messages.seq,
    messages.id,
    messages.content
FROM messages
CROSS JOIN conversations
WHERE
    messages.seq > :after_seq
    AND messages.partial = 0
    AND messages.content <> ''
    AND conversations.id = messages.conversation_id
    AND conversations.deleted_at IS NULL
    AND NOT EXISTS (
        SELECT 1
        FROM message_vectors
        WHERE message_vectors.seq = messages.seq
    )
ORDER BY messages.seq
LIMIT :max_rows;

-- name: list_embedded_messages(after_seq, max_rows)
-- The texts of messages that have a vector, each with the hash of the text that it is of, to find vectors of other texts.
--   after_seq  integer  rows after this number; 0 for the first page
--   max_rows  integer  1 to 1000
-- Index: message_vectors_seq_key (range scan, no sort), messages primary key (one lookup per row)
-- Rows: 0 to max_rows, by row number
SELECT
    message_vectors.seq,
    messages.id,
    messages.content,
    message_vectors.text_hash
FROM message_vectors
CROSS JOIN messages
WHERE
    message_vectors.seq > :after_seq
    AND messages.seq = message_vectors.seq
ORDER BY message_vectors.seq
LIMIT :max_rows;

-- name: count_message_vectors()$
-- The number of vectors.
-- Index: message_vectors_seq_key (all of it)
-- Rows: 1
-- Allow: full-scan, asked when vectors are divided, and by a person
SELECT count(*) AS vector_count
FROM message_vectors;

-- name: list_stray_message_vectors(after_seq, max_rows)
-- Vectors in no cell, or of another length than the model's; there are none, unless another program wrote them.
--   after_seq  integer  rows after this number; 0 for the first page
--   max_rows  integer  1 to 1000
-- Index: message_vectors_seq_key (range scan, no sort), vector_indexes primary key, vector_cells primary key (one lookup each per
--   vector)
-- Rows: 0 to max_rows, by row number
SELECT message_vectors.seq
FROM message_vectors
WHERE
    message_vectors.seq > :after_seq
    AND (
        NOT EXISTS (
            SELECT 1
            FROM vector_indexes
            WHERE
                vector_indexes.name = 'messages'
                AND vector_indexes.dimensions = length(message_vectors.vector)
        )
        OR (
            message_vectors.place >= 1099511627776
            AND NOT EXISTS (
                SELECT 1
                FROM vector_cells
                WHERE
                    vector_cells.name = 'messages'
                    AND vector_cells.cell = message_vectors.place / 1099511627776
            )
        )
    )
ORDER BY message_vectors.seq
LIMIT :max_rows;

-- name: delete_message_vector(seq)!
-- Deletes the vector of a message.
--   seq  integer  the message's row number
-- Index: message_vectors_seq_key (one lookup)
-- Rows: 0 or 1
DELETE FROM message_vectors
WHERE seq = :seq;

-- name: clear_message_vectors()!
-- Deletes all vectors of messages: another model will make them.
-- Index: none (full scan)
-- Rows: one per vector
-- Allow: no-where, no vector of the model before may stay
DELETE FROM message_vectors;
