-- Erasures: statements specific to PostgreSQL.

-- name: forget_job_type(type)
-- Deletes the counts of a type that no job has any longer; returns their statuses.
--   type  text  the job type
-- Index: job_counts primary key (search)
-- Rows: 0 to some per status
-- Differs: the application may not delete counts, so a function does, with the rights of the schema's owner (docs/roles.sql)
WITH counts AS MATERIALIZED (
    SELECT job_counts.type
    FROM job_counts
    WHERE job_counts.type = :type
    FOR UPDATE
)

SELECT deleted.status
FROM datastore_forget_job_type((SELECT max(counts.type) FROM counts)) AS deleted (status);
