-- Derived data: statements specific to PostgreSQL.

-- name: add_job_counts()!
-- Computes the counts of ended jobs after a copy, whose rows fired no trigger.
-- Index: none (reads every job)
-- Rows: 0 to three per type
-- Differs: PostgreSQL stores each count in several rows; this statement writes the total to the first
-- Allow: full-scan, runs once, after a database was copied
INSERT INTO job_counts (type, status, shard, job_count)
SELECT
    type,
    status,
    0,
    count(*)
FROM job_queue
WHERE finished_at IS NOT NULL
GROUP BY type, status
ON CONFLICT (type, status, shard) DO UPDATE SET job_count = excluded.job_count;

-- name: list_miscounted_jobs(max_rows)
-- Job types whose counts differ from the number of ended jobs.
--   max_rows  integer  1 to 1000
-- Index: none (reads every job); sorts one row per type and status
-- Rows: 0 to max_rows, by type and status
-- Differs: PostgreSQL stores each count in several rows, and counts only ended jobs
-- Allow: full-scan, a check that an operator starts
SELECT
    counts.type,
    counts.status,
    CAST(sum(counts.kept) AS BIGINT) AS job_count,
    CAST(sum(counts.counted) AS BIGINT) AS counted
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
--   (one lookup per tag)
-- Rows: 0 to max_rows, by id
-- Differs: PostgreSQL reads a JSON list with json_array_elements_text
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
        FROM json_array_elements_text(learnings.tags) AS own (value)
        WHERE learnings.deleted_at IS NULL
    )
    OR (
        learnings.deleted_at IS NULL
        AND EXISTS (
            SELECT 1
            FROM json_array_elements_text(learnings.tags) AS own (value)
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
-- Differs: PostgreSQL reads a JSON list with json_array_elements_text
-- Allow: full-scan, runs only when an operator rebuilds derived data
INSERT INTO learning_tags (tag, created_at, learning_id)
SELECT
    own.value,
    learnings.created_at,
    learnings.id
FROM learnings
CROSS JOIN json_array_elements_text(learnings.tags) AS own (value)
WHERE learnings.deleted_at IS NULL
ON CONFLICT (tag, created_at, learning_id) DO NOTHING;
