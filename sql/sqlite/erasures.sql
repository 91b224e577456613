-- Erasures: what SQLite needs its own words for.

-- name: list_known_message_terms(terms)
-- Those of some words that the messages' full-text index still has in some row.
--   terms  json  a list of stems
-- Index: messages_terms (one look-up each a word); sorts the words
-- Rows: 0 to the length of terms
-- Differs: fts5vocab is SQLite's
-- Allow: max-rows, terms is the bound
SELECT CAST(messages_terms.term AS TEXT) AS term
FROM json_each(:terms) AS wanted
CROSS JOIN messages_terms
WHERE messages_terms.term = wanted.value
ORDER BY wanted.key;

-- name: list_known_learning_terms(terms)
-- Those of some words that the learnings' full-text index still has in some row.
--   terms  json  a list of stems
-- Index: learnings_terms (one look-up each a word); sorts the words
-- Rows: 0 to the length of terms
-- Differs: fts5vocab is SQLite's
-- Allow: max-rows, terms is the bound
SELECT CAST(learnings_terms.term AS TEXT) AS term
FROM json_each(:terms) AS wanted
CROSS JOIN learnings_terms
WHERE learnings_terms.term = wanted.value
ORDER BY wanted.key;

-- name: list_trees(after_rootpage, max_rows)
-- Where each table and index begins in the file.
--   after_rootpage  integer  0 for the first page
--   max_rows  integer  1 to 1000
-- Index: none (SQLite's list of the schema has no index); sorts it
-- Rows: 0 to max_rows
-- Differs: sqlite_master is SQLite's
-- Allow: limit-order, no two begin at the same page
SELECT
    CAST(tbl_name AS TEXT) AS table_name,
    CAST(rootpage AS INTEGER) AS rootpage
FROM sqlite_master
WHERE rootpage > :after_rootpage
ORDER BY rootpage
LIMIT :max_rows;
