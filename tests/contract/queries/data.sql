-- Rows for which every column that can be NULL is NULL somewhere.

INSERT INTO customers (id, email, name, metadata, vip, created_at) VALUES
(1, 'ada@example.com', 'Ada', '{"plan": "gold"}', 1, '2026-01-01T00:00:00.000000Z'),
(2, 'bob@example.com', NULL, '{"plan": null}', 0, '2026-01-02T00:00:00.000000Z'),
(3, 'eve@example.com', NULL, '{}', 0, '2026-01-03T00:00:00.000000Z');

INSERT INTO agents (id, name, team, rate, manager_id) VALUES
(1, 'Grace', 'core', 1.0, NULL),
(2, 'Linus', NULL, 2.5, 1),
(3, 'Margaret', '', 3.0, 1);

INSERT INTO tickets (id, customer_id, assignee_id, subject, status, priority, tags, opened_at, closed_at) VALUES
(1, 1, 1, 'Printer on fire', 'open', 9, '["fire", null]', '2026-02-01T00:00:00.000000Z', NULL),
(2, 1, NULL, 'Printer cold', 'closed', 1, '[]', '2026-02-02T00:00:00.000000Z', '2026-02-03T00:00:00.000000Z'),
(3, 2, NULL, 'No coffee', 'open', 5, '["coffee"]', '2026-02-03T00:00:00.000000Z', NULL);

INSERT INTO comments (ticket_id, position, author, body, attachment) VALUES
(1, 1, 'Ada', 'It burns.', x'00'),
(1, 2, NULL, 'It still burns.', NULL);

INSERT INTO jobs (id, queue, status, priority, payload, attempts, run_at, worker, lease_expires_at) VALUES
(1, 'mail', 'queued', 5, '{"to": 1}', 0, '2026-02-01T00:00:00.000000Z', NULL, NULL),
(2, 'mail', 'queued', 1, 'null', 0, '2026-02-01T00:00:00.000000Z', NULL, NULL);

INSERT INTO legacy_prices (code, price, note) VALUES
(NULL, 'free', NULL),
('A', 1, x'01'),
('B', 2.5, 'old');

INSERT INTO ticket_search (rowid, subject, body) VALUES
(1, 'Printer on fire', 'It burns.'),
(2, 'Printer cold', NULL),
(3, 'No coffee', 'None at all.');
