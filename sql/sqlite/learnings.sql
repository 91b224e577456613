-- Learnings: what SQLite needs its own words for.

-- name: add_learning_messages(learning_id, message_ids)!
-- Links a learning to messages of its own conversation.
--   learning_id  text  which learning
--   message_ids  json  a list of distinct message ids
-- Index: learnings_id_key (unique), messages_id_key (one look-up an id)
-- Rows: 0 to the length of message_ids (fewer: one is unknown, or of another conversation)
-- Differs: json_each is SQLite's way to hand a list to one statement; PostgreSQL unnests an array
INSERT INTO learning_messages (learning_id, message_id)
SELECT
    learnings.id,
    messages.id
FROM learnings
CROSS JOIN json_each(:message_ids) AS wanted
CROSS JOIN messages
WHERE
    learnings.id = :learning_id
    AND messages.id = wanted.value
    AND messages.conversation_id = learnings.conversation_id;

-- name: search_learnings(query, max_rows)
-- The learnings that are not deleted and match a text, best first; a title's words weigh five times.
-- The inner query ranks every match without its text; the outer one reads the few that are shown.
--   query  text  in FTS5's syntax, as datastore.engines.match makes it
--   max_rows  integer  1 to 1000
-- Index: learnings_fts (MATCH), the primary key of learnings; sorts by rank
-- Rows: 0 to max_rows
-- Record: LearningHit
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
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
    learnings.deleted_at,
    CAST(-ranked.match_rank AS REAL) AS score
FROM (
    SELECT
        learnings_fts.rowid AS seq,
        bm25(learnings_fts, 5.0, 1.0) AS match_rank
    FROM learnings_fts
    WHERE learnings_fts MATCH :query
    ORDER BY match_rank, learnings_fts.rowid
    LIMIT :max_rows
) AS ranked
CROSS JOIN learnings
WHERE learnings.seq = ranked.seq
ORDER BY ranked.match_rank, ranked.seq;

-- name: search_learnings_with_filters(query, category_from, category_to, min_confidence, max_rows)
-- As search_learnings, of a category and certain enough.
-- The inner query ranks every match without its text; the outer one reads the few that are shown.
--   query  text  in FTS5's syntax, as datastore.engines.match makes it
--   category_from  text  lower bound of category, inclusive: '' for every category
--   category_to  text  upper bound of category, inclusive: the same as category_from for one
--   min_confidence  real  0 to 1, inclusive
--   max_rows  integer  1 to 1000
-- Index: learnings_fts (MATCH), the primary key of learnings; sorts by rank
-- Rows: 0 to max_rows
-- Record: LearningHit
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
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
    learnings.deleted_at,
    CAST(-ranked.match_rank AS REAL) AS score
FROM (
    SELECT
        learnings_fts.rowid AS seq,
        bm25(learnings_fts, 5.0, 1.0) AS match_rank
    FROM learnings_fts
    CROSS JOIN learnings AS matched
    WHERE
        learnings_fts MATCH :query
        AND matched.seq = learnings_fts.rowid
        AND matched.category >= :category_from
        AND matched.category <= :category_to
        AND matched.confidence >= :min_confidence
    ORDER BY match_rank, learnings_fts.rowid
    LIMIT :max_rows
) AS ranked
CROSS JOIN learnings
WHERE learnings.seq = ranked.seq
ORDER BY ranked.match_rank, ranked.seq;

-- name: search_learnings_with_tags(query, category_from, category_to, min_confidence, tags_any, min_tags_any, tags_all, min_tags_all, tags, max_rows)
-- As search_learnings_with_filters, of those that have some, or all, of some tags.
-- The inner query ranks every match without its text; the outer one reads the few that are shown.
--   query  text  in FTS5's syntax, as datastore.engines.match makes it
--   category_from  text  lower bound of category, inclusive: '' for every category
--   category_to  text  upper bound of category, inclusive: the same as category_from for one
--   min_confidence  real  0 to 1, inclusive
--   tags_any  json  a list of distinct tags, of which a learning has some; [] for every learning
--   min_tags_any  integer  how many of tags_any it has at least: 1, or 0 where the list is empty
--   tags_all  json  a list of distinct tags, all of which a learning has; [] for every learning
--   min_tags_all  integer  the length of tags_all
--   tags  json  tags_any and tags_all together, distinct: only what has one of them is looked at
--   max_rows  integer  1 to 1000
-- Index: learnings_fts (MATCH), learning_tags primary key, learnings_id_key, the primary key of learnings; sorts by rank
-- Rows: 0 to max_rows
-- Record: LearningHit
-- Differs: FTS5 and json_each are SQLite's; PostgreSQL has tsvector and arrays
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
    learnings.deleted_at,
    CAST(-ranked.match_rank AS REAL) AS score
FROM (
    SELECT
        learnings_fts.rowid AS seq,
        bm25(learnings_fts, 5.0, 1.0) AS match_rank
    FROM learnings_fts
    WHERE
        learnings_fts MATCH :query
        AND +learnings_fts.rowid IN (
            SELECT tagged.seq
            FROM learning_tags
            CROSS JOIN learnings AS tagged
            WHERE
                learning_tags.tag IN (SELECT value FROM json_each(:tags))
                AND tagged.id = learning_tags.learning_id
                AND tagged.category >= :category_from
                AND tagged.category <= :category_to
                AND tagged.confidence >= :min_confidence
            GROUP BY tagged.seq
            HAVING
                sum(learning_tags.tag IN (SELECT value FROM json_each(:tags_any))) >= :min_tags_any
                AND sum(learning_tags.tag IN (SELECT value FROM json_each(:tags_all))) >= :min_tags_all
        )
    ORDER BY match_rank, learnings_fts.rowid
    LIMIT :max_rows
) AS ranked
CROSS JOIN learnings
WHERE learnings.seq = ranked.seq
ORDER BY ranked.match_rank, ranked.seq;

-- name: search_learnings_by_tag(tag, category_from, category_to, min_confidence, tags_any, min_tags_any, tags_all, min_tags_all, max_rows)
-- A tag's learnings that are not deleted, newest first: a search without text.
-- Any of several tags is one call for each, merged by the caller: nothing is sorted.
--   tag  text  the rarest of the tags that a learning must have
--   category_from  text  lower bound of category, inclusive: '' for every category
--   category_to  text  upper bound of category, inclusive: the same as category_from for one
--   min_confidence  real  0 to 1, inclusive
--   tags_any  json  a list of distinct tags, of which a learning has some; [] for every learning
--   min_tags_any  integer  how many of tags_any it has at least: 1, or 0 where the list is empty
--   tags_all  json  a list of distinct tags, all of which a learning has; [] for every learning
--   min_tags_all  integer  the length of tags_all
--   max_rows  integer  1 to 1000
-- Index: learning_tags primary key (range scan, no sort), learnings_id_key, learning_tags_learning_id_idx
-- Rows: 0 to max_rows
-- Record: Learning
-- Differs: json_each is SQLite's way to hand a list to one statement; PostgreSQL has arrays
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
    AND learnings.id = learning_tags.learning_id
    AND learnings.deleted_at IS NULL
    AND learnings.category >= :category_from
    AND learnings.category <= :category_to
    AND learnings.confidence >= :min_confidence
    AND (
        SELECT count(*)
        FROM learning_tags AS any_tags
        WHERE
            any_tags.learning_id = learnings.id
            AND any_tags.tag IN (SELECT value FROM json_each(:tags_any))
    ) >= :min_tags_any
    AND (
        SELECT count(*)
        FROM learning_tags AS all_tags
        WHERE
            all_tags.learning_id = learnings.id
            AND all_tags.tag IN (SELECT value FROM json_each(:tags_all))
    ) >= :min_tags_all
ORDER BY learning_tags.created_at DESC, learning_tags.learning_id DESC
LIMIT :max_rows;

-- name: search_learnings_by_category(category, min_confidence, tags_any, min_tags_any, tags_all, min_tags_all, max_rows)
-- A category's learnings that are not deleted, newest first: a search without text.
--   category  text  which category
--   min_confidence  real  0 to 1, inclusive
--   tags_any  json  a list of distinct tags, of which a learning has some; [] for every learning
--   min_tags_any  integer  how many of tags_any it has at least: 1, or 0 where the list is empty
--   tags_all  json  a list of distinct tags, all of which a learning has; [] for every learning
--   min_tags_all  integer  the length of tags_all
--   max_rows  integer  1 to 1000
-- Index: learnings_category_created_at_id_idx (range scan, no sort), learning_tags_learning_id_idx
-- Rows: 0 to max_rows
-- Record: Learning
-- Differs: json_each is SQLite's way to hand a list to one statement; PostgreSQL has arrays
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
    category = :category
    AND deleted_at IS NULL
    AND confidence >= :min_confidence
    AND (
        SELECT count(*)
        FROM learning_tags AS any_tags
        WHERE
            any_tags.learning_id = learnings.id
            AND any_tags.tag IN (SELECT value FROM json_each(:tags_any))
    ) >= :min_tags_any
    AND (
        SELECT count(*)
        FROM learning_tags AS all_tags
        WHERE
            all_tags.learning_id = learnings.id
            AND all_tags.tag IN (SELECT value FROM json_each(:tags_all))
    ) >= :min_tags_all
ORDER BY created_at DESC, id DESC
LIMIT :max_rows;
