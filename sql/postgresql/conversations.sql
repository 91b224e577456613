-- Conversations: what PostgreSQL needs its own words for.

-- name: merge_conversation_metadata(id, patch, now)^
-- Merges an object into the metadata: RFC 7396, so a null removes its key.
--   id  text  which one
--   patch  json  an object
--   now  timestamp  the instant of the transaction
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1
-- Record: Conversation
-- Differs: json_patch is SQLite's; datastore_json_patch (migrations/postgresql/0001) does the same
UPDATE conversations
SET
    metadata = datastore_json_patch(metadata, CAST(:patch AS JSON)),
    updated_at = :now
WHERE id = :id
RETURNING
    id,
    session_id,
    correlation_id,
    source,
    title,
    sanitization_version,
    metadata,
    message_count,
    last_position,
    created_at,
    updated_at,
    completed_at,
    deleted_at;
