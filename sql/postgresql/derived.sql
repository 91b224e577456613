-- Derived data: what PostgreSQL needs its own words for.

-- name: add_job_counts()!
-- Counts the ended jobs again, in the place of what was counted: behind a copy, whose rows no trigger saw.
-- Index: none (reads every job)
-- Rows: 0 to three a type
-- Differs: each count stands in 16 rows; all of it goes into the first
-- Allow: full-scan, once, behind a copy of everything
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
-- Types whose ended jobs are not as many as their counts say.
--   max_rows  integer  1 to 1000
-- Index: none (reads every job); sorts a row a type and status
-- Rows: 0 to max_rows, by type and status
-- Differs: each count stands in 16 rows, and only ended jobs have one
-- Allow: full-scan, a check that a person starts
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
-- Learnings that the index by tag has under other tags than their own, or at another time; hidden ones are not in it.
--   max_rows  integer  1 to 1000
-- Index: learnings_id_key (in its order), learning_tags_learning_id_idx (one range a learning), learning_tags primary key
--   (one look-up a tag)
-- Rows: 0 to max_rows, by id
-- Differs: json_array_elements_text is PostgreSQL's way to read a list
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
-- Fills the index of the learnings by tag: those that are shown, under each of their tags (once, where a tag stands twice).
-- Index: none (reads every learning)
-- Rows: one per learning and tag
-- Differs: json_array_elements_text is PostgreSQL's way to read a list
-- Allow: full-scan, once, where a person has what is derived made again
INSERT INTO learning_tags (tag, created_at, learning_id)
SELECT
    own.value,
    learnings.created_at,
    learnings.id
FROM learnings
CROSS JOIN json_array_elements_text(learnings.tags) AS own (value)
WHERE learnings.deleted_at IS NULL
ON CONFLICT (tag, created_at, learning_id) DO NOTHING;
