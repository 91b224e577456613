-- Search: what the full-text indexes of learnings and messages share. Portable: each statement runs as it stands on
-- every engine. The application writes what the indexes hold (datastore/search/analysis.py); no statement takes a text apart.

-- name: get_search_setting(name)$
-- A setting of the full-text indexes.
--   name  text  language: of which the words are; no row is English
-- Index: search_settings primary key
-- Rows: 0 or 1
SELECT value
FROM search_settings
WHERE name = :name;

-- name: set_search_setting(name, value)!
-- Changes a setting of the full-text indexes, which are filled again in the same transaction.
--   name  text  language
--   value  text  a Snowball algorithm's name
-- Index: none (an insert)
-- Rows: 1
INSERT INTO search_settings (name, value)
VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: get_conversation_facets(conversation_id)^
-- What the rows of a conversation are found by besides their own columns, and of which language the words are.
--   conversation_id  text  which conversation
-- Index: conversations_id_key (unique), search_settings primary key
-- Rows: 0 or 1 (0: there is no such conversation, or it is deleted: its rows are not in the index)
SELECT
    conversations.session_id,
    conversations.source,
    (SELECT search_settings.value FROM search_settings WHERE search_settings.name = 'language') AS language
FROM conversations
WHERE
    conversations.id = :conversation_id
    AND conversations.deleted_at IS NULL;

-- name: get_last_learning_seq()$
-- The greatest number of a learning; 0 where there is none.
-- Index: none (the end of the primary key)
-- Rows: 1
SELECT CAST(coalesce(max(seq), 0) AS BIGINT) AS last_seq
FROM learnings;

-- name: get_last_message_seq()$
-- The greatest number of a message; 0 where there is none.
-- Index: none (the end of the primary key)
-- Rows: 1
SELECT CAST(coalesce(max(seq), 0) AS BIGINT) AS last_seq
FROM messages;
