-- Erasures: statements specific to SQLite.

-- name: list_known_message_terms(terms)
-- Those of the given stems that still occur in the full-text index of the messages.
--   terms  json  a list of stems
-- Index: messages_terms (one lookup per word); sorts the words
-- Rows: 0 to the length of terms
-- Differs: only SQLite has fts5vocab
-- Allow: max-rows, bounded by the length of terms
SELECT CAST(messages_terms.term AS TEXT) AS term
FROM json_each(:terms) AS wanted
CROSS JOIN messages_terms
WHERE messages_terms.term = wanted.value
ORDER BY wanted.key;

-- name: list_known_learning_terms(terms)
-- Those of the given stems that still occur in the full-text index of the learnings.
--   terms  json  a list of stems
-- Index: learnings_terms (one lookup per word); sorts the words
-- Rows: 0 to the length of terms
-- Differs: only SQLite has fts5vocab
-- Allow: max-rows, bounded by the length of terms
SELECT CAST(learnings_terms.term AS TEXT) AS term
FROM json_each(:terms) AS wanted
CROSS JOIN learnings_terms
WHERE learnings_terms.term = wanted.value
ORDER BY wanted.key;

-- name: list_trees(after_rootpage, max_rows)
-- The root page of each table and index in the file.
--   after_rootpage  integer  0 for the first page
--   max_rows  integer  1 to 1000
-- Index: none (sqlite_master has no index); sorts it
-- Rows: 0 to max_rows
-- Differs: only SQLite has sqlite_master
-- Allow: limit-order, root pages are unique
SELECT
    CAST(tbl_name AS TEXT) AS table_name,
    CAST(rootpage AS INTEGER) AS rootpage
FROM sqlite_master
WHERE rootpage > :after_rootpage
ORDER BY rootpage
LIMIT :max_rows;

-- name: forget_job_type(type)
-- Deletes the counts of a type that no job has any longer; returns their statuses.
--   type  text  the job type
-- Index: job_counts primary key (range)
-- Rows: 0 to five
-- Differs: on PostgreSQL the application may not delete counts
-- Allow: full-scan, needed only for a type that names a subject, which is rare; the type alone leads no index
-- Allow: max-rows, five at most
DELETE FROM job_counts
WHERE
    type = :type
    AND NOT EXISTS (
        SELECT 1
        FROM job_queue
        WHERE job_queue.type = :type
    )
RETURNING status;
