-- Learnings. Portable: each statement runs as it stands on every engine.

-- name: add_learning(id, conversation_id, category, title, content, confidence, tags, dedupe_key, metadata, created_at, updated_at)^
-- Stores a learning, unless its conversation has the same one already.
--   id  text  the caller's own, or a time-ordered UUID; 1 to 200 characters
--   conversation_id  text  a conversation that is not deleted
--   category  text  1 to 200 characters
--   title  text  1 to 1000 characters
--   content  text  1 byte to 1 MiB of UTF-8
--   confidence  real  0 (a guess) to 1 (certain)
--   tags  json  a list of distinct strings, sorted
--   dedupe_key  text  what makes two learnings of the conversation the same one; 1 to 200 characters
--   metadata  json  an object, at most 1 MiB
--   created_at  timestamp  when it was learned
--   updated_at  timestamp  its last change
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1 (0: no such conversation, or it is deleted, or find_learning_by_dedupe_key gives the first one)
-- Record: Learning
INSERT INTO learnings (
    id,
    conversation_id,
    category,
    title,
    content,
    confidence,
    tags,
    dedupe_key,
    metadata,
    created_at,
    updated_at
)
SELECT
    :id,
    conversations.id,
    :category,
    :title,
    :content,
    :confidence,
    :tags,
    :dedupe_key,
    :metadata,
    :created_at,
    :updated_at
FROM conversations
WHERE
    conversations.id = :conversation_id
    AND conversations.deleted_at IS NULL
ON CONFLICT (conversation_id, dedupe_key) DO NOTHING
RETURNING
    id,
    conversation_id,
    category,
    title,
    content,
    confidence,
    tags,
    dedupe_key,
    metadata,
    created_at,
    updated_at,
    deleted_at;

-- name: find_learning_by_dedupe_key(conversation_id, dedupe_key)^
-- The learning of a conversation that has this dedupe key, deleted or not.
--   conversation_id  text  which conversation
--   dedupe_key  text  the key
-- Index: learnings_conversation_id_dedupe_key_key (unique)
-- Rows: 0 or 1
-- Record: Learning
SELECT
    id,
    conversation_id,
    category,
    title,
    content,
    confidence,
    tags,
    dedupe_key,
    metadata,
    created_at,
    updated_at,
    deleted_at
FROM learnings
WHERE
    conversation_id = :conversation_id
    AND dedupe_key = :dedupe_key;

-- name: get_learning(id)^
-- One learning, deleted or not.
--   id  text  which one
-- Index: learnings_id_key (unique)
-- Rows: 0 or 1
-- Record: Learning
SELECT
    id,
    conversation_id,
    category,
    title,
    content,
    confidence,
    tags,
    dedupe_key,
    metadata,
    created_at,
    updated_at,
    deleted_at
FROM learnings
WHERE id = :id;

-- name: list_learnings(category, created_from, before_created_at, before_id, max_rows)
-- One page of the learnings that are not deleted, newest first.
--   category  text  only of this category
--   created_from  timestamp  the earliest created_at, inclusive
--   before_created_at  timestamp  rows older than (before_created_at, before_id); first the end of the time range
--   before_id  text  '' for the first page
--   max_rows  integer  1 to 1001
-- Index: learnings_created_at_id_idx (range scan, no sort)
--   with category: learnings_category_created_at_id_idx (range scan, no sort)
-- Rows: 0 to max_rows
-- Record: Learning
SELECT
    id,
    conversation_id,
    category,
    title,
    content,
    confidence,
    tags,
    dedupe_key,
    metadata,
    created_at,
    updated_at,
    deleted_at
FROM learnings
WHERE
    deleted_at IS NULL
    AND category = :category -- if: category
    AND created_at >= :created_from
    AND (created_at, id) < (:before_created_at, :before_id)
ORDER BY created_at DESC, id DESC
LIMIT :max_rows;

-- name: list_learnings_by_tag(tag, category, created_from, before_created_at, before_id, max_rows)
-- One page of a tag's learnings that are not deleted, newest first.
--   tag  text  which tag
--   category  text  only of this category
--   created_from  timestamp  the earliest created_at, inclusive
--   before_created_at  timestamp  rows older than (before_created_at, before_id); first the end of the time range
--   before_id  text  '' for the first page
--   max_rows  integer  1 to 1001
-- Index: learning_tags primary key (range scan, no sort), learnings_id_key (one look-up a row)
-- Rows: 0 to max_rows
-- Record: Learning
SELECT
    learnings.id,
    learnings.conversation_id,
    learnings.category,
    learnings.title,
    learnings.content,
    learnings.confidence,
    learnings.tags,
    learnings.dedupe_key,
    learnings.metadata,
    learnings.created_at,
    learnings.updated_at,
    learnings.deleted_at
FROM learning_tags
CROSS JOIN learnings
WHERE
    learning_tags.tag = :tag
    AND learning_tags.created_at >= :created_from
    AND (learning_tags.created_at, learning_tags.learning_id) < (:before_created_at, :before_id)
    AND learnings.id = learning_tags.learning_id
    AND learnings.deleted_at IS NULL
    AND learnings.category = :category -- if: category
ORDER BY learning_tags.created_at DESC, learning_tags.learning_id DESC
LIMIT :max_rows;

-- name: list_learnings_by_conversation(conversation_id, category, tag, created_from, before_created_at, before_id, max_rows)
-- One page of a conversation's learnings that are not deleted, newest first.
-- BETWEEN, not =: an index on the category, which has more rows than a conversation, shall not tempt the planner.
--   conversation_id  text  which conversation
--   category  text  only of this category
--   tag  text  only with this tag
--   created_from  timestamp  the earliest created_at, inclusive
--   before_created_at  timestamp  rows older than (before_created_at, before_id); first the end of the time range
--   before_id  text  '' for the first page
--   max_rows  integer  1 to 1001
-- Index: learnings_conversation_id_created_at_id_idx (range scan, no sort)
--   with tag: learnings_conversation_id_created_at_id_idx (range scan, no sort), learning_tags primary key or
--     learning_tags_learning_id_idx (one look-up a row)
-- Rows: 0 to max_rows
-- Record: Learning
SELECT
    id,
    conversation_id,
    category,
    title,
    content,
    confidence,
    tags,
    dedupe_key,
    metadata,
    created_at,
    updated_at,
    deleted_at
FROM learnings
WHERE
    conversation_id = :conversation_id
    AND deleted_at IS NULL
    AND category BETWEEN :category AND :category -- if: category
    AND EXISTS ( -- if: tag
        SELECT 1 -- if: tag
        FROM learning_tags -- if: tag
        WHERE -- if: tag
            learning_tags.learning_id = learnings.id -- if: tag
            AND learning_tags.tag = :tag -- if: tag
    ) -- if: tag
    AND created_at >= :created_from
    AND (created_at, id) < (:before_created_at, :before_id)
ORDER BY created_at DESC, id DESC
LIMIT :max_rows;

-- name: list_learning_messages(learning_id, after_position, max_rows)
-- The messages that a learning came from, oldest first.
--   learning_id  text  which learning
--   after_position  integer  0 for the first page, then the last position returned
--   max_rows  integer  1 to 1000
-- Index: learning_messages primary key (range scan), messages_id_key; sorts a learning's messages
-- Rows: 0 to max_rows
-- Record: Message
SELECT
    messages.id,
    messages.conversation_id,
    messages.position,
    messages.role,
    messages.content,
    messages.content_hash,
    messages.token_count,
    messages.metadata,
    messages.created_at
FROM learning_messages
CROSS JOIN messages
WHERE
    learning_messages.learning_id = :learning_id
    AND messages.id = learning_messages.message_id
    AND messages.position > :after_position
ORDER BY messages.position, messages.id
LIMIT :max_rows;

-- name: count_learnings(category, created_from, created_before)$
-- How many learnings are not deleted.
--   category  text  only of this category
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
-- Index: learnings_created_at_id_idx (range scan)
--   with category: learnings_category_created_at_id_idx (range scan)
-- Rows: 1
SELECT count(*) AS learning_count
FROM learnings
WHERE
    deleted_at IS NULL
    AND category = :category -- if: category
    AND created_at >= :created_from
    AND created_at < :created_before;

-- name: count_learnings_by_tag(tag, category, created_from, created_before)$
-- How many learnings with a tag are not deleted.
--   tag  text  which tag
--   category  text  only of this category
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
-- Index: learning_tags primary key (range scan), learnings_id_key (one look-up a row)
-- Rows: 1
SELECT count(*) AS learning_count
FROM learning_tags
CROSS JOIN learnings
WHERE
    learning_tags.tag = :tag
    AND learning_tags.created_at >= :created_from
    AND learning_tags.created_at < :created_before
    AND learnings.id = learning_tags.learning_id
    AND learnings.category = :category -- if: category
    AND learnings.deleted_at IS NULL;

-- name: count_learnings_by_conversation(conversation_id, category, tag, created_from, created_before)$
-- How many learnings of a conversation are not deleted. BETWEEN, not =: as in list_learnings_by_conversation.
--   conversation_id  text  which conversation
--   category  text  only of this category
--   tag  text  only with this tag
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
-- Index: learnings_conversation_id_created_at_id_idx (range scan)
--   with tag: learnings_conversation_id_created_at_id_idx (range scan), learning_tags primary key or
--     learning_tags_learning_id_idx (one look-up a row)
-- Rows: 1
SELECT count(*) AS learning_count
FROM learnings
WHERE
    conversation_id = :conversation_id
    AND deleted_at IS NULL
    AND category BETWEEN :category AND :category -- if: category
    AND EXISTS ( -- if: tag
        SELECT 1 -- if: tag
        FROM learning_tags -- if: tag
        WHERE -- if: tag
            learning_tags.learning_id = learnings.id -- if: tag
            AND learning_tags.tag = :tag -- if: tag
    ) -- if: tag
    AND created_at >= :created_from
    AND created_at < :created_before;

-- name: count_learning_uploads(learning_id)$
-- How many uploads go when a learning is deleted.
--   learning_id  text  which learning
-- Index: uploads_learning_id_destination_key (range scan)
-- Rows: 1
SELECT count(*) AS upload_count
FROM uploads
WHERE learning_id = :learning_id;

-- name: list_category_counts(max_rows)
-- The categories of the learnings that are not deleted, the most frequent first.
--   max_rows  integer  1 to 1000
-- Index: learnings_category_created_at_id_idx (read as a whole); sorts one row a category
-- Rows: 0 to max_rows
-- Allow: full-scan, a report; it reads the index only
SELECT
    category,
    count(*) AS learning_count
FROM learnings
WHERE deleted_at IS NULL
GROUP BY category
ORDER BY count(*) DESC, category
LIMIT :max_rows;

-- name: list_tag_counts(max_rows)
-- The tags of the learnings that are not deleted, the most frequent first.
--   max_rows  integer  1 to 1000
-- Index: learning_tags primary key (read as a whole, in its order); sorts one row a tag
-- Rows: 0 to max_rows
-- Allow: full-scan, a report; it reads one narrow table, which has the shown learnings only
SELECT
    tag,
    count(*) AS learning_count
FROM learning_tags
GROUP BY tag
ORDER BY count(*) DESC, tag
LIMIT :max_rows;

-- name: update_learning(id, category, title, content, confidence, tags, metadata, now)^
-- Replaces what a learning says; its dedupe key stays that of what was first learned.
--   id  text  which one
--   category  text  1 to 200 characters
--   title  text  1 to 1000 characters
--   content  text  1 byte to 1 MiB of UTF-8
--   confidence  real  0 (a guess) to 1 (certain)
--   tags  json  a list of distinct strings, sorted
--   metadata  json  an object, at most 1 MiB
--   now  timestamp  the instant of the transaction
-- Index: learnings_id_key (unique)
-- Rows: 0 or 1
-- Record: Learning
UPDATE learnings
SET
    category = :category,
    title = :title,
    content = :content,
    confidence = :confidence,
    tags = :tags,
    metadata = :metadata,
    updated_at = :now
WHERE id = :id
RETURNING
    id,
    conversation_id,
    category,
    title,
    content,
    confidence,
    tags,
    dedupe_key,
    metadata,
    created_at,
    updated_at,
    deleted_at;

-- name: delete_learning(id)!
-- Deletes a learning for good, with its tags, its links to messages and its uploads.
--   id  text  which one
-- Index: learnings_id_key (unique)
-- Rows: 0 or 1, and by cascade everything that belongs to it
DELETE FROM learnings
WHERE id = :id;
