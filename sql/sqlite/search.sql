-- Search: statements specific to SQLite. They read and write the full-text indexes, whose contents datastore/search/analysis.py
-- computes from the texts.

-- name: index_learning(id, content, title, forms, facets)!
-- Indexes a learning, which must not be indexed yet; triggers remove changed and deleted ones.
--   id  text  id of the learning
--   content  text  the tokens of its content, separated by blanks
--   title  text  the tokens of its title
--   forms  text  its forms
--   facets  text  the tokens that a search filters by
-- Index: learnings_id_key (one lookup)
-- Rows: 1
-- Differs: FTS5 is specific to SQLite; it collects rows that come from VALUES until the transaction ends
INSERT INTO learnings_fts (rowid, content, title, forms, facets)
VALUES ((SELECT learnings.seq FROM learnings WHERE learnings.id = :id), :content, :title, :forms, :facets);

-- name: index_learnings(rows)!
-- Indexes some learnings, which must not be indexed yet.
--   rows  words  for each: id, tokens of content and title, forms, facets
-- Index: learnings_id_key (one lookup per row)
-- Rows: the length of rows
-- Differs: FTS5 is specific to SQLite; PostgreSQL has tsvector
INSERT INTO learnings_fts (rowid, content, title, forms, facets)
SELECT
    learnings.seq,
    json_extract(new_row.value, '$[1]'),
    json_extract(new_row.value, '$[2]'),
    json_extract(new_row.value, '$[3]'),
    json_extract(new_row.value, '$[4]')
FROM json_each(:rows) AS new_row
CROSS JOIN learnings
WHERE learnings.id = json_extract(new_row.value, '$[0]');

-- name: clear_learnings_index()!
-- Empties the full-text index of learnings, which is refilled in the same transaction.
-- Index: none (full scan)
-- Rows: one per indexed row
-- Differs: SQLite has FTS5, PostgreSQL a table with a tsvector
-- Allow: no-where, the whole index is refilled
DELETE FROM learnings_fts;

-- name: list_unindexed_learnings(conversation_id, after_seq, max_rows)
-- Learnings that should be indexed and are not: another program wrote them, or they must be indexed again.
--   conversation_id  text  only of this conversation
--   after_seq  integer  rows after this number; 0 for the first page
--   max_rows  integer  1 to 5000
-- Index: learnings primary key (range scan), learnings_fts_docsize, conversations_id_key (one lookup each per row)
--   with conversation_id: learnings_conversation_id_dedupe_key_key; sorts its rows
-- Rows: 0 to max_rows, by row number
-- Differs: FTS5 is specific to SQLite
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
        FROM learnings_fts_docsize
        WHERE learnings_fts_docsize.id = learnings.seq
    )
ORDER BY learnings.seq
LIMIT :max_rows;

-- name: count_learning_matches(queries, to_seq, max_rows)
-- For each query: the number of matching rows, and the row at which counting stopped if more than max_rows match.
--   queries  match  a list of queries
--   to_seq  integer  the last row to consider, inclusive
--   max_rows  integer  counting stops after this many rows
-- Index: learnings_fts (MATCH, in its order); sorts the queries
-- Rows: one per query, in their order
-- Returns: match_count integer
-- Differs: FTS5 is specific to SQLite; PostgreSQL has tsvector
-- Allow: max-rows, the length of queries bounds the result
-- Allow: offset, it finds the row at which counting stops
WITH counted AS MATERIALIZED (
    SELECT
        asked.key AS place,
        asked.value AS wanted,
        (
            SELECT learnings_fts.rowid
            FROM learnings_fts
            WHERE
                learnings_fts MATCH asked.value
                AND learnings_fts.rowid <= :to_seq
            ORDER BY learnings_fts.rowid
            LIMIT 1 OFFSET :max_rows
        ) AS stopped_seq
    FROM json_each(:queries) AS asked
)

SELECT
    counted.stopped_seq,
    CASE
        WHEN counted.stopped_seq IS NULL
            THEN (
                SELECT count(*)
                FROM learnings_fts
                WHERE
                    learnings_fts MATCH counted.wanted
                    AND learnings_fts.rowid <= :to_seq
            )
        ELSE :max_rows + 1
    END AS match_count
FROM counted
ORDER BY counted.place;

-- name: rank_learnings(query, from_seq, to_seq, max_rows)
-- The matching rows, best first, newest first among equals; words of a title weigh five times. Reads all rows of each term.
--   query  match  what a row must have
--   from_seq  integer  the first row to consider, inclusive
--   to_seq  integer  the last row to consider, inclusive
--   max_rows  integer  1 to 20000
-- Index: learnings_fts (MATCH); sorts by rank
-- Rows: 0 to max_rows
-- Differs: FTS5 is specific to SQLite; PostgreSQL has tsvector
SELECT
    learnings_fts.rowid AS seq,
    CAST(-bm25(learnings_fts, 1.0, 5.0, 10.0, 0.0) AS REAL) AS score
FROM learnings_fts
WHERE
    learnings_fts MATCH :query
    AND learnings_fts.rowid BETWEEN :from_seq AND :to_seq
ORDER BY score DESC, seq DESC
LIMIT :max_rows;

-- name: list_learning_matches_before(query, before_seq, max_rows)
-- The matching rows, newest first.
--   query  match  what a row must have
--   before_seq  integer  only rows before this one; 2^62 for the first page
--   max_rows  integer  1 to 5000
-- Index: learnings_fts (MATCH, backwards, no sort)
-- Rows: 0 to max_rows
-- Differs: FTS5 is specific to SQLite; PostgreSQL has tsvector
SELECT learnings_fts.rowid AS seq
FROM learnings_fts
WHERE
    learnings_fts MATCH :query
    AND learnings_fts.rowid < :before_seq
ORDER BY learnings_fts.rowid DESC
LIMIT :max_rows;

-- name: list_learning_tokens(seqs)
-- The tokens of some rows in the full-text index, for scoring.
--   seqs  json  a list of row numbers
-- Index: learnings_fts (one row each)
-- Rows: 0 to the length of seqs
-- Differs: FTS5 is specific to SQLite; PostgreSQL scores by its tsvector
-- Allow: max-rows, the length of seqs bounds the result
SELECT
    learnings_fts.rowid AS seq,
    CAST(learnings_fts.content AS TEXT) AS content,
    CAST(learnings_fts.title AS TEXT) AS title,
    CAST(learnings_fts.forms AS TEXT) AS forms
FROM json_each(:seqs) AS wanted
CROSS JOIN learnings_fts
WHERE learnings_fts.rowid = wanted.value;

-- name: list_learning_words_like(prefix_from, prefix_to, max_rows)
-- The words of the index between two bounds, each with its number of rows: candidates for a misspelt word.
--   prefix_from  text  the lower bound, inclusive
--   prefix_to  text  the upper bound, exclusive
--   max_rows  integer  1 to 5000
-- Index: learnings_terms (a range of the words of the index)
-- Rows: 0 to max_rows
-- Differs: FTS5 is specific to SQLite; PostgreSQL has ts_stat
-- Allow: limit-order, each word occurs once in the index
SELECT
    CAST(learnings_terms.term AS TEXT) AS term,
    CAST(learnings_terms.doc AS INTEGER) AS row_count
FROM learnings_terms
WHERE
    learnings_terms.term >= :prefix_from
    AND learnings_terms.term < :prefix_to
ORDER BY learnings_terms.term
LIMIT :max_rows;

-- name: list_passing_learnings(min_confidence, seqs, created_from, created_before)
-- The rows of a list, in its order, that pass the filters which the index does not know exactly.
--   min_confidence  real  0 to 1, inclusive
--   seqs  json  a list of row numbers
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
-- Index: learnings primary key; sorts the list
-- Rows: 0 to the length of seqs
-- Differs: SQLite passes a list as JSON to json_each; PostgreSQL has arrays
-- Allow: max-rows, the length of seqs bounds the result
SELECT learnings.seq
FROM json_each(:seqs) AS wanted
CROSS JOIN learnings
WHERE
    learnings.seq = wanted.value
    AND learnings.confidence >= :min_confidence
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
-- Differs: SQLite passes a list as JSON to json_each; PostgreSQL has arrays
-- Allow: limit-order, wanted.key is unique
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
FROM json_each(:seqs) AS wanted
CROSS JOIN learnings
WHERE
    learnings.seq = wanted.value
    AND learnings.deleted_at IS NULL
ORDER BY wanted.key, learnings.seq
LIMIT :max_rows;

-- name: index_messages(rows)!
-- Indexes some messages, which must not be indexed yet.
--   rows  words  for each: id, tokens of content and title, forms, facets
-- Index: messages_id_key (one lookup per row)
-- Rows: the length of rows
-- Differs: FTS5 is specific to SQLite; PostgreSQL has tsvector
INSERT INTO messages_fts (rowid, content, forms, facets)
SELECT
    messages.seq,
    json_extract(new_row.value, '$[1]'),
    json_extract(new_row.value, '$[3]'),
    json_extract(new_row.value, '$[4]')
FROM json_each(:rows) AS new_row
CROSS JOIN messages
WHERE messages.id = json_extract(new_row.value, '$[0]');

-- name: clear_messages_index()!
-- Empties the full-text index of messages, which is refilled in the same transaction.
-- Index: none (full scan)
-- Rows: one per indexed row
-- Differs: SQLite has FTS5, PostgreSQL a table with a tsvector
-- Allow: no-where, the whole index is refilled
DELETE FROM messages_fts;

-- name: list_unindexed_messages(conversation_id, after_seq, max_rows)
-- Messages that should be indexed and are not: another program wrote them, or they must be indexed again.
--   conversation_id  text  only of this conversation
--   after_seq  integer  rows after this number; 0 for the first page
--   max_rows  integer  1 to 5000
-- Index: messages primary key (range scan), messages_fts_docsize, conversations_id_key (one lookup each per row)
--   with conversation_id: messages_conversation_id_created_at_id_idx or messages_conversation_id_branch_position_key; sorts its rows
-- Rows: 0 to max_rows, by row number
-- Differs: FTS5 is specific to SQLite
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
        FROM messages_fts_docsize
        WHERE messages_fts_docsize.id = messages.seq
    )
ORDER BY messages.seq
LIMIT :max_rows;

-- name: count_message_matches(queries, to_seq, max_rows)
-- For each query: the number of matching rows, and the row at which counting stopped if more than max_rows match.
--   queries  match  a list of queries
--   to_seq  integer  the last row to consider, inclusive
--   max_rows  integer  counting stops after this many rows
-- Index: messages_fts (MATCH, in its order); sorts the queries
-- Rows: one per query, in their order
-- Returns: match_count integer
-- Differs: FTS5 is specific to SQLite; PostgreSQL has tsvector
-- Allow: max-rows, the length of queries bounds the result
-- Allow: offset, it finds the row at which counting stops
WITH counted AS MATERIALIZED (
    SELECT
        asked.key AS place,
        asked.value AS wanted,
        (
            SELECT messages_fts.rowid
            FROM messages_fts
            WHERE
                messages_fts MATCH asked.value
                AND messages_fts.rowid <= :to_seq
            ORDER BY messages_fts.rowid
            LIMIT 1 OFFSET :max_rows
        ) AS stopped_seq
    FROM json_each(:queries) AS asked
)

SELECT
    counted.stopped_seq,
    CASE
        WHEN counted.stopped_seq IS NULL
            THEN (
                SELECT count(*)
                FROM messages_fts
                WHERE
                    messages_fts MATCH counted.wanted
                    AND messages_fts.rowid <= :to_seq
            )
        ELSE :max_rows + 1
    END AS match_count
FROM counted
ORDER BY counted.place;

-- name: rank_messages(query, from_seq, to_seq, max_rows)
-- The matching rows, best first, newest first among equals. Reads all rows of each term.
--   query  match  what a row must have
--   from_seq  integer  the first row to consider, inclusive
--   to_seq  integer  the last row to consider, inclusive
--   max_rows  integer  1 to 20000
-- Index: messages_fts (MATCH); sorts by rank
-- Rows: 0 to max_rows
-- Differs: FTS5 is specific to SQLite; PostgreSQL has tsvector
SELECT
    messages_fts.rowid AS seq,
    CAST(-bm25(messages_fts, 1.0, 10.0, 0.0) AS REAL) AS score
FROM messages_fts
WHERE
    messages_fts MATCH :query
    AND messages_fts.rowid BETWEEN :from_seq AND :to_seq
ORDER BY score DESC, seq DESC
LIMIT :max_rows;

-- name: list_message_matches_before(query, before_seq, max_rows)
-- The matching rows, newest first.
--   query  match  what a row must have
--   before_seq  integer  only rows before this one; 2^62 for the first page
--   max_rows  integer  1 to 5000
-- Index: messages_fts (MATCH, backwards, no sort)
-- Rows: 0 to max_rows
-- Differs: FTS5 is specific to SQLite; PostgreSQL has tsvector
SELECT messages_fts.rowid AS seq
FROM messages_fts
WHERE
    messages_fts MATCH :query
    AND messages_fts.rowid < :before_seq
ORDER BY messages_fts.rowid DESC
LIMIT :max_rows;

-- name: list_message_tokens(seqs)
-- The tokens of some rows in the full-text index, for scoring.
--   seqs  json  a list of row numbers
-- Index: messages_fts (one row each)
-- Rows: 0 to the length of seqs
-- Differs: FTS5 is specific to SQLite; PostgreSQL scores by its tsvector
-- Allow: max-rows, the length of seqs bounds the result
SELECT
    messages_fts.rowid AS seq,
    CAST(messages_fts.content AS TEXT) AS content,
    '' AS title,
    CAST(messages_fts.forms AS TEXT) AS forms
FROM json_each(:seqs) AS wanted
CROSS JOIN messages_fts
WHERE messages_fts.rowid = wanted.value;

-- name: list_message_words_like(prefix_from, prefix_to, max_rows)
-- The words of the index between two bounds, each with its number of rows: candidates for a misspelt word.
--   prefix_from  text  the lower bound, inclusive
--   prefix_to  text  the upper bound, exclusive
--   max_rows  integer  1 to 5000
-- Index: messages_terms (a range of the words of the index)
-- Rows: 0 to max_rows
-- Differs: FTS5 is specific to SQLite; PostgreSQL has ts_stat
-- Allow: limit-order, each word occurs once in the index
SELECT
    CAST(messages_terms.term AS TEXT) AS term,
    CAST(messages_terms.doc AS INTEGER) AS row_count
FROM messages_terms
WHERE
    messages_terms.term >= :prefix_from
    AND messages_terms.term < :prefix_to
ORDER BY messages_terms.term
LIMIT :max_rows;

-- name: list_passing_messages(seqs, created_from, created_before)
-- The rows of a list, in its order, that pass the filters which the index does not know exactly.
--   seqs  json  a list of row numbers
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
-- Index: messages primary key; sorts the list
-- Rows: 0 to the length of seqs
-- Differs: SQLite passes a list as JSON to json_each; PostgreSQL has arrays
-- Allow: max-rows, the length of seqs bounds the result
SELECT messages.seq
FROM json_each(:seqs) AS wanted
CROSS JOIN messages
WHERE
    messages.seq = wanted.value
    AND messages.created_at >= :created_from
    AND messages.created_at < :created_before
ORDER BY wanted.key;

-- name: list_found_messages(seqs, max_rows)
-- Some messages of conversations that are not deleted, in the order of the list.
--   seqs  json  a list of row numbers, best first
--   max_rows  integer  1 to 1001
-- Index: messages primary key, conversations_id_key (one lookup each per row); sorts max_rows
-- Rows: 0 to max_rows
-- Record: FoundMessage
-- Differs: SQLite passes a list as JSON to json_each; PostgreSQL has arrays
-- Allow: limit-order, wanted.key is unique
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
FROM json_each(:seqs) AS wanted
CROSS JOIN messages
CROSS JOIN conversations
WHERE
    messages.seq = wanted.value
    AND conversations.id = messages.conversation_id
    AND conversations.deleted_at IS NULL
ORDER BY wanted.key, messages.seq
LIMIT :max_rows;
