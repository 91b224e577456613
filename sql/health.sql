-- Health: what an operator asks of a database that is in use.

-- name: find_oldest_due_job(now)$
-- When the longest waiting job that is due became due; NULL if none is due. Jobs that wait for a place or a turn are left out.
--   now  timestamp  the current time
-- Index: job_queue_claim_idx (covering scan of the queued jobs)
-- Rows: 1
-- Returns: run_at timestamp?
SELECT min(run_at) AS run_at
FROM job_queue
WHERE
    status = 'queued'
    AND waits_for IS NULL
    AND run_at <= :now;
