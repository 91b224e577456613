-- Search: learnings by any filter inside the full-text index, and messages.
--
-- A text's words are those of SQLite's index (docs/search.md): folded, without diacritics, stemmed by Porter's algorithm, a
-- Chinese, Japanese or Korean character a word, the parts of camelCase words behind the rest. Facets are lexemes that no
-- text can hold (they begin with U+E000, which is taken out of every query). No server extension is needed.
--
-- The first 150,000 characters of a text are indexed: PostgreSQL refuses a row whose words need more than 1 MiB.
--
-- Locks: adding the columns rewrites both tables, and nobody reads or writes them meanwhile (about a minute a million
-- messages of 1 KB). On large tables apply it in a maintenance window.
-- Rollback: loses no data; the columns are computed again.
-- depends: 0004.job_queue

-- Every function of this step looks for names in this schema, and in the session's own temporary tables last, never first.
DO $$
BEGIN
    PERFORM set_config('search_path', quote_ident(current_schema()) || ', pg_temp', TRUE);
END;
$$;

-- What a letter is, and its lower case, is the database's own knowledge.
DO $$
BEGIN
    IF lower('Ä' COLLATE "default") <> 'ä' OR current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the database needs the encoding UTF8 and an LC_CTYPE that knows it: CREATE DATABASE ... ENCODING ''UTF8'' LC_CTYPE ''C.UTF-8'' TEMPLATE template0';
    END IF;
END;
$$;

-- Porter's stemmer, without stop words: "to be or not to be" can be found.
CREATE TEXT SEARCH DICTIONARY datastore_porter (
    TEMPLATE = pg_catalog.snowball,
    LANGUAGE = 'porter'
);

-- Words as datastore_words() leaves them: letters and digits between blanks.
CREATE TEXT SEARCH CONFIGURATION datastore_words (PARSER = pg_catalog.default);

ALTER TEXT SEARCH CONFIGURATION datastore_words
ADD MAPPING FOR asciiword, word, numword, uint, int, float, sfloat, version WITH datastore_porter;

-- A text as its words: lower case, no diacritics, blanks for all that is no letter or digit. Words of two letters that the
-- stemmer would make one of (as, is, ay) get a 0, so that it leaves them alone, as FTS5 does.
CREATE FUNCTION datastore_words(written TEXT) RETURNS TEXT
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path FROM CURRENT AS $$
DECLARE
    cut TEXT COLLATE "default" := left(written, 150000);
    said TEXT COLLATE "default" := cut;
    wide BOOLEAN := cut ~ '[^\x01-\x7f]';
BEGIN
    -- What has no diacritics to lose, dashes, quotes, signs and ideographs, is spared the way there and back.
    IF
        wide AND cut ~ '[^\x01-\xbf\xd7\xdf\xe6\xf7\xf8\u2010-\u2027\u2030-\u205e\u20a0-\u20bf\u2500-\u27bf\u3000-\u3029\u4e00-\u9fff\uac00-\ud7a3\uff00-\uffef\U0001f000-\U0001faff]'
        THEN
        said := normalize(regexp_replace(normalize(cut, NFD), '[\u0300-\u036f]', '', 'g'), NFC);
    END IF;
    IF cut ~ '[a-z0-9][A-Z]|[A-Z][A-Z][a-z]' THEN
        said := said || coalesce((
            SELECT
                ' ' || string_agg(
                    regexp_replace(
                        regexp_replace(camel.word, '([a-z])([A-Z])', '\1 \2', 'g'),
                        '(\S)([A-Z][a-z])', '\1 \2', 'g'
                    ), ' '
                )
            FROM string_to_table(translate(cut, E'\n\t', '  '), ' ') AS camel (word)
            WHERE length(camel.word) <= 256 AND camel.word ~ '[a-z0-9][A-Z]|[A-Z][A-Z][a-z]'
        ), '');
    END IF;
    IF wide THEN
        said := regexp_replace(said, '([\u3000-\ud7ff\U00010000-\U0003ffff])', ' \1 ', 'g');
    END IF;
    -- Blanks stay as they are: the fewer pieces, the faster.
    RETURN regexp_replace(
        lower(regexp_replace(said, '[^[:alnum:] ]+', ' ', 'g')), '\m([a-z]s|[aeiou]y)\M', '\10', 'g'
    );
END;
$$;

-- A value as a facet has it: SQLite's hex().
CREATE FUNCTION datastore_hex(plain TEXT) RETURNS TEXT
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN upper(encode(convert_to(plain, 'UTF8'), 'hex'));

-- What a learning is found by; nothing where it is hidden.
CREATE FUNCTION datastore_learning_lexemes(
    title TEXT,
    content TEXT,
    category TEXT,
    tags JSON,
    confidence DOUBLE PRECISION,
    created_at TIMESTAMPTZ
) RETURNS TSVECTOR
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path FROM CURRENT AS $$
SELECT
    setweight(to_tsvector('datastore_words', said.titled), 'A')
    || to_tsvector('datastore_words', datastore_words(content))
    || array_to_tsvector(
        ARRAY[
            U&'\E000c' || datastore_hex(category) || 'x',
            U&'\E000p' || floor(confidence * 10) || 'x',
            U&'\E000m' || to_char(created_at AT TIME ZONE 'UTC', 'YYYYMM') || 'x',
            U&'\E000l' || CASE
                WHEN said.size < 256 THEN said.size / 16
                WHEN said.size < 512 THEN 8 + said.size / 32
                WHEN said.size < 1024 THEN 16 + said.size / 64
                ELSE 32
            END || 'x'
        ]
        || ARRAY(
            SELECT DISTINCT U&'\E000t' || datastore_hex(substr(CAST(tag.value AS TEXT), 2, length(CAST(tag.value AS TEXT)) - 2)) || 'x'
            FROM json_array_elements(tags) AS tag
        )
        || ARRAY(
            SELECT U&'\E000w' || word.lexeme
            FROM unnest(to_tsvector('datastore_words', said.titled)) AS word
        )
    )
FROM (
    SELECT
        datastore_words(title) AS titled,
        octet_length(title) + octet_length(content) AS size
) AS said
$$;

-- What a message is found by: all of them. Those of a deleted conversation are hidden when the hits are read, so that hiding
-- a conversation of a million messages is one row's work.
CREATE FUNCTION datastore_message_lexemes(
    conversation_id TEXT,
    role TEXT,
    content TEXT,
    created_at TIMESTAMPTZ
) RETURNS TSVECTOR
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- RETURN, so that the names are those of this step's schema for ever, without a setting at each call.
RETURN to_tsvector('datastore_words', datastore_words(content))
|| array_to_tsvector(
    ARRAY[
        U&'\E000c' || datastore_hex(conversation_id) || 'x',
        U&'\E000r' || role || 'x',
        U&'\E000m' || to_char(created_at AT TIME ZONE 'UTC', 'YYYYMM') || 'x'
    ]
);

ALTER TABLE learnings ADD COLUMN words TSVECTOR GENERATED ALWAYS AS (
    CASE
        WHEN deleted_at IS NULL
            THEN datastore_learning_lexemes(title, content, category, tags, confidence, created_at)
    END
) STORED;

ALTER TABLE messages ADD COLUMN words TSVECTOR GENERATED ALWAYS AS (
    datastore_message_lexemes(conversation_id, role, content, created_at)
) STORED;

-- Serves rank_learnings, list_learning_matches and their kin.
CREATE INDEX learnings_words_idx ON learnings USING gin (words);

-- Serves rank_messages, list_message_matches and their kin.
CREATE INDEX messages_words_idx ON messages USING gin (words);

-- Serves rank_learnings and get_learning_index_totals: about how many rows there are (few are counted, of more the server's
-- own estimate is taken), and how many bytes one has on average (of the newest 300).
CREATE VIEW learnings_totals AS
SELECT
    counted.rows,
    (
        SELECT CAST(avg(newest.size) AS DOUBLE PRECISION)
        FROM (
            SELECT octet_length(learnings.title) + octet_length(learnings.content) AS size
            FROM learnings
            ORDER BY learnings.seq DESC
            LIMIT 300
        ) AS newest
    ) AS average
FROM (
    SELECT
        CASE
            WHEN few.rows <= 2000 THEN few.rows
            ELSE greatest(few.rows, (
                SELECT CAST(pg_class.reltuples AS BIGINT)
                FROM pg_class
                WHERE pg_class.oid = CAST('learnings' AS REGCLASS)
            ))
        END AS rows
    FROM (
        SELECT count(*) AS rows
        FROM (SELECT learnings.seq FROM learnings LIMIT 2001) AS first_rows
    ) AS few
) AS counted;

-- Serves rank_messages and get_message_index_totals: about how many rows there are (few are counted, of more the server's
-- own estimate is taken), and how many bytes one has on average (of the newest 300).
CREATE VIEW messages_totals AS
SELECT
    counted.rows,
    (
        SELECT CAST(avg(newest.size) AS DOUBLE PRECISION)
        FROM (
            SELECT octet_length(messages.content) AS size
            FROM messages
            ORDER BY messages.seq DESC
            LIMIT 300
        ) AS newest
    ) AS average
FROM (
    SELECT
        CASE
            WHEN few.rows <= 2000 THEN few.rows
            ELSE greatest(few.rows, (
                SELECT CAST(pg_class.reltuples AS BIGINT)
                FROM pg_class
                WHERE pg_class.oid = CAST('messages' AS REGCLASS)
            ))
        END AS rows
    FROM (
        SELECT count(*) AS rows
        FROM (SELECT messages.seq FROM messages LIMIT 2001) AS first_rows
    ) AS few
) AS counted;
