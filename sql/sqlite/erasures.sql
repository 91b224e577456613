-- Erasures: what SQLite needs its own words for.

-- name: list_naming_jobs(names, parts, after_id)
-- Jobs that may name a subject: by a JSON value or key that is one of its names, or by a text that has one in it.
--   names  json  a list of texts: ids, and what was said
--   parts  json  a list of ids that are long enough to be looked for inside texts
--   after_id  integer  only jobs behind this one; 0 for all
-- Index: job_queue primary key (integer), read to its end
-- Rows: one a job, by id; is_exact 0: only inside a text, so that its surroundings are to be looked at
-- Differs: json_tree is SQLite's
-- Allow: max-rows, an erasure takes them all
SELECT
    looked_at.id,
    looked_at.status,
    looked_at.is_exact,
    looked_at.texts
FROM (
    SELECT
        job_queue.id,
        job_queue.status,
        CAST(
            EXISTS (
                SELECT 1
                FROM
                    json_tree(
                        '[' || job_queue.payload || ',' || coalesce(job_queue.result, 'null') || ','
                        || coalesce(job_queue.progress, 'null') || ']'
                    ) AS value
                WHERE
                    value.atom IN (SELECT json_each.value FROM json_each(:names))
                    OR value.key IN (SELECT json_each.value FROM json_each(:names))
            )
            OR coalesce(job_queue.dedupe_key, '') IN (SELECT json_each.value FROM json_each(:names))
            AS INTEGER
        ) AS is_exact,
        CAST(coalesce(
            job_queue.payload || char(10)
            || coalesce(job_queue.result, '') || char(10)
            || coalesce(job_queue.progress, '') || char(10)
            || coalesce(job_queue.dedupe_key, '') || char(10)
            || coalesce(job_queue.last_error, '') || char(10)
            || coalesce((
                SELECT group_concat(job_attempts.error, char(10))
                FROM job_attempts
                WHERE job_attempts.job_id = job_queue.id
            ), ''), ''
        ) AS TEXT) AS texts
    FROM job_queue
    WHERE job_queue.id > :after_id
) AS looked_at
WHERE
    looked_at.is_exact = 1
    OR EXISTS (
        SELECT 1
        FROM json_each(:parts) AS part
        WHERE instr(looked_at.texts, part.value) > 0
    )
ORDER BY looked_at.id;

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
