-- Erasures: what PostgreSQL needs its own words for.

-- name: list_naming_jobs(names, parts, after_id)
-- Jobs that may name a subject: by a JSON value or key that is one of its names, or by a text that has one in it.
--   names  json  a list of ids and other names
--   parts  json  a list of names that are looked for inside texts too
--   after_id  integer  only jobs above this id; 0 for all
-- Index: job_queue primary key (integer), read to its end
-- Rows: one a job, by id; is_exact 0: only inside a text, so that its surroundings are to be looked at
-- Differs: json_tree is SQLite's; datastore_json_names (migrations/postgresql/0008) gives the same values and keys
SELECT
    looked_at.id,
    looked_at.status,
    looked_at.is_exact,
    looked_at.texts
FROM (
    SELECT
        job_queue.id,
        job_queue.status,
        CASE
            WHEN
                EXISTS (
                    SELECT 1
                    FROM json_array_elements_text(CAST(:names AS JSON)) AS named
                    WHERE
                        named.value = job_queue.dedupe_key
                        OR named.value IN (
                            SELECT datastore_json_names(job_queue.payload)
                            UNION ALL
                            SELECT datastore_json_names(job_queue.result)
                            UNION ALL
                            SELECT datastore_json_names(job_queue.progress)
                        )
                )
                THEN 1
            ELSE 0
        END AS is_exact,
        concat_ws(
            E'\n',
            CAST(job_queue.payload AS TEXT),
            coalesce(CAST(job_queue.result AS TEXT), ''),
            coalesce(CAST(job_queue.progress AS TEXT), ''),
            coalesce(job_queue.dedupe_key, ''),
            coalesce(job_queue.last_error, ''),
            coalesce((
                SELECT string_agg(job_attempts.error, E'\n')
                FROM job_attempts
                WHERE job_attempts.job_id = job_queue.id
            ), '')
        ) AS texts
    FROM job_queue
    WHERE job_queue.id > :after_id
) AS looked_at
WHERE
    looked_at.is_exact = 1
    OR EXISTS (
        SELECT 1
        FROM json_array_elements_text(CAST(:parts AS JSON)) AS part
        WHERE strpos(looked_at.texts, part.value) > 0
    )
ORDER BY looked_at.id;
