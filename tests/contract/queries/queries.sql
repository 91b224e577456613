-- Thirty queries as applications have them. "Columns" is the truth, written by hand: a "?" behind a type says that
-- the column can be NULL, "any" that it has no one type. "Given" are parameters with which data.sql shows it.

-- name: find_customer_by_email
-- Columns: id integer, email text, name text?, metadata json, vip boolean, created_at timestamp
-- Given: {"email": "ada@example.com"}
-- Given: {"email": "bob@example.com"}
SELECT id, email, name, metadata, vip, created_at
FROM customers
WHERE email = :email;

-- name: list_tickets_with_assignee
-- Columns: id integer, subject text, assignee text?, rate real?
-- Given: {}
SELECT tickets.id, tickets.subject, agents.name AS assignee, agents.rate
FROM tickets
LEFT JOIN agents ON agents.id = tickets.assignee_id
ORDER BY tickets.id;

-- name: list_tickets_of_team
-- Columns: id integer, assignee text, team text
-- Given: {"team": "core"}
SELECT tickets.id, agents.name AS assignee, agents.team
FROM tickets
LEFT JOIN agents ON agents.id = tickets.assignee_id
WHERE agents.team = :team;

-- name: list_ticket_overview
-- Columns: id integer, subject text, assignee text?
-- Given: {}
SELECT id, subject, assignee
FROM ticket_overview
ORDER BY id;

-- name: search_tickets
-- Columns: id integer, subject text, score real
-- Given: {"query": "printer"}
SELECT tickets.id, tickets.subject, CAST(-bm25(ticket_search, 5.0, 1.0) AS REAL) AS score
FROM ticket_search
JOIN tickets ON tickets.id = ticket_search.rowid
WHERE ticket_search MATCH :query
ORDER BY score DESC, tickets.id;

-- name: search_ticket_texts
-- Columns: rowid integer, body any?, extract text
-- Given: {"query": "printer"}
SELECT rowid, body, CAST(snippet(ticket_search, 0, '[', ']', '...', 8) AS TEXT) AS extract
FROM ticket_search
WHERE ticket_search MATCH :query;

-- name: claim_job
-- Columns: id integer, queue text, payload json, attempts integer, worker text?, lease_expires_at timestamp?
-- Given: {"worker": "w1", "lease_expires_at": "2026-02-01T00:05:00.000000Z", "now": "2026-02-01T00:00:00.000000Z"}
-- Given: {"worker": null, "lease_expires_at": null, "now": "2026-02-01T00:00:00.000000Z"}
UPDATE jobs
SET status = 'running', attempts = attempts + 1, worker = :worker, lease_expires_at = :lease_expires_at
WHERE id = (
    SELECT candidates.id
    FROM jobs AS candidates
    WHERE candidates.status = 'queued' AND candidates.run_at <= :now
    ORDER BY candidates.priority DESC, candidates.id
    LIMIT 1
)
RETURNING id, queue, payload, attempts, worker, lease_expires_at;

-- name: list_tickets_with_comment_flag
-- Columns: id integer, has_comments boolean
-- Given: {}
SELECT
    tickets.id,
    EXISTS (SELECT 1 FROM comments WHERE comments.ticket_id = tickets.id) AS has_comments
FROM tickets;

-- name: add_agent
-- Columns: id integer, name text, team text?, rate real
-- Given: {"name": "Ken", "team": null, "rate": 2.0}
INSERT INTO agents (name, team, rate)
VALUES (:name, :team, :rate)
RETURNING id, name, team, rate;

-- name: save_customer
-- Columns: id integer, email text, name text?, vip boolean
-- Given: {"email": "BOB@example.com", "name": null, "created_at": "2026-03-01T00:00:00.000000Z"}
INSERT INTO customers (email, name, created_at)
VALUES (:email, :name, :created_at)
ON CONFLICT (email) DO UPDATE SET name = coalesce(excluded.name, name)
RETURNING id, email, name, vip;

-- name: list_ticket_tags
-- Columns: id integer, place any?, tag text?
-- Given: {}
SELECT tickets.id, tag.parent AS place, CAST(tag.value AS TEXT) AS tag
FROM tickets
CROSS JOIN json_each(tickets.tags) AS tag;

-- name: append_comments
-- Columns: ticket_id integer, position integer, author text?, body text
-- Given: {"ticket_id": 2, "rows": "[[null, \"one\"], [\"Ada\", \"two\"]]"}
INSERT INTO comments (ticket_id, position, author, body)
SELECT :ticket_id, given.key + 1, json_extract(given.value, '$[0]'), json_extract(given.value, '$[1]')
FROM json_each(:rows) AS given
WHERE true
RETURNING ticket_id, position, author, body;

-- name: number_tickets
-- Columns: id integer, nth integer, previous_at timestamp?
-- Given: {}
SELECT
    id,
    row_number() OVER (PARTITION BY customer_id ORDER BY opened_at, id) AS nth,
    lag(opened_at) OVER (PARTITION BY customer_id ORDER BY opened_at, id) AS previous_at
FROM tickets;

-- name: list_reports_of
-- Columns: id integer, name text, manager_id integer?, depth integer
-- Given: {"id": 1}
WITH RECURSIVE chain (id, name, manager_id, depth) AS (
    SELECT agents.id, agents.name, agents.manager_id, 0
    FROM agents
    WHERE agents.id = :id
    UNION ALL
    SELECT agents.id, agents.name, agents.manager_id, CAST(chain.depth + 1 AS INTEGER)
    FROM agents
    JOIN chain ON agents.manager_id = chain.id
)
SELECT id, name, manager_id, depth
FROM chain;

-- name: count_tickets_by_customer
-- Columns: email text, ticket_count integer, latest_at timestamp?
-- Given: {}
SELECT customers.email, count(tickets.id) AS ticket_count, max(tickets.opened_at) AS latest_at
FROM customers
LEFT JOIN tickets ON tickets.customer_id = customers.id
GROUP BY customers.id;

-- name: sum_up_customer
-- Columns: latest_at timestamp?, ticket_count integer, weight real, points integer?
-- Given: {"customer_id": 1}
-- Given: {"customer_id": 99}
SELECT
    max(opened_at) AS latest_at,
    count(*) AS ticket_count,
    total(priority) AS weight,
    sum(priority) AS points
FROM tickets
WHERE customer_id = :customer_id;

-- name: list_last_comments
-- Columns: id integer, last_body text?, comment_count integer
-- Given: {}
SELECT
    tickets.id,
    (
        SELECT comments.body
        FROM comments
        WHERE comments.ticket_id = tickets.id
        ORDER BY comments.position DESC
        LIMIT 1
    ) AS last_body,
    (SELECT count(*) FROM comments WHERE comments.ticket_id = tickets.id) AS comment_count
FROM tickets;

-- name: list_everything
-- Columns: kind text, id integer, title text?
-- Given: {}
SELECT 'ticket' AS kind, id, subject AS title
FROM tickets
UNION ALL
SELECT 'customer', id, name
FROM customers;

-- name: list_ticket_states
-- Columns: id integer, state text, mark text?
-- Given: {}
SELECT
    id,
    CASE WHEN closed_at IS NULL THEN 'open' ELSE 'closed' END AS state,
    CASE WHEN priority > 5 THEN 'urgent' END AS mark
FROM tickets;

-- name: list_shown_names
-- Columns: id integer, shown text
-- Given: {}
SELECT id, coalesce(name, email) AS shown
FROM customers;

-- name: match_agents_and_tickets
-- Columns: agent text?, subject text?
-- Given: {}
SELECT agents.name AS agent, tickets.subject
FROM agents
FULL JOIN tickets ON tickets.assignee_id = agents.id;

-- name: delete_comments
-- Columns: position integer, author text?, attachment blob?
-- Given: {"ticket_id": 1}
DELETE FROM comments
WHERE ticket_id = :ticket_id
RETURNING position, author, attachment;

-- name: count_by_wanted_status
-- Columns: status text, ticket_count integer, oldest_at timestamp?
-- Given: {}
WITH wanted (status) AS (
    VALUES ('open'), ('closed'), ('lost')
)
SELECT wanted.status, count(tickets.id) AS ticket_count, min(tickets.opened_at) AS oldest_at
FROM wanted
LEFT JOIN tickets ON tickets.status = wanted.status
GROUP BY wanted.status;

-- name: list_legacy_prices
-- Columns: code any?, price any, note any?, price_real real
-- Given: {}
SELECT code, price, note, CAST(price AS REAL) AS price_real
FROM legacy_prices;

-- name: list_plans
-- Columns: id integer, plan text?, share integer?
-- Given: {"divisor": 0}
-- Given: {"divisor": 2}
SELECT
    id,
    CAST(json_extract(metadata, '$.plan') AS TEXT) AS plan,
    CAST(id / :divisor AS INTEGER) AS share
FROM customers;

-- name: list_tickets_before
-- Columns: id integer, opened_at timestamp, closed_at timestamp?
-- Given: {"before_opened_at": "2026-03-01T00:00:00.000000Z", "before_id": 9, "max_rows": 10}
SELECT id, opened_at, closed_at
FROM tickets
WHERE (opened_at, id) < (:before_opened_at, :before_id)
ORDER BY opened_at DESC, id DESC
LIMIT :max_rows;

-- name: list_idle_agents
-- Columns: id integer, team text?
-- Given: {}
SELECT agents.id, nullif(agents.team, '') AS team
FROM agents
WHERE NOT EXISTS (SELECT 1 FROM tickets WHERE tickets.assignee_id = agents.id);

-- name: list_tickets_without_comment
-- Columns: id integer
-- Given: {}
SELECT id FROM tickets
EXCEPT
SELECT ticket_id FROM comments;

-- name: assign_ticket
-- Columns: id integer, assignee_id integer?, closed_at timestamp?
-- Given: {"agent": "Linus", "id": 3, "keep": 1}
-- Given: {"agent": "Linus", "id": 3, "keep": 0}
UPDATE tickets
SET assignee_id = CASE WHEN :keep THEN agents.id END
FROM agents
WHERE agents.name = :agent AND tickets.id = :id
RETURNING id, assignee_id, closed_at;

-- name: list_subjects_by_customer
-- Columns: customer_id integer, subjects json, listed text
-- Given: {}
SELECT customer_id, json_group_array(subject) AS subjects, group_concat(subject, ', ') AS listed
FROM tickets
GROUP BY customer_id;
