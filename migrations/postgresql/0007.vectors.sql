-- Vectors: embeddings of learnings and messages, for search by meaning.
--
-- The application makes the vectors (docs/search.md); this library never loads a model. They are stored in an inverted file: each
-- vector is in the cell of the nearest centroid, and a search reads the nearest cells only. place is the cell times 2^40 plus the
-- row number, so that the vectors of a cell are a range of the primary key. Cell 0 has no centroid: it has all vectors of an
-- index that is too small to be divided.
--
-- Triggers delete the vector of a changed text, and foreign keys that of a deleted row, whoever changes it. The vectors of hidden
-- rows stay, so that restoring a conversation needs no model; no search finds them.
--
-- Locks: writes to learnings and messages wait until the step ends, for milliseconds: the tables are new and empty.
-- Rollback: LOSES DATA (the vectors, which `datastore embed` makes again).
-- depends: 0006.job-flow

-- Adding foreign keys and triggers locks these tables. They are locked at once, and in the order of an append, so that no client
-- that writes one and then the other meets this step halfway.
LOCK TABLE messages, learnings IN SHARE ROW EXCLUSIVE MODE;

-- Every function of this step resolves names in this schema first, and in the session's temporary tables last.
DO $$
BEGIN
    PERFORM set_config('search_path', quote_ident(current_schema()) || ', pg_temp', TRUE);
END;
$$;

-- One row for each table that has vectors: the model that made them, and how they are divided into cells.
CREATE TABLE vector_indexes (
    -- 'learnings' or 'messages'.
    name TEXT COLLATE "C" NOT NULL,
    -- The application's name for its model. All vectors are of this model.
    model TEXT COLLATE "C" NOT NULL,
    -- The length of a vector; NULL until the first one of a new model is stored.
    dimensions INTEGER,
    -- Counts the divisions into cells and the changes of the model.
    generation INTEGER NOT NULL DEFAULT 0,
    -- Number of vectors when they were last divided; 0: never, or they are just being divided.
    trained_rows BIGINT NOT NULL DEFAULT 0,
    CONSTRAINT vector_indexes_pkey PRIMARY KEY (name),
    CONSTRAINT vector_indexes_name_check CHECK (name IN ('learnings', 'messages')),
    CONSTRAINT vector_indexes_model_check CHECK (length(model) BETWEEN 1 AND 200),
    CONSTRAINT vector_indexes_dimensions_check CHECK (dimensions BETWEEN 1 AND 8192),
    CONSTRAINT vector_indexes_generation_check CHECK (generation >= 0),
    CONSTRAINT vector_indexes_trained_rows_check CHECK (trained_rows >= 0)
);

-- The centroids. Those of an earlier generation stay until their cells are empty.
CREATE TABLE vector_cells (
    name TEXT COLLATE "C" NOT NULL,
    cell INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    -- 16-bit floats, little-endian.
    centroid BYTEA NOT NULL,
    CONSTRAINT vector_cells_pkey PRIMARY KEY (name, cell),
    CONSTRAINT vector_cells_name_fkey FOREIGN KEY (name) REFERENCES vector_indexes (name) ON DELETE CASCADE,
    CONSTRAINT vector_cells_cell_check CHECK (cell BETWEEN 1 AND 4194303),
    CONSTRAINT vector_cells_generation_check CHECK (generation >= 1),
    CONSTRAINT vector_cells_centroid_check CHECK (octet_length(centroid) BETWEEN 2 AND 16384)
);

-- The vectors of the learnings.
CREATE TABLE learning_vectors (
    place BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    -- BLAKE2b of title, a newline and content in UTF-8, 16 bytes in lower-case hex: the text that the vector is of.
    text_hash TEXT COLLATE "C" NOT NULL,
    -- 8-bit integers; only their direction counts.
    vector BYTEA NOT NULL,
    CONSTRAINT learning_vectors_pkey PRIMARY KEY (place),
    CONSTRAINT learning_vectors_seq_fkey FOREIGN KEY (seq) REFERENCES learnings (seq) ON DELETE CASCADE,
    CONSTRAINT learning_vectors_place_check CHECK (place % 1099511627776 = seq),
    CONSTRAINT learning_vectors_text_hash_check CHECK (length(text_hash) = 32),
    CONSTRAINT learning_vectors_vector_check CHECK (octet_length(vector) BETWEEN 1 AND 8192)
);

-- Serves list_vectors_of_learnings, list_unembedded_learnings and the foreign key.
CREATE UNIQUE INDEX learning_vectors_seq_key ON learning_vectors (seq);

-- The vectors of the messages.
CREATE TABLE message_vectors (
    place BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    -- BLAKE2b of content in UTF-8, 16 bytes in lower-case hex: the text that the vector is of.
    text_hash TEXT COLLATE "C" NOT NULL,
    -- 8-bit integers; only their direction counts.
    vector BYTEA NOT NULL,
    CONSTRAINT message_vectors_pkey PRIMARY KEY (place),
    CONSTRAINT message_vectors_seq_fkey FOREIGN KEY (seq) REFERENCES messages (seq) ON DELETE CASCADE,
    CONSTRAINT message_vectors_place_check CHECK (place % 1099511627776 = seq),
    CONSTRAINT message_vectors_text_hash_check CHECK (length(text_hash) = 32),
    CONSTRAINT message_vectors_vector_check CHECK (octet_length(vector) BETWEEN 1 AND 8192)
);

-- Serves list_vectors_of_messages, list_unembedded_messages and the foreign key.
CREATE UNIQUE INDEX message_vectors_seq_key ON message_vectors (seq);

-- The vector of a changed text is deleted, until the application makes a new one.
CREATE FUNCTION datastore_forget_learning_vector() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM learning_vectors WHERE seq = old.seq;
    RETURN NULL;
END;
$$;

CREATE TRIGGER learnings_vectors_update AFTER UPDATE OF title, content ON learnings
FOR EACH ROW WHEN (new.title <> old.title OR new.content <> old.content)
EXECUTE FUNCTION datastore_forget_learning_vector();

-- The vector of a changed text is deleted, until the application makes a new one.
CREATE FUNCTION datastore_forget_message_vector() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM message_vectors WHERE seq = old.seq;
    RETURN NULL;
END;
$$;

CREATE TRIGGER messages_vectors_update AFTER UPDATE OF content ON messages
FOR EACH ROW WHEN (new.content <> old.content)
EXECUTE FUNCTION datastore_forget_message_vector();
