-- Derived data: what SQLite needs its own words for.

-- name: add_job_counts()!
-- Counts the jobs again, in the place of what was counted: behind a copy, whose rows no trigger saw.
-- Index: none (reads every job twice); sorts a row a type and status
-- Rows: 0 to five a type
-- Differs: PostgreSQL keeps the ended ones only, and each count in 16 rows
-- Allow: full-scan, once, when a database is copied
INSERT INTO job_counts (type, status, job_count)
SELECT
    type,
    'stored' AS status,
    count(*) AS job_count
FROM job_queue
GROUP BY type
UNION ALL
SELECT
    type,
    status,
    count(*) AS job_count
FROM job_queue
WHERE finished_at IS NOT NULL
GROUP BY type, status
ON CONFLICT (type, status) DO UPDATE SET job_count = excluded.job_count;

-- name: list_miscounted_jobs(max_rows)
-- Types whose jobs are not as many as their counts say: all that are stored, or those that ended in some way.
--   max_rows  integer  1 to 1000
-- Index: none (reads every job twice); sorts a row a type and status
-- Rows: 0 to max_rows, by type and status
-- Differs: PostgreSQL keeps the counts of ended jobs only
-- Allow: full-scan, a check that a person starts
SELECT
    counts.type,
    counts.status,
    sum(counts.kept) AS job_count,
    sum(counts.counted) AS counted
FROM (
    SELECT
        type,
        status,
        job_count AS kept,
        0 AS counted
    FROM job_counts
    UNION ALL
    SELECT
        type,
        'stored' AS status,
        0 AS kept,
        count(*) AS counted
    FROM job_queue
    GROUP BY type
    UNION ALL
    SELECT
        type,
        status,
        0 AS kept,
        count(*) AS counted
    FROM job_queue
    WHERE finished_at IS NOT NULL
    GROUP BY type, status
) AS counts
GROUP BY counts.type, counts.status
HAVING sum(counts.kept) <> sum(counts.counted)
ORDER BY counts.type, counts.status
LIMIT :max_rows;

-- name: list_mistagged_learnings(max_rows)
-- Learnings that the index by tag has under other tags than their own, or at another time; hidden ones are not in it.
--   max_rows  integer  1 to 1000
-- Index: learnings_id_key (in its order), learning_tags_learning_id_idx (one range a learning), learning_tags primary key
--   (one look-up a tag); sorts the tags of one learning at a time
-- Rows: 0 to max_rows, by id
-- Differs: json_each is SQLite's way to read a list
-- Allow: full-scan, a check that a person starts
SELECT learnings.id
FROM learnings
WHERE
    (
        SELECT count(*)
        FROM learning_tags
        WHERE learning_tags.learning_id = learnings.id
    ) <> (
        SELECT count(DISTINCT own.value)
        FROM json_each(learnings.tags) AS own
        WHERE learnings.deleted_at IS NULL
    )
    OR (
        learnings.deleted_at IS NULL
        AND EXISTS (
            SELECT 1
            FROM json_each(learnings.tags) AS own
            WHERE NOT EXISTS (
                SELECT 1
                FROM learning_tags
                WHERE
                    learning_tags.tag = own.value
                    AND learning_tags.created_at = learnings.created_at
                    AND learning_tags.learning_id = learnings.id
            )
        )
    )
ORDER BY learnings.id
LIMIT :max_rows;

-- name: fill_learning_tags()!
-- Fills the index of the learnings by tag: those that are shown, under each of their tags (once, where a tag stands twice).
-- Index: none (reads every learning)
-- Rows: one per learning and tag
-- Differs: json_each is SQLite's way to read a list
-- Locks: the write lock until the transaction ends, about 10 s per million rows
-- Allow: full-scan, once, where a person has what is derived made again
INSERT INTO learning_tags (tag, created_at, learning_id)
SELECT
    own.value,
    learnings.created_at,
    learnings.id
FROM learnings
CROSS JOIN json_each(learnings.tags) AS own
WHERE learnings.deleted_at IS NULL
ON CONFLICT (tag, created_at, learning_id) DO NOTHING;
