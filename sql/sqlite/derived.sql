-- Derived data: statements specific to SQLite.

-- name: add_job_counts()!
-- Computes the job counts after a copy, whose rows fired no trigger.
-- Index: none (reads every job twice); sorts one row per type and status
-- Rows: 0 to five per type
-- Differs: PostgreSQL counts only ended jobs, and stores each count in several rows
-- Allow: full-scan, runs once, after a database was copied
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
-- Job types whose counts differ from the number of stored jobs, or of jobs that ended with one status.
--   max_rows  integer  1 to 1000
-- Index: none (reads every job twice); sorts one row per type and status
-- Rows: 0 to max_rows, by type and status
-- Differs: PostgreSQL stores counts of ended jobs only
-- Allow: full-scan, a check that an operator starts
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
-- Learnings whose rows in the tag index have the wrong tags or the wrong time. Hidden learnings must have none.
--   max_rows  integer  1 to 1000
-- Index: learnings_id_key (in its order), learning_tags_learning_id_idx (one range per learning), learning_tags primary key
--   (one lookup per tag); sorts the tags of one learning at a time
-- Rows: 0 to max_rows, by id
-- Differs: SQLite reads a JSON list with json_each
-- Allow: full-scan, a check that an operator starts
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
-- Fills the tag index with each tag of every learning that is not hidden (a duplicate tag once).
-- Index: none (reads every learning)
-- Rows: one per learning and tag
-- Differs: SQLite reads a JSON list with json_each
-- Locks: holds the write lock until the transaction ends, about 10 s per million rows
-- Allow: full-scan, runs only when an operator rebuilds derived data
INSERT INTO learning_tags (tag, created_at, learning_id)
SELECT
    own.value,
    learnings.created_at,
    learnings.id
FROM learnings
CROSS JOIN json_each(learnings.tags) AS own
WHERE learnings.deleted_at IS NULL
ON CONFLICT (tag, created_at, learning_id) DO NOTHING;
