-- Search: statements specific to PostgreSQL. They read and write learning_words and message_words, whose contents
-- datastore/search/analysis.py computes from the texts.

-- name: index_learnings(rows)!
-- Indexes some learnings, which must not be indexed yet; triggers remove changed and deleted ones.
--   rows  words  for each: id, tsvector, number of tokens
-- Index: learnings_id_key (one lookup per row)
-- Rows: the length of rows
-- Differs: tsvector is specific to PostgreSQL
INSERT INTO learning_words (seq, words, word_count)
SELECT
    learnings.seq,
    CAST(new_row.value ->> 1 AS TSVECTOR),
    CAST(new_row.value ->> 2 AS INTEGER)
FROM json_array_elements(CAST(:rows AS JSON)) AS new_row (value)
INNER JOIN learnings ON learnings.id = new_row.value ->> 0;

-- name: clear_learnings_index()!
-- Empties the full-text index of learnings, which is refilled in the same transaction.
-- Index: none (full scan)
-- Rows: one per indexed row
-- Differs: SQLite has FTS5, PostgreSQL a table with a tsvector
-- Allow: no-where, the whole index is refilled
DELETE FROM learning_words;

-- name: list_unindexed_learnings(conversation_id, after_seq, max_rows)
-- Learnings that should be indexed and are not: another program wrote them, or they must be indexed again.
--   conversation_id  text  only of this conversation
--   after_seq  integer  rows after this number; 0 for the first page
--   max_rows  integer  1 to 5000
-- Index: learnings primary key (range scan), learning_words, conversations_id_key (one lookup each per row)
--   with conversation_id: learnings_conversation_id_created_at_id_idx; sorts its rows
-- Rows: 0 to max_rows, by row number
-- Differs: the tsvector is in a separate table
SELECT
    learnings.seq,
    learnings.id,
    learnings.conversation_id,
    learnings.category,
    learnings.title,
    learnings.content,
    learnings.confidence,
    learnings.tags,
    learnings.created_at,
    conversations.session_id,
    conversations.source
FROM learnings
CROSS JOIN conversations
WHERE
    learnings.seq > :after_seq
    AND learnings.conversation_id = :conversation_id -- if: conversation_id
    AND conversations.id = learnings.conversation_id
    AND learnings.deleted_at IS NULL
    AND NOT EXISTS (
        SELECT 1
        FROM learning_words
        WHERE learning_words.seq = learnings.seq
    )
ORDER BY learnings.seq
LIMIT :max_rows;

-- name: count_learning_matches(queries, to_seq, max_rows)
-- For each query: the number of matching rows, and the row at which counting stopped if more than max_rows match.
--   queries  match  a list of queries
--   to_seq  integer  the last row to consider, inclusive
--   max_rows  integer  counting stops after this many rows
-- Index: learning_words_idx; sorts the matches
-- Rows: one per query, in their order
-- Differs: tsvector is specific to PostgreSQL
SELECT
    counted.stopped_seq,
    counted.match_count
FROM json_array_elements_text(CAST(:queries AS JSON)) WITH ORDINALITY AS asked (value, place)
CROSS JOIN
    LATERAL (
        SELECT
            count(*) AS match_count,
            CASE WHEN count(*) > :max_rows THEN max(matched.seq) END AS stopped_seq
        FROM (
            SELECT learning_words.seq
            FROM learning_words
            WHERE
                learning_words.words @@ CAST(asked.value AS TSQUERY)
                AND learning_words.seq <= :to_seq
            ORDER BY learning_words.seq
            LIMIT :max_rows + 1
        ) AS matched
    ) AS counted
ORDER BY asked.place;

-- name: rank_learnings(query, from_seq, to_seq, max_rows)
-- The matching rows, best first, newest first among equals; words of a title weigh five times.
--   query  match  what a row must have, and the weight of each word, phrase and form
--   from_seq  integer  the first row to consider, inclusive
--   to_seq  integer  the last row to consider, inclusive
--   max_rows  integer  1 to 20000
-- Index: learning_words_idx; sorts by score
-- Rows: 0 to max_rows
-- Differs: PostgreSQL has no BM25; it is computed here from the positions of the words in each matching row
WITH asked AS MATERIALIZED (
    SELECT
        word.value ->> 0 AS lexeme,
        CAST(word.value ->> 1 AS DOUBLE PRECISION) AS weight
    FROM json_array_elements(CAST(:query AS JSON) -> 'words') AS word (value)
),

phrases AS MATERIALIZED (
    SELECT
        CAST(phrase.value ->> 0 AS TSQUERY) AS query,
        CAST(phrase.value ->> 1 AS DOUBLE PRECISION) AS weight,
        CAST(phrase.value ->> 2 AS DOUBLE PRECISION) AS frequency
    FROM json_array_elements(CAST(:query AS JSON) -> 'phrases') AS phrase (value)
),

totals AS MATERIALIZED (
    SELECT CAST(avg(newest.word_count) AS DOUBLE PRECISION) AS average
    FROM (SELECT word_count FROM learning_words ORDER BY seq DESC LIMIT 2000) AS newest
),

matched AS MATERIALIZED (
    SELECT
        learning_words.seq,
        learning_words.words,
        1.2 * (0.25 + 0.75 * learning_words.word_count / totals.average) AS length
    FROM learning_words
    CROSS JOIN totals
    WHERE
        learning_words.words @@ CAST(CAST(:query AS JSON) ->> 'query' AS TSQUERY)
        AND learning_words.seq BETWEEN :from_seq AND :to_seq
)

SELECT
    scored.seq,
    CAST(sum(scored.score) AS DOUBLE PRECISION) AS score
FROM (
    SELECT
        matched.seq,
        asked.weight * 2.2 * frequency.value / (frequency.value + matched.length) AS score
    FROM matched
    CROSS JOIN LATERAL unnest(ts_filter(matched.words, '{a,d}')) AS word
    INNER JOIN asked ON word.lexeme = asked.lexeme
    CROSS JOIN
        LATERAL (
            SELECT CAST(sum(CASE place.weight WHEN 'A' THEN 5 ELSE 1 END) AS DOUBLE PRECISION) AS value
            FROM unnest(word.weights) AS place (weight)
        ) AS frequency
    UNION ALL
    SELECT
        matched.seq,
        phrases.weight * 2.2 * phrases.frequency / (phrases.frequency + matched.length) AS score
    FROM matched
    INNER JOIN phrases ON matched.words @@ phrases.query
) AS scored
GROUP BY scored.seq
ORDER BY score DESC, scored.seq DESC
LIMIT :max_rows;

-- name: list_learning_matches_before(query, before_seq, max_rows)
-- The matching rows, newest first.
--   query  match  what a row must have
--   before_seq  integer  only rows before this one; 2^62 for the first page
--   max_rows  integer  1 to 5000
-- Index: learning_words_idx; sorts the matches
-- Rows: 0 to max_rows
-- Differs: tsvector is specific to PostgreSQL
SELECT learning_words.seq
FROM learning_words
WHERE
    learning_words.words @@ CAST(CAST(:query AS JSON) ->> 'query' AS TSQUERY)
    AND learning_words.seq < :before_seq
ORDER BY learning_words.seq DESC
LIMIT :max_rows;

-- name: list_learning_words_like(prefix_from, prefix_to, max_rows)
-- The words of the index between two bounds, each with its number of rows: candidates for a misspelt word.
--   prefix_from  text  the lower bound, inclusive
--   prefix_to  text  the upper bound, exclusive
--   max_rows  integer  1 to 5000
-- Index: learning_words primary key (from its end)
-- Rows: 0 to max_rows
-- Differs: PostgreSQL has no list of the words of an index; the words of the newest 2,000 rows are used
SELECT
    known.word AS term,
    known.ndoc AS row_count
FROM ts_stat('SELECT words FROM learning_words ORDER BY seq DESC LIMIT 2000') AS known
WHERE
    known.word COLLATE "C" >= :prefix_from
    AND known.word COLLATE "C" < :prefix_to
ORDER BY known.word COLLATE "C"
LIMIT :max_rows;

-- name: list_passing_learnings(min_confidence, seqs, created_from, created_before)
-- The rows of a list, in its order, that pass the filters which the index does not know exactly.
--   min_confidence  real  0 to 1, inclusive
--   seqs  json  a list of row numbers
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
-- Index: learnings primary key; sorts the list
-- Rows: 0 to the length of seqs
-- Differs: PostgreSQL unnests a JSON list differently
SELECT learnings.seq
FROM json_array_elements_text(CAST(:seqs AS JSON)) WITH ORDINALITY AS wanted (value, key)
INNER JOIN learnings ON learnings.seq = CAST(wanted.value AS BIGINT)
WHERE
    learnings.confidence >= :min_confidence
    AND learnings.created_at >= :created_from
    AND learnings.created_at < :created_before
ORDER BY wanted.key;

-- name: list_found_learnings(seqs, max_rows)
-- Some learnings that are not deleted, in the order of the list.
--   seqs  json  a list of row numbers, best first
--   max_rows  integer  1 to 1001
-- Index: learnings primary key; sorts max_rows
-- Rows: 0 to max_rows
-- Record: FoundLearning
-- Differs: PostgreSQL unnests a JSON list differently
SELECT
    learnings.seq,
    learnings.id,
    learnings.conversation_id,
    learnings.category,
    learnings.title,
    learnings.content,
    learnings.confidence,
    learnings.tags,
    learnings.dedupe_key,
    learnings.metadata,
    learnings.created_at,
    learnings.updated_at,
    learnings.deleted_at
FROM json_array_elements_text(CAST(:seqs AS JSON)) WITH ORDINALITY AS wanted (value, key)
CROSS JOIN learnings
WHERE
    learnings.seq = CAST(wanted.value AS BIGINT)
    AND learnings.deleted_at IS NULL
ORDER BY wanted.key, learnings.seq
LIMIT :max_rows;

-- name: index_messages(rows)!
-- Indexes some messages, which must not be indexed yet; triggers remove changed and deleted ones.
--   rows  words  for each: id, tsvector, number of tokens
-- Index: messages_id_key (one lookup per row)
-- Rows: the length of rows
-- Differs: tsvector is specific to PostgreSQL
INSERT INTO message_words (seq, words, word_count)
SELECT
    messages.seq,
    CAST(new_row.value ->> 1 AS TSVECTOR),
    CAST(new_row.value ->> 2 AS INTEGER)
FROM json_array_elements(CAST(:rows AS JSON)) AS new_row (value)
INNER JOIN messages ON messages.id = new_row.value ->> 0;

-- name: clear_messages_index()!
-- Empties the full-text index of messages, which is refilled in the same transaction.
-- Index: none (full scan)
-- Rows: one per indexed row
-- Differs: SQLite has FTS5, PostgreSQL a table with a tsvector
-- Allow: no-where, the whole index is refilled
DELETE FROM message_words;

-- name: list_unindexed_messages(conversation_id, after_seq, max_rows)
-- Messages that should be indexed and are not: another program wrote them, or they must be indexed again.
--   conversation_id  text  only of this conversation
--   after_seq  integer  rows after this number; 0 for the first page
--   max_rows  integer  1 to 5000
-- Index: messages primary key (range scan), message_words, conversations_id_key (one lookup each per row)
--   with conversation_id: messages_conversation_id_branch_position_key; sorts its rows
-- Rows: 0 to max_rows, by row number
-- Differs: the tsvector is in a separate table
SELECT
    messages.seq,
    messages.id,
    messages.conversation_id,
    messages.role,
    messages.content,
    messages.created_at,
    conversations.session_id,
    conversations.source
FROM messages
CROSS JOIN conversations
WHERE
    messages.seq > :after_seq
    AND messages.conversation_id = :conversation_id -- if: conversation_id
    AND messages.partial = 0
    AND conversations.id = messages.conversation_id
    AND conversations.deleted_at IS NULL
    AND NOT EXISTS (
        SELECT 1
        FROM message_words
        WHERE message_words.seq = messages.seq
    )
ORDER BY messages.seq
LIMIT :max_rows;

-- name: count_message_matches(queries, to_seq, max_rows)
-- For each query: the number of matching rows, and the row at which counting stopped if more than max_rows match.
--   queries  match  a list of queries
--   to_seq  integer  the last row to consider, inclusive
--   max_rows  integer  counting stops after this many rows
-- Index: message_words_idx; sorts the matches
-- Rows: one per query, in their order
-- Differs: tsvector is specific to PostgreSQL
SELECT
    counted.stopped_seq,
    counted.match_count
FROM json_array_elements_text(CAST(:queries AS JSON)) WITH ORDINALITY AS asked (value, place)
CROSS JOIN
    LATERAL (
        SELECT
            count(*) AS match_count,
            CASE WHEN count(*) > :max_rows THEN max(matched.seq) END AS stopped_seq
        FROM (
            SELECT message_words.seq
            FROM message_words
            WHERE
                message_words.words @@ CAST(asked.value AS TSQUERY)
                AND message_words.seq <= :to_seq
            ORDER BY message_words.seq
            LIMIT :max_rows + 1
        ) AS matched
    ) AS counted
ORDER BY asked.place;

-- name: rank_messages(query, from_seq, to_seq, max_rows)
-- The matching rows, best first, newest first among equals.
--   query  match  what a row must have, and the weight of each word, phrase and form
--   from_seq  integer  the first row to consider, inclusive
--   to_seq  integer  the last row to consider, inclusive
--   max_rows  integer  1 to 20000
-- Index: message_words_idx; sorts by score
-- Rows: 0 to max_rows
-- Differs: PostgreSQL has no BM25; it is computed here from the positions of the words in each matching row
WITH asked AS MATERIALIZED (
    SELECT
        word.value ->> 0 AS lexeme,
        CAST(word.value ->> 1 AS DOUBLE PRECISION) AS weight
    FROM json_array_elements(CAST(:query AS JSON) -> 'words') AS word (value)
),

phrases AS MATERIALIZED (
    SELECT
        CAST(phrase.value ->> 0 AS TSQUERY) AS query,
        CAST(phrase.value ->> 1 AS DOUBLE PRECISION) AS weight,
        CAST(phrase.value ->> 2 AS DOUBLE PRECISION) AS frequency
    FROM json_array_elements(CAST(:query AS JSON) -> 'phrases') AS phrase (value)
),

totals AS MATERIALIZED (
    SELECT CAST(avg(newest.word_count) AS DOUBLE PRECISION) AS average
    FROM (SELECT word_count FROM message_words ORDER BY seq DESC LIMIT 2000) AS newest
),

matched AS MATERIALIZED (
    SELECT
        message_words.seq,
        message_words.words,
        1.2 * (0.25 + 0.75 * message_words.word_count / totals.average) AS length
    FROM message_words
    CROSS JOIN totals
    WHERE
        message_words.words @@ CAST(CAST(:query AS JSON) ->> 'query' AS TSQUERY)
        AND message_words.seq BETWEEN :from_seq AND :to_seq
)

SELECT
    scored.seq,
    CAST(sum(scored.score) AS DOUBLE PRECISION) AS score
FROM (
    SELECT
        matched.seq,
        asked.weight * 2.2 * frequency.value / (frequency.value + matched.length) AS score
    FROM matched
    CROSS JOIN LATERAL unnest(ts_filter(matched.words, '{a,d}')) AS word
    INNER JOIN asked ON word.lexeme = asked.lexeme
    CROSS JOIN
        LATERAL (
            SELECT CAST(sum(CASE place.weight WHEN 'A' THEN 5 ELSE 1 END) AS DOUBLE PRECISION) AS value
            FROM unnest(word.weights) AS place (weight)
        ) AS frequency
    UNION ALL
    SELECT
        matched.seq,
        phrases.weight * 2.2 * phrases.frequency / (phrases.frequency + matched.length) AS score
    FROM matched
    INNER JOIN phrases ON matched.words @@ phrases.query
) AS scored
GROUP BY scored.seq
ORDER BY score DESC, scored.seq DESC
LIMIT :max_rows;

-- name: list_message_matches_before(query, before_seq, max_rows)
-- The matching rows, newest first.
--   query  match  what a row must have
--   before_seq  integer  only rows before this one; 2^62 for the first page
--   max_rows  integer  1 to 5000
-- Index: message_words_idx; sorts the matches
-- Rows: 0 to max_rows
-- Differs: tsvector is specific to PostgreSQL
SELECT message_words.seq
FROM message_words
WHERE
    message_words.words @@ CAST(CAST(:query AS JSON) ->> 'query' AS TSQUERY)
    AND message_words.seq < :before_seq
ORDER BY message_words.seq DESC
LIMIT :max_rows;

-- name: list_message_words_like(prefix_from, prefix_to, max_rows)
-- The words of the index between two bounds, each with its number of rows: candidates for a misspelt word.
--   prefix_from  text  the lower bound, inclusive
--   prefix_to  text  the upper bound, exclusive
--   max_rows  integer  1 to 5000
-- Index: message_words primary key (from its end)
-- Rows: 0 to max_rows
-- Differs: PostgreSQL has no list of the words of an index; the words of the newest 2,000 rows are used
SELECT
    known.word AS term,
    known.ndoc AS row_count
FROM ts_stat('SELECT words FROM message_words ORDER BY seq DESC LIMIT 2000') AS known
WHERE
    known.word COLLATE "C" >= :prefix_from
    AND known.word COLLATE "C" < :prefix_to
ORDER BY known.word COLLATE "C"
LIMIT :max_rows;

-- name: list_passing_messages(seqs, created_from, created_before)
-- The rows of a list, in its order, that pass the filters which the index does not know exactly.
--   seqs  json  a list of row numbers
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
-- Index: messages primary key; sorts the list
-- Rows: 0 to the length of seqs
-- Differs: PostgreSQL unnests a JSON list differently
SELECT messages.seq
FROM json_array_elements_text(CAST(:seqs AS JSON)) WITH ORDINALITY AS wanted (value, key)
INNER JOIN messages ON messages.seq = CAST(wanted.value AS BIGINT)
WHERE
    messages.created_at >= :created_from
    AND messages.created_at < :created_before
ORDER BY wanted.key;

-- name: list_found_messages(seqs, max_rows)
-- Some messages of conversations that are not deleted, in the order of the list.
--   seqs  json  a list of row numbers, best first
--   max_rows  integer  1 to 1001
-- Index: messages primary key, conversations_id_key (one lookup each per row); sorts max_rows
-- Rows: 0 to max_rows
-- Record: FoundMessage
-- Differs: PostgreSQL unnests a JSON list differently
SELECT
    messages.seq,
    messages.id,
    messages.conversation_id,
    messages.branch,
    messages.position,
    messages.role,
    messages.content,
    messages.content_hash,
    messages.token_count,
    messages.parts,
    messages.metadata,
    messages.created_at,
    messages.source_id,
    messages.partial
FROM json_array_elements_text(CAST(:seqs AS JSON)) WITH ORDINALITY AS wanted (value, key)
CROSS JOIN messages
CROSS JOIN conversations
WHERE
    messages.seq = CAST(wanted.value AS BIGINT)
    AND conversations.id = messages.conversation_id
    AND conversations.deleted_at IS NULL
ORDER BY wanted.key, messages.seq
LIMIT :max_rows;
