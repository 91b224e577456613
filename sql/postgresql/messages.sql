-- Messages: what PostgreSQL needs its own words for.

-- name: append_message(id, conversation_id, role, content, content_hash, token_count, metadata, created_at)$
-- Appends one message at the end of a conversation, which gives it its position: only that is given back, because the
-- caller has the rest, and its text need not be copied.
--   id  text  the caller's own, or a time-ordered UUID; 1 to 200 characters
--   conversation_id  text  a conversation that is not deleted
--   role  text  user, assistant, system or tool
--   content  text  sanitized text, 1 byte to 1 MiB of UTF-8
--   content_hash  text  SHA-256 of the content's UTF-8, lower-case hex
--   token_count  integer  0 or more
--   metadata  json  an object, at most 1 MiB
--   created_at  timestamp  when it was said
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1 (0: there is no such conversation, or it is deleted)
-- Differs: the conversation's row is locked before its last position is read
-- Locks: two appenders to one conversation wait for each other, so that positions are never shared
INSERT INTO messages (
    id,
    conversation_id,
    position,
    role,
    content,
    content_hash,
    token_count,
    metadata,
    created_at
)
SELECT
    :id,
    conversation.id,
    conversation.last_position + 1,
    :role,
    :content,
    :content_hash,
    :token_count,
    :metadata,
    :created_at
FROM (
    SELECT
        conversations.id,
        conversations.last_position
    FROM conversations
    WHERE
        conversations.id = :conversation_id
        AND conversations.deleted_at IS NULL
    FOR UPDATE
) AS conversation
RETURNING position;

-- name: append_messages(conversation_id, rows)
-- Appends many messages at the end of a conversation, in their order.
--   conversation_id  text  a conversation that is not deleted
--   rows  rows  a list of [id, role, content, content_hash, token_count, metadata, created_at]
-- Index: conversations_id_key (unique)
-- Rows: 0 to the length of rows (0: there is no such conversation, or it is deleted); in any order
-- Record: Message
-- Differs: the conversation's row is locked before its last position is read
-- Locks: two appenders to one conversation wait for each other, so that positions are never shared
INSERT INTO messages (
    id,
    conversation_id,
    position,
    role,
    content,
    content_hash,
    token_count,
    metadata,
    created_at
)
SELECT
    new_message.value ->> 0,
    conversation.id,
    conversation.last_position + new_message.place,
    new_message.value ->> 1,
    new_message.value ->> 2,
    new_message.value ->> 3,
    CAST(new_message.value ->> 4 AS BIGINT),
    CAST(new_message.value ->> 5 AS JSON),
    CAST(new_message.value ->> 6 AS TIMESTAMPTZ)
FROM (
    SELECT
        conversations.id,
        conversations.last_position
    FROM conversations
    WHERE
        conversations.id = :conversation_id
        AND conversations.deleted_at IS NULL
    FOR UPDATE
) AS conversation
CROSS JOIN json_array_elements(CAST(:rows AS JSON)) WITH ORDINALITY AS new_message (value, place)
ORDER BY new_message.place
RETURNING
    id,
    conversation_id,
    position,
    role,
    content,
    content_hash,
    token_count,
    metadata,
    created_at;

-- name: count_message_matches(query, max_rows)$
-- How many rows of the full-text index match, counted no further than needed: what is rare decides how to search.
--   query  match  as datastore.engines.match makes it
--   max_rows  integer  stops counting here
-- Index: messages_words_idx
-- Rows: 1
-- Differs: tsvector is PostgreSQL's
SELECT count(*) AS match_count
FROM (
    SELECT messages.seq
    FROM messages
    WHERE messages.words @@ CAST(:query AS TSQUERY)
    LIMIT :max_rows
) AS matched;

-- name: count_message_matches_between(query, from_seq, to_seq)$
-- How many rows of a part of the full-text index match: a sample for a word that is in very many.
--   query  match  as datastore.engines.match makes it
--   from_seq  integer  the first row, inclusive
--   to_seq  integer  the last row, inclusive
-- Index: messages primary key (range scan)
-- Rows: 1
-- Differs: tsvector is PostgreSQL's
SELECT count(*) AS match_count
FROM messages
WHERE
    messages.words @@ CAST(:query AS TSQUERY)
    AND messages.seq BETWEEN :from_seq AND :to_seq;

-- name: rank_messages(query, max_rows)
-- The rows that match, best first. Counts each term to its end, so terms are not common.
--   query  match  as datastore.engines.match makes it
--   max_rows  integer  as many as may match, so that what comes behind a page is known
-- Index: messages_words_idx (once for the rows, once for each word); sorts by score
-- Rows: 0 to max_rows
-- Differs: PostgreSQL has no BM25: it is computed here, from the positions of the words in each row that matches
-- Allow: full-scan, on an empty table only, where every way is as good; with rows the index of words is cheaper
WITH totals AS MATERIALIZED (
    SELECT
        CAST(rows AS DOUBLE PRECISION) AS rows,
        average
    FROM messages_totals
),

asked AS MATERIALIZED (
    SELECT
        written.lexeme,
        written.prefix,
        greatest(ln((totals.rows - found.rows + 0.5) / (found.rows + 0.5)), 0.000001) AS weight
    FROM (
        SELECT DISTINCT
            replace(replace(term.parts[1], '''''', ''''), '\\', '\') AS lexeme,
            coalesce(term.parts[2], '') LIKE '%*' AS prefix,
            term.parts[1] AS quoted
        FROM regexp_matches(
            CAST(CAST(:query AS TSQUERY) AS TEXT), '''((?:[^'']|'''')*)''(:[A-D*]*)?', 'g'
        ) AS term (parts)
    ) AS written
    CROSS JOIN totals
    CROSS JOIN
        LATERAL (
            SELECT CAST(least(count(*), totals.rows) AS DOUBLE PRECISION) AS rows
            FROM (
                SELECT messages.seq
                FROM messages
                WHERE messages.words @@ CAST('''' || written.quoted || '''' || CASE WHEN written.prefix THEN ':*' ELSE '' END AS TSQUERY)
                LIMIT 400000
            ) AS having_it
        ) AS found
    WHERE written.lexeme !~ '^[\ue000]'
),

matched AS MATERIALIZED (
    SELECT
        messages.seq,
        messages.words,
        octet_length(messages.content) AS size
    FROM messages
    WHERE messages.words @@ CAST(:query AS TSQUERY)
    ORDER BY messages.seq
    LIMIT 20000
)

SELECT
    scored.seq,
    scored.score
FROM (
    SELECT
        matched.seq,
        coalesce((
            SELECT
                sum(
                    term.weight * 2.2 * term.frequency
                    / (term.frequency + 1.2 * (0.25 + 0.75 * matched.size / totals.average))
                )
            FROM (
                SELECT
                    asked.weight,
                    CAST((
                        SELECT count(*)
                        FROM unnest(word.weights) AS weighed (letter)
                    ) AS DOUBLE PRECISION) AS frequency
                FROM unnest(matched.words) AS word
                INNER JOIN asked ON word.lexeme = asked.lexeme
                WHERE
                    word.lexeme = any(ARRAY(SELECT plain.lexeme FROM asked AS plain WHERE NOT plain.prefix))
                    AND NOT asked.prefix
                UNION ALL
                SELECT
                    asked.weight,
                    CAST(count(*) AS DOUBLE PRECISION) AS frequency
                FROM asked
                INNER JOIN unnest(matched.words) AS word ON starts_with(word.lexeme, asked.lexeme)
                WHERE asked.prefix
                GROUP BY asked.lexeme, asked.weight
            ) AS term
        ), 0) AS score
    FROM matched
    CROSS JOIN totals
) AS scored
ORDER BY scored.score DESC, scored.seq
LIMIT :max_rows;

-- name: list_message_matches(query, max_rows)
-- Some rows that match, unranked: the first ones stored.
--   query  match  as datastore.engines.match makes it
--   max_rows  integer  1 to 5000
-- Index: messages_words_idx; sorts the matches
-- Rows: 0 to max_rows
-- Differs: tsvector is PostgreSQL's
SELECT messages.seq
FROM messages
WHERE messages.words @@ CAST(:query AS TSQUERY)
ORDER BY messages.seq
LIMIT :max_rows;

-- name: list_message_matches_before(query, before_seq, max_rows)
-- The rows that match, the last stored first.
--   query  match  as datastore.engines.match makes it
--   before_seq  integer  only rows before this one; 2^62 for the first page
--   max_rows  integer  1 to 5000
-- Index: messages_words_idx; sorts the matches
-- Rows: 0 to max_rows
-- Differs: tsvector is PostgreSQL's
SELECT messages.seq
FROM messages
WHERE
    messages.words @@ CAST(:query AS TSQUERY)
    AND messages.seq < :before_seq
ORDER BY messages.seq DESC
LIMIT :max_rows;

-- name: get_message_index_totals()^
-- About how many rows there are, and their bytes altogether: two numbers in a text.
-- Index: messages primary key (its ends)
-- Rows: 1
-- Returns: totals text
-- Differs: PostgreSQL keeps no such totals: rows are estimated, and the newest 300 say how long one is
SELECT rows || ' ' || CAST(rows * coalesce(average, 0) AS BIGINT) AS totals
FROM messages_totals;

-- name: list_message_terms_like(prefix_from, prefix_to, max_rows)
-- Words of the index between two bounds, and in how many rows each is: what a misspelt word may have meant.
--   prefix_from  text  the lower bound, inclusive
--   prefix_to  text  the upper bound, exclusive
--   max_rows  integer  1 to 5000
-- Index: messages primary key (its end)
-- Rows: 0 to max_rows
-- Differs: PostgreSQL has no list of an index's words: those of the newest 2,000 rows are taken
SELECT
    known.word AS term,
    known.ndoc AS row_count
FROM ts_stat('SELECT words FROM messages ORDER BY seq DESC LIMIT 2000') AS known
WHERE
    known.word COLLATE "C" >= :prefix_from
    AND known.word COLLATE "C" < :prefix_to
ORDER BY known.word COLLATE "C"
LIMIT :max_rows;

-- name: list_message_texts(seqs)
-- The texts of some rows (8,000 characters of each), and how long they are: what their rank is made of.
--   seqs  json  a list of rows' numbers
-- Index: messages primary key (one look-up each a row)
-- Rows: 0 to the length of seqs
-- Returns: sizes text
-- Differs: PostgreSQL unnests a JSON list otherwise; a text's length is its bytes
SELECT
    messages.seq,
    substr(messages.content, 1, 8000) AS content,
    CAST(octet_length(messages.content) AS TEXT) AS sizes
FROM json_array_elements_text(CAST(:seqs AS JSON)) AS wanted
INNER JOIN messages ON messages.seq = CAST(wanted.value AS BIGINT);

-- name: list_found_messages(seqs, conversation_id, role, source, created_from, created_before, max_rows)
-- Those of some rows that are in no deleted conversation and pass every filter, in the order of the list.
--   seqs  json  a list of rows' numbers, best first
--   conversation_id  text  only of this conversation
--   role  text  only said by this role
--   source  text  only from conversations of this source
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
--   max_rows  integer  1 to 1001
-- Index: messages primary key, conversations_id_key (one look-up each a row); sorts max_rows
-- Rows: 0 to max_rows
-- Record: FoundMessage
-- Differs: PostgreSQL unnests a JSON list otherwise; LATERAL, so that it looks each row up, and never begins with the conversation's
SELECT
    found.seq,
    found.id,
    found.conversation_id,
    found.position,
    found.role,
    found.content,
    found.content_hash,
    found.token_count,
    found.metadata,
    found.created_at
FROM json_array_elements_text(CAST(:seqs AS JSON)) WITH ORDINALITY AS wanted (value, key)
CROSS JOIN
    LATERAL (
        SELECT
            messages.seq,
            messages.id,
            messages.conversation_id,
            messages.position,
            messages.role,
            messages.content,
            messages.content_hash,
            messages.token_count,
            messages.metadata,
            messages.created_at
        FROM messages
        CROSS JOIN conversations
        WHERE
            messages.seq = CAST(wanted.value AS BIGINT)
            AND conversations.id = messages.conversation_id
            AND conversations.deleted_at IS NULL
            AND messages.conversation_id = :conversation_id -- if: conversation_id
            AND messages.role = :role -- if: role
            AND conversations.source = :source -- if: source
            AND messages.created_at >= :created_from
            AND messages.created_at < :created_before
        ORDER BY messages.seq
        LIMIT 1
    ) AS found
ORDER BY wanted.key, found.seq
LIMIT :max_rows;
