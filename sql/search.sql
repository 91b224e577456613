-- Search: statements that the full-text indexes of learnings and messages share. Portable: every statement runs unchanged on
-- every engine. The application computes the contents of the indexes (datastore/search/analysis.py); no statement analyzes text.

-- name: get_search_setting(name)$
-- A setting of the full-text indexes.
--   name  text  "language"; English if there is no row
-- Index: search_settings primary key
-- Rows: 0 or 1
SELECT value
FROM search_settings
WHERE name = :name;

-- name: set_search_setting(name, value)!
-- Changes a setting of the full-text indexes, which must be rebuilt in the same transaction.
--   name  text  language
--   value  text  a Snowball algorithm's name
-- Index: none (an insert)
-- Rows: 1
INSERT INTO search_settings (name, value)
VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: get_conversation_facets(conversation_id)^
-- What the rows of a conversation are found by in addition to their own columns, and the language of the index.
--   conversation_id  text  id of the conversation
-- Index: conversations_id_key (unique), search_settings primary key
-- Rows: 0 or 1 (0: not found, or deleted: its rows are not indexed)
SELECT
    conversations.session_id,
    conversations.source,
    (SELECT search_settings.value FROM search_settings WHERE search_settings.name = 'language') AS language
FROM conversations
WHERE
    conversations.id = :conversation_id
    AND conversations.deleted_at IS NULL;

-- name: get_last_learning_seq()$
-- The greatest row number of a learning; 0 if there are none.
-- Index: none (the end of the primary key)
-- Rows: 1
SELECT CAST(coalesce(max(seq), 0) AS BIGINT) AS last_seq
FROM learnings;

-- name: get_last_message_seq()$
-- The greatest row number of a message; 0 if there are none.
-- Index: none (the end of the primary key)
-- Rows: 1
SELECT CAST(coalesce(max(seq), 0) AS BIGINT) AS last_seq
FROM messages;
