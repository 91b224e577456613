-- Learnings. Portable: every statement runs unchanged on every engine.

-- name: add_learning(id, conversation_id, category, title, content, confidence, tags, dedupe_key, metadata, created_at, updated_at)^
-- Stores a learning, unless its conversation already has one with the same dedupe_key.
--   id  text  supplied by the caller, or a time-ordered UUID; 1 to 200 characters
--   conversation_id  text  a conversation that is not deleted
--   category  text  1 to 200 characters
--   title  text  1 to 1000 characters
--   content  text  1 byte to 1 MiB of UTF-8
--   confidence  real  0 (a guess) to 1 (certain)
--   tags  json  a list of distinct strings, sorted
--   dedupe_key  text  two learnings of a conversation with the same key are the same learning; 1 to 200 characters
--   metadata  json  an object, at most 1 MiB
--   created_at  timestamp  when the learning was made
--   updated_at  timestamp  when it was last changed
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1 (0: the conversation is not found or is deleted, or the learning exists: find_learning_by_dedupe_key returns it)
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
-- The learning of a conversation that has a dedupe key, deleted or not.
--   conversation_id  text  id of the conversation
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
--   id  text  id of the learning
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
--   category  text  only in this category
--   created_from  timestamp  lower bound of created_at, inclusive
--   before_created_at  timestamp  rows older than (before_created_at, before_id); for the first page, the end of the time range
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
-- One page of the learnings that have a tag and are not deleted, newest first.
--   tag  text  the tag
--   category  text  only in this category
--   created_from  timestamp  lower bound of created_at, inclusive
--   before_created_at  timestamp  rows older than (before_created_at, before_id); for the first page, the end of the time range
--   before_id  text  '' for the first page
--   max_rows  integer  1 to 1001
-- Index: learning_tags primary key (range scan, no sort), learnings_id_key (one lookup per row)
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
-- The category is compared by BETWEEN, so that the planner does not choose the index on the category, which has more rows per
-- value than a conversation.
--   conversation_id  text  id of the conversation
--   category  text  only in this category
--   tag  text  only with this tag
--   created_from  timestamp  lower bound of created_at, inclusive
--   before_created_at  timestamp  rows older than (before_created_at, before_id); for the first page, the end of the time range
--   before_id  text  '' for the first page
--   max_rows  integer  1 to 1001
-- Index: learnings_conversation_id_created_at_id_idx (range scan, no sort)
--   with tag: learnings_conversation_id_created_at_id_idx (range scan, no sort), learning_tags primary key or
--     learning_tags_learning_id_idx (one lookup per row)
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

-- name: list_learning_messages(learning_id, after_position, after_id, max_rows)
-- The messages that a learning came from, oldest first.
--   learning_id  text  id of the learning
--   after_position  integer  rows after (after_position, after_id); 0 for the first page
--   after_id  text  '' for the first page
--   max_rows  integer  1 to 1000
-- Index: learning_messages primary key (range scan), messages_id_key; sorts a learning's messages
-- Rows: 0 to max_rows
-- Record: Message
SELECT
    messages.id,
    messages.conversation_id,
    messages.branch,
    messages.position,
    messages.role,
    messages.content,
    messages.content_hash,
    messages.token_count,
    messages.parts,
    messages.metadata,
    messages.created_at,
    messages.source_id,
    messages.partial
FROM learning_messages
CROSS JOIN messages
WHERE
    learning_messages.learning_id = :learning_id
    AND messages.id = learning_messages.message_id
    AND (messages.position, messages.id) > (:after_position, :after_id)
ORDER BY messages.position, messages.id
LIMIT :max_rows;

-- name: count_learnings(category, created_from, created_before)$
-- The number of learnings that are not deleted.
--   category  text  only in this category
--   created_from  timestamp  lower bound of created_at, inclusive
--   created_before  timestamp  upper bound of created_at, exclusive
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
-- The number of learnings with a tag that are not deleted.
--   tag  text  the tag
--   category  text  only in this category
--   created_from  timestamp  lower bound of created_at, inclusive
--   created_before  timestamp  upper bound of created_at, exclusive
-- Index: learning_tags primary key (range scan), learnings_id_key (one lookup per row)
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
-- The number of learnings of a conversation that are not deleted. list_learnings_by_conversation explains BETWEEN.
--   conversation_id  text  id of the conversation
--   category  text  only in this category
--   tag  text  only with this tag
--   created_from  timestamp  lower bound of created_at, inclusive
--   created_before  timestamp  upper bound of created_at, exclusive
-- Index: learnings_conversation_id_created_at_id_idx (range scan)
--   with tag: learnings_conversation_id_created_at_id_idx (range scan), learning_tags primary key or
--     learning_tags_learning_id_idx (one lookup per row)
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
-- The number of uploads that would be deleted with a learning.
--   learning_id  text  id of the learning
-- Index: uploads_learning_id_destination_key (range scan)
-- Rows: 1
SELECT count(*) AS upload_count
FROM uploads
WHERE learning_id = :learning_id;

-- name: list_category_counts(max_rows)
-- The categories of the learnings that are not deleted, the most frequent first.
--   max_rows  integer  1 to 1000
-- Index: learnings_category_created_at_id_idx (full scan); sorts one row per category
-- Rows: 0 to max_rows
-- Allow: full-scan, a report; it reads only the index
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
-- Index: learning_tags primary key (full scan in its order); sorts one row per tag
-- Rows: 0 to max_rows
-- Allow: full-scan, a report; it reads one narrow table, which has only learnings that are not deleted
SELECT
    tag,
    count(*) AS learning_count
FROM learning_tags
GROUP BY tag
ORDER BY count(*) DESC, tag
LIMIT :max_rows;

-- name: update_learning(id, category, title, content, confidence, tags, metadata, now)^
-- Replaces the content of a learning; its dedupe key does not change.
--   id  text  id of the learning
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
-- Deletes a learning permanently, with its tags, its links to messages and its uploads.
--   id  text  id of the learning
-- Index: learnings_id_key (unique)
-- Rows: 0 or 1, and by cascade everything that belongs to it
DELETE FROM learnings
WHERE id = :id;
