-- What is read from logs.db, the database of the command line tool llm. These statements run on that database, never on a store.
-- Its tables got more columns with each of its versions, so rows are read with the columns that they have: SELECT *.

-- name: tables
SELECT name FROM sqlite_schema WHERE type = 'table';

-- name: conversations
SELECT * FROM conversations WHERE id = :id;

-- name: responses
SELECT * FROM responses ORDER BY conversation_id, id;

-- name: prompt_attachments
SELECT attachments.id, attachments.type, attachments.path, attachments.url, length(attachments.content) AS size
FROM prompt_attachments
INNER JOIN attachments ON attachments.id = prompt_attachments.attachment_id
WHERE prompt_attachments.response_id = :id
ORDER BY prompt_attachments."order";

-- name: prompt_fragments
SELECT fragments.content
FROM prompt_fragments
INNER JOIN fragments ON fragments.id = prompt_fragments.fragment_id
WHERE prompt_fragments.response_id = :id
ORDER BY prompt_fragments."order";

-- name: system_fragments
SELECT fragments.content
FROM system_fragments
INNER JOIN fragments ON fragments.id = system_fragments.fragment_id
WHERE system_fragments.response_id = :id
ORDER BY system_fragments."order";

-- name: tool_calls
SELECT * FROM tool_calls WHERE response_id = :id ORDER BY id;

-- name: tool_results
SELECT * FROM tool_results WHERE response_id = :id ORDER BY id;

-- name: threads
SELECT * FROM threads ORDER BY id;

-- name: turns
SELECT * FROM turns WHERE thread_id = :id ORDER BY datetime_utc, id;

-- name: chain
WITH RECURSIVE chain (hash, depth) AS (
    SELECT :id, 0
    UNION ALL
    SELECT messages.parent_hash, chain.depth + 1
    FROM chain
    INNER JOIN messages ON messages.hash = chain.hash
    WHERE messages.parent_hash IS NOT NULL AND chain.depth < 100000
)

SELECT messages.hash, messages.parent_hash, messages.role
FROM chain
INNER JOIN messages ON messages.hash = chain.hash
ORDER BY chain.depth DESC;

-- name: parts
SELECT * FROM parts WHERE message_hash = :id ORDER BY position;

-- name: part_attachments
SELECT attachments.id, attachments.type, attachments.path, attachments.url, length(attachments.content) AS size
FROM part_attachments
INNER JOIN attachments ON attachments.id = part_attachments.attachment_id
WHERE part_attachments.part_id = :id
ORDER BY part_attachments."order";

-- name: fragments
SELECT content FROM fragments WHERE id = :id;
