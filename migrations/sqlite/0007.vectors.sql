-- Vectors: embeddings of learnings and messages, for search by meaning.
--
-- The application makes the vectors (docs/search.md); this library never loads a model. They are stored in an inverted file: each
-- vector is in the cell of the nearest centroid, and a search reads the nearest cells only. place is the cell times 2^40 plus the
-- row number, so that the vectors of a cell are stored together. Cell 0 has no centroid: it has all vectors of an
-- index that is too small to be divided.
--
-- Triggers delete the vector of a changed text, and foreign keys that of a deleted row, whoever changes it. The vectors of hidden
-- rows stay, so that restoring a conversation needs no model; no search finds them.
--
-- Locks: the write lock, for milliseconds: the tables are new and empty.
-- Rollback: LOSES DATA (the vectors, which `datastore embed` makes again).
-- depends: 0006.job-flow

-- One row for each table that has vectors: the model that made them, and how they are divided into cells.
CREATE TABLE vector_indexes (
    -- 'learnings' or 'messages'.
    name TEXT NOT NULL,
    -- The application's name for its model. All vectors are of this model.
    model TEXT NOT NULL,
    -- The length of a vector; NULL until the first one of a new model is stored.
    dimensions INTEGER,
    -- Counts the divisions into cells and the changes of the model.
    generation INTEGER NOT NULL DEFAULT 0,
    -- Number of vectors when they were last divided; 0: never, or they are just being divided.
    trained_rows INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT vector_indexes_pkey PRIMARY KEY (name),
    CONSTRAINT vector_indexes_name_check CHECK (name IN ('learnings', 'messages')),
    CONSTRAINT vector_indexes_model_check CHECK (length(model) BETWEEN 1 AND 200 AND instr(model, char(0)) = 0),
    CONSTRAINT vector_indexes_dimensions_check CHECK (dimensions BETWEEN 1 AND 8192),
    CONSTRAINT vector_indexes_generation_check CHECK (generation >= 0),
    CONSTRAINT vector_indexes_trained_rows_check CHECK (trained_rows >= 0)
) STRICT, WITHOUT ROWID;

-- The centroids. Those of an earlier generation stay until their cells are empty.
CREATE TABLE vector_cells (
    name TEXT NOT NULL,
    cell INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    -- 16-bit floats, little-endian.
    centroid BLOB NOT NULL,
    CONSTRAINT vector_cells_pkey PRIMARY KEY (name, cell),
    CONSTRAINT vector_cells_name_fkey FOREIGN KEY (name) REFERENCES vector_indexes (name) ON DELETE CASCADE,
    CONSTRAINT vector_cells_cell_check CHECK (cell BETWEEN 1 AND 4194303),
    CONSTRAINT vector_cells_generation_check CHECK (generation >= 1),
    CONSTRAINT vector_cells_centroid_check CHECK (length(centroid) BETWEEN 2 AND 16384)
) STRICT;

-- The vectors of the learnings.
CREATE TABLE learning_vectors (
    place INTEGER NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL,
    -- BLAKE2b of title, a newline and content in UTF-8, 16 bytes in lower-case hex: the text that the vector is of.
    text_hash TEXT NOT NULL,
    -- 8-bit integers; only their direction counts.
    vector BLOB NOT NULL,
    CONSTRAINT learning_vectors_seq_fkey FOREIGN KEY (seq) REFERENCES learnings (seq) ON DELETE CASCADE,
    CONSTRAINT learning_vectors_place_check CHECK (place % 1099511627776 = seq),
    CONSTRAINT learning_vectors_text_hash_check CHECK (length(text_hash) = 32),
    CONSTRAINT learning_vectors_vector_check CHECK (length(vector) BETWEEN 1 AND 8192)
) STRICT;

-- Serves list_vectors_of_learnings, list_unembedded_learnings and the foreign key.
CREATE UNIQUE INDEX learning_vectors_seq_key ON learning_vectors (seq);

-- The vectors of the messages.
CREATE TABLE message_vectors (
    place INTEGER NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL,
    -- BLAKE2b of content in UTF-8, 16 bytes in lower-case hex: the text that the vector is of.
    text_hash TEXT NOT NULL,
    -- 8-bit integers; only their direction counts.
    vector BLOB NOT NULL,
    CONSTRAINT message_vectors_seq_fkey FOREIGN KEY (seq) REFERENCES messages (seq) ON DELETE CASCADE,
    CONSTRAINT message_vectors_place_check CHECK (place % 1099511627776 = seq),
    CONSTRAINT message_vectors_text_hash_check CHECK (length(text_hash) = 32),
    CONSTRAINT message_vectors_vector_check CHECK (length(vector) BETWEEN 1 AND 8192)
) STRICT;

-- Serves list_vectors_of_messages, list_unembedded_messages and the foreign key.
CREATE UNIQUE INDEX message_vectors_seq_key ON message_vectors (seq);

-- The vector of a changed text is deleted, until the application makes a new one.
CREATE TRIGGER learnings_vectors_update AFTER UPDATE OF title, content ON learnings
WHEN new.title <> old.title OR new.content <> old.content
BEGIN
    DELETE FROM learning_vectors WHERE seq = old.seq;
END;

-- The vector of a changed text is deleted, until the application makes a new one.
CREATE TRIGGER messages_vectors_update AFTER UPDATE OF content ON messages
WHEN new.content <> old.content
BEGIN
    DELETE FROM message_vectors WHERE seq = old.seq;
END;
