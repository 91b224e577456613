-- Notes that people write on conversations.
-- depends: 0001.initial

CREATE TABLE notes (
    id TEXT COLLATE "C" NOT NULL,
    conversation_id TEXT COLLATE "C" NOT NULL,
    -- 1 to 5; NULL until somebody rates it.
    stars BIGINT,
    text TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT notes_pkey PRIMARY KEY (id),
    CONSTRAINT notes_conversation_id_fkey
    FOREIGN KEY (conversation_id) REFERENCES conversations (id) ON DELETE CASCADE,
    CONSTRAINT notes_stars_check CHECK (stars BETWEEN 1 AND 5)
);

-- Serves list_notes and rate_conversation; the foreign key.
CREATE INDEX notes_conversation_id_created_at_id_idx ON notes (conversation_id, created_at, id);
