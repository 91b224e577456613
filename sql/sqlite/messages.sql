-- Messages: what SQLite needs its own words for.

-- name: append_messages(conversation_id, rows)
-- Appends many messages at the end of a conversation, in their order.
--   conversation_id  text  a conversation that is not deleted
--   rows  json  a list of [id, role, content, content_hash, token_count, metadata, created_at]
-- Index: conversations_id_key (unique)
-- Rows: 0 to the length of rows (0: there is no such conversation, or it is deleted); in any order
-- Record: Message
-- Differs: json_each is SQLite's way to hand a list to one statement; PostgreSQL unnests an array
-- Locks: two appenders to one conversation wait for each other, so that positions are never shared
INSERT INTO messages (
    id,
    conversation_id,
    position,
    role,
    content,
    content_hash,
    token_count,
    metadata,
    created_at
)
SELECT
    json_extract(new_message.value, '$[0]'),
    conversations.id,
    conversations.last_position + 1 + new_message.key,
    json_extract(new_message.value, '$[1]'),
    json_extract(new_message.value, '$[2]'),
    json_extract(new_message.value, '$[3]'),
    json_extract(new_message.value, '$[4]'),
    json_extract(new_message.value, '$[5]'),
    json_extract(new_message.value, '$[6]')
FROM conversations
CROSS JOIN json_each(:rows) AS new_message
WHERE
    conversations.id = :conversation_id
    AND conversations.deleted_at IS NULL
RETURNING
    id,
    conversation_id,
    position,
    role,
    content,
    content_hash,
    token_count,
    metadata,
    created_at;
