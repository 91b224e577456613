-- Messages: statements specific to SQLite.

-- name: append_message(id, conversation_id, branch, role, content, content_hash, token_count, parts, metadata, created_at, source_id, words, facets, language)^
-- Appends a message to a branch, which assigns its position, and indexes it. Returns only its place: the caller has the rest,
-- so that its text is not copied.
--   id  text  the caller's own, or a time-ordered UUID; 1 to 200 characters
--   conversation_id  text  a conversation that is not deleted
--   branch  integer?  which branch; NULL: the active one
--   role  text  user, assistant, system or tool
--   content  text  sanitized text, 1 byte to 1 MiB of UTF-8; may be '' with parts
--   content_hash  text  SHA-256, lower-case hex
--   token_count  integer  0 or more
--   parts  json?  a list, at most 1 MiB; NULL for plain text
--   metadata  json  an object, at most 1 MiB
--   created_at  timestamp  when it was said
--   source_id  text?  the id that it has where it was imported from
--   words  words  its tokens and forms
--   facets  text  the tokens that a search filters by, without those of the conversation
--   language  text  language of the words
-- Index: conversations_id_key (unique), search_settings primary key, branches primary key
-- Rows: 0 or 1 (0: conversation or branch not found, deleted, or the index has another language)
-- Returns: branch integer, position integer
-- Differs: SQLite has one writer at a time, PostgreSQL locks the conversation; the trigger of the view writes message and words
-- Locks: appends to one conversation wait for each other, so that no position is used twice
INSERT INTO new_messages (
    id,
    conversation_id,
    branch,
    position,
    role,
    content,
    content_hash,
    token_count,
    parts,
    metadata,
    created_at,
    source_id,
    words,
    facets
)
SELECT
    :id,
    conversations.id,
    coalesce(:branch, conversations.active_branch),
    CASE coalesce(:branch, conversations.active_branch)
        WHEN 0 THEN conversations.last_position
        ELSE (
            SELECT branches.last_position
            FROM branches
            WHERE
                branches.conversation_id = conversations.id
                AND branches.branch = coalesce(:branch, conversations.active_branch)
        )
    END + 1,
    :role,
    :content,
    :content_hash,
    :token_count,
    :parts,
    :metadata,
    :created_at,
    :source_id,
    :words,
    :facets || ' o:' || lower(hex(conversations.source))
    || CASE WHEN conversations.session_id IS NULL THEN '' ELSE ' s:' || lower(hex(conversations.session_id)) END
FROM conversations
WHERE
    conversations.id = :conversation_id
    AND conversations.deleted_at IS NULL
    AND (
        coalesce(:branch, 0) = 0
        OR EXISTS (SELECT 1 FROM branches WHERE branches.conversation_id = :conversation_id AND branches.branch = coalesce(:branch, 0))
    )
    AND coalesce((SELECT search_settings.value FROM search_settings WHERE search_settings.name = 'language'), 'english') = :language
RETURNING
    branch,
    position;

-- name: append_messages(conversation_id, branch, rows)
-- Appends several messages to a branch, in their order.
--   conversation_id  text  a conversation that is not deleted
--   branch  integer?  which branch; NULL: the active one
--   rows  rows  a list of [id, role, content, content_hash, token_count, parts, metadata, created_at, source_id, partial]
-- Index: conversations_id_key (unique), branches primary key
-- Rows: 0 to the length of rows (0: conversation or branch not found, or deleted); in any order
-- Record: Message
-- Differs: SQLite passes a list as JSON to json_each; PostgreSQL unnests an array
-- Locks: appends to one conversation wait for each other, so that no position is used twice
INSERT INTO messages (
    id,
    conversation_id,
    branch,
    position,
    role,
    content,
    content_hash,
    token_count,
    parts,
    metadata,
    created_at,
    source_id,
    partial
)
SELECT
    json_extract(new_message.value, '$[0]'),
    conversations.id,
    coalesce(:branch, conversations.active_branch),
    CASE coalesce(:branch, conversations.active_branch)
        WHEN 0 THEN conversations.last_position
        ELSE (
            SELECT branches.last_position
            FROM branches
            WHERE
                branches.conversation_id = conversations.id
                AND branches.branch = coalesce(:branch, conversations.active_branch)
        )
    END + 1 + new_message.key,
    json_extract(new_message.value, '$[1]'),
    json_extract(new_message.value, '$[2]'),
    json_extract(new_message.value, '$[3]'),
    json_extract(new_message.value, '$[4]'),
    json_extract(new_message.value, '$[5]'),
    json_extract(new_message.value, '$[6]'),
    json_extract(new_message.value, '$[7]'),
    json_extract(new_message.value, '$[8]'),
    json_extract(new_message.value, '$[9]')
FROM conversations
CROSS JOIN json_each(:rows) AS new_message
WHERE
    conversations.id = :conversation_id
    AND conversations.deleted_at IS NULL
    AND (
        coalesce(:branch, 0) = 0
        OR EXISTS (SELECT 1 FROM branches WHERE branches.conversation_id = :conversation_id AND branches.branch = coalesce(:branch, 0))
    )
RETURNING
    id,
    conversation_id,
    branch,
    position,
    role,
    content,
    content_hash,
    token_count,
    parts,
    metadata,
    created_at,
    source_id,
    partial;

-- name: merge_messages_fts()!
-- Merges the segments of the full-text index into one, which is smaller and faster.
-- Index: none (reads the whole index)
-- Rows: 0 or 1, without meaning
-- Differs: FTS5 is specific to SQLite, and takes its commands as rows
-- Locks: the write lock, for about 10 s per million rows
INSERT INTO messages_fts (messages_fts) VALUES ('optimize');
