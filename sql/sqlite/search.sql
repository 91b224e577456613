-- Search: what SQLite needs its own words for. Every statement here reads or writes the full-text indexes, whose rows are
-- what datastore/search/analysis.py made of the texts.

-- name: index_learning(id, content, title, forms, facets)!
-- Writes what a learning is found by. It must not be in the index; triggers take out what is changed or deleted.
--   id  text  which learning
--   content  text  its tokens, between blanks
--   title  text  those of its title
--   forms  text  its forms
--   facets  text  what a search filters by
-- Index: learnings_id_key (one look-up)
-- Rows: 1
-- Differs: FTS5 is SQLite's, and gathers rows until the transaction ends where they come by VALUES
INSERT INTO learnings_fts (rowid, content, title, forms, facets)
VALUES ((SELECT learnings.seq FROM learnings WHERE learnings.id = :id), :content, :title, :forms, :facets);

-- name: index_learnings(rows)!
-- Writes what some learnings are found by. Each must not be in the index.
--   rows  words  each one's id, tokens of content and title, forms and facets
-- Index: learnings_id_key (one look-up a row)
-- Rows: as many as rows has
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
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
-- Empties the full-text index of learnings, to fill it again in the same transaction.
-- Index: none (reads every row)
-- Rows: one per indexed row
-- Differs: FTS5 is SQLite's; PostgreSQL has the words in a table of their own
-- Allow: no-where, all of it is filled again
DELETE FROM learnings_fts;

-- name: list_unindexed_learnings(conversation_id, after_seq, max_rows)
-- Shown learnings that the full-text index has not: another program wrote them, or they are to be written again.
--   conversation_id  text  only of this conversation
--   after_seq  integer  rows after this number; 0 for the first page
--   max_rows  integer  1 to 5000
-- Index: learnings primary key (range scan), learnings_fts_docsize, conversations_id_key (one look-up each a row)
--   with conversation_id: learnings_conversation_id_dedupe_key_key; sorts its rows
-- Rows: 0 to max_rows, by number
-- Differs: FTS5's table of rows
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
-- For each of some queries: how many rows match, and where more than max_rows do, the row at which the count stopped.
--   queries  match  a list of queries
--   to_seq  integer  the last row that counts, inclusive
--   max_rows  integer  stops counting after so many
-- Index: learnings_fts (MATCH, in its order); sorts the queries
-- Rows: one a query, in their order
-- Returns: match_count integer
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
-- Allow: max-rows, queries is the bound
-- Allow: offset, it is the row at which the count stops
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
-- The rows that match, best first, of equal ones the last stored; a title's words weigh five times. Counts each term to its end.
--   query  match  what a row must have
--   from_seq  integer  the first row that counts, inclusive
--   to_seq  integer  the last row that counts, inclusive
--   max_rows  integer  1 to 20000
-- Index: learnings_fts (MATCH); sorts by rank
-- Rows: 0 to max_rows
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
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
-- The rows that match, the last stored first.
--   query  match  what a row must have
--   before_seq  integer  only rows before this one; 2^62 for the first page
--   max_rows  integer  1 to 5000
-- Index: learnings_fts (MATCH, backwards, no sort)
-- Rows: 0 to max_rows
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
SELECT learnings_fts.rowid AS seq
FROM learnings_fts
WHERE
    learnings_fts MATCH :query
    AND learnings_fts.rowid < :before_seq
ORDER BY learnings_fts.rowid DESC
LIMIT :max_rows;

-- name: list_learning_tokens(seqs)
-- What the full-text index has of some rows: what their rank is made of.
--   seqs  json  a list of rows' numbers
-- Index: learnings_fts (one row each)
-- Rows: 0 to the length of seqs
-- Differs: FTS5 is SQLite's; PostgreSQL scores by its tsvector
-- Allow: max-rows, seqs is the bound
SELECT
    learnings_fts.rowid AS seq,
    CAST(learnings_fts.content AS TEXT) AS content,
    CAST(learnings_fts.title AS TEXT) AS title,
    CAST(learnings_fts.forms AS TEXT) AS forms
FROM json_each(:seqs) AS wanted
CROSS JOIN learnings_fts
WHERE learnings_fts.rowid = wanted.value;

-- name: list_learning_words_like(prefix_from, prefix_to, max_rows)
-- Words of the index between two bounds, and in how many rows each is: what a misspelt word may have meant.
--   prefix_from  text  the lower bound, inclusive
--   prefix_to  text  the upper bound, exclusive
--   max_rows  integer  1 to 5000
-- Index: learnings_terms (a range of the index's own words)
-- Rows: 0 to max_rows
-- Differs: FTS5 is SQLite's; PostgreSQL has ts_stat
-- Allow: limit-order, the index has each word once
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
-- Those of some rows that pass the filters which the index knows about only, in the order of the list.
--   min_confidence  real  0 to 1, inclusive
--   seqs  json  a list of rows' numbers
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
-- Index: learnings primary key; sorts the list
-- Rows: 0 to the length of seqs
-- Differs: json_each is SQLite's way to hand a list to one statement; PostgreSQL has arrays
-- Allow: max-rows, seqs is the bound
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
--   seqs  json  a list of rows' numbers, best first
--   max_rows  integer  1 to 1001
-- Index: learnings primary key; sorts max_rows
-- Rows: 0 to max_rows
-- Record: FoundLearning
-- Differs: json_each is SQLite's way to hand a list to one statement; PostgreSQL has arrays
-- Allow: limit-order, wanted.key is each place in the list once
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
-- Writes what some messages are found by. Each must not be in the index.
--   rows  words  each one's id, tokens of content and title, forms and facets
-- Index: messages_id_key (one look-up a row)
-- Rows: as many as rows has
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
INSERT INTO messages_fts (rowid, content, title, forms, facets)
SELECT
    messages.seq,
    json_extract(new_row.value, '$[1]'),
    json_extract(new_row.value, '$[2]'),
    json_extract(new_row.value, '$[3]'),
    json_extract(new_row.value, '$[4]')
FROM json_each(:rows) AS new_row
CROSS JOIN messages
WHERE messages.id = json_extract(new_row.value, '$[0]');

-- name: clear_messages_index()!
-- Empties the full-text index of messages, to fill it again in the same transaction.
-- Index: none (reads every row)
-- Rows: one per indexed row
-- Differs: FTS5 is SQLite's; PostgreSQL has the words in a table of their own
-- Allow: no-where, all of it is filled again
DELETE FROM messages_fts;

-- name: list_unindexed_messages(conversation_id, after_seq, max_rows)
-- Shown messages that the full-text index has not: another program wrote them, or they are to be written again.
--   conversation_id  text  only of this conversation
--   after_seq  integer  rows after this number; 0 for the first page
--   max_rows  integer  1 to 5000
-- Index: messages primary key (range scan), messages_fts_docsize, conversations_id_key (one look-up each a row)
--   with conversation_id: messages_conversation_id_created_at_id_idx or messages_conversation_id_position_key; sorts its rows
-- Rows: 0 to max_rows, by number
-- Differs: FTS5's table of rows
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
-- For each of some queries: how many rows match, and where more than max_rows do, the row at which the count stopped.
--   queries  match  a list of queries
--   to_seq  integer  the last row that counts, inclusive
--   max_rows  integer  stops counting after so many
-- Index: messages_fts (MATCH, in its order); sorts the queries
-- Rows: one a query, in their order
-- Returns: match_count integer
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
-- Allow: max-rows, queries is the bound
-- Allow: offset, it is the row at which the count stops
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
-- The rows that match, best first, of equal ones the last stored. Counts each term to its end.
--   query  match  what a row must have
--   from_seq  integer  the first row that counts, inclusive
--   to_seq  integer  the last row that counts, inclusive
--   max_rows  integer  1 to 20000
-- Index: messages_fts (MATCH); sorts by rank
-- Rows: 0 to max_rows
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
SELECT
    messages_fts.rowid AS seq,
    CAST(-bm25(messages_fts, 1.0, 5.0, 10.0, 0.0) AS REAL) AS score
FROM messages_fts
WHERE
    messages_fts MATCH :query
    AND messages_fts.rowid BETWEEN :from_seq AND :to_seq
ORDER BY score DESC, seq DESC
LIMIT :max_rows;

-- name: list_message_matches_before(query, before_seq, max_rows)
-- The rows that match, the last stored first.
--   query  match  what a row must have
--   before_seq  integer  only rows before this one; 2^62 for the first page
--   max_rows  integer  1 to 5000
-- Index: messages_fts (MATCH, backwards, no sort)
-- Rows: 0 to max_rows
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
SELECT messages_fts.rowid AS seq
FROM messages_fts
WHERE
    messages_fts MATCH :query
    AND messages_fts.rowid < :before_seq
ORDER BY messages_fts.rowid DESC
LIMIT :max_rows;

-- name: list_message_tokens(seqs)
-- What the full-text index has of some rows: what their rank is made of.
--   seqs  json  a list of rows' numbers
-- Index: messages_fts (one row each)
-- Rows: 0 to the length of seqs
-- Differs: FTS5 is SQLite's; PostgreSQL scores by its tsvector
-- Allow: max-rows, seqs is the bound
SELECT
    messages_fts.rowid AS seq,
    CAST(messages_fts.content AS TEXT) AS content,
    CAST(messages_fts.title AS TEXT) AS title,
    CAST(messages_fts.forms AS TEXT) AS forms
FROM json_each(:seqs) AS wanted
CROSS JOIN messages_fts
WHERE messages_fts.rowid = wanted.value;

-- name: list_message_words_like(prefix_from, prefix_to, max_rows)
-- Words of the index between two bounds, and in how many rows each is: what a misspelt word may have meant.
--   prefix_from  text  the lower bound, inclusive
--   prefix_to  text  the upper bound, exclusive
--   max_rows  integer  1 to 5000
-- Index: messages_terms (a range of the index's own words)
-- Rows: 0 to max_rows
-- Differs: FTS5 is SQLite's; PostgreSQL has ts_stat
-- Allow: limit-order, the index has each word once
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
-- Those of some rows that pass the filters which the index knows about only, in the order of the list.
--   seqs  json  a list of rows' numbers
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
-- Index: messages primary key; sorts the list
-- Rows: 0 to the length of seqs
-- Differs: json_each is SQLite's way to hand a list to one statement; PostgreSQL has arrays
-- Allow: max-rows, seqs is the bound
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
--   seqs  json  a list of rows' numbers, best first
--   max_rows  integer  1 to 1001
-- Index: messages primary key, conversations_id_key (one look-up each a row); sorts max_rows
-- Rows: 0 to max_rows
-- Record: FoundMessage
-- Differs: json_each is SQLite's way to hand a list to one statement; PostgreSQL has arrays
-- Allow: limit-order, wanted.key is each place in the list once
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
FROM json_each(:seqs) AS wanted
CROSS JOIN messages
CROSS JOIN conversations
WHERE
    messages.seq = wanted.value
    AND conversations.id = messages.conversation_id
    AND conversations.deleted_at IS NULL
ORDER BY wanted.key, messages.seq
LIMIT :max_rows;
