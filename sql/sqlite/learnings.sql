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

-- name: add_learnings(rows)
-- Stores many learnings in their order, but for those that their conversations have already.
--   rows  rows  a list of [id, conversation_id, category, title, content, confidence, tags, dedupe_key, metadata, created_at, updated_at]
-- Index: conversations_id_key (unique)
-- Rows: 0 to the length of rows (fewer: as add_learning), in any order
-- Record: Learning
-- Differs: json_each is SQLite's way to hand a list to one statement; PostgreSQL unnests an array
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
    json_extract(new_learning.value, '$[0]'),
    conversations.id,
    json_extract(new_learning.value, '$[2]'),
    json_extract(new_learning.value, '$[3]'),
    json_extract(new_learning.value, '$[4]'),
    json_extract(new_learning.value, '$[5]'),
    json_extract(new_learning.value, '$[6]'),
    json_extract(new_learning.value, '$[7]'),
    json_extract(new_learning.value, '$[8]'),
    json_extract(new_learning.value, '$[9]'),
    json_extract(new_learning.value, '$[10]')
FROM json_each(:rows) AS new_learning
CROSS JOIN conversations
WHERE
    conversations.id = json_extract(new_learning.value, '$[1]')
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

-- name: count_learning_matches(query, max_rows)$
-- How many rows of the full-text index match, counted no further than needed: what is rare decides how to search.
--   query  text  in FTS5's syntax, as datastore.engines.match makes it
--   max_rows  integer  stops counting here
-- Index: learnings_fts (MATCH)
-- Rows: 1
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
SELECT count(*) AS match_count
FROM (
    SELECT learnings_fts.rowid
    FROM learnings_fts
    WHERE learnings_fts MATCH :query
    ORDER BY learnings_fts.rowid
    LIMIT :max_rows
) AS matched;

-- name: count_learning_matches_between(query, from_seq, to_seq)$
-- How many rows of a part of the full-text index match: a sample for a word that is in very many.
--   query  text  in FTS5's syntax, as datastore.engines.match makes it
--   from_seq  integer  the first row, inclusive
--   to_seq  integer  the last row, inclusive
-- Index: learnings_fts (MATCH, a range of rows)
-- Rows: 1
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
SELECT count(*) AS match_count
FROM learnings_fts
WHERE
    learnings_fts MATCH :query
    AND learnings_fts.rowid BETWEEN :from_seq AND :to_seq;

-- name: rank_learnings(query, max_rows)
-- The rows that match, best first; a title's words weigh five times. Counts each term to its end, so terms are not common.
--   query  text  in FTS5's syntax, as datastore.engines.match makes it
--   max_rows  integer  as many as may match, so that what comes behind a page is known
-- Index: learnings_fts (MATCH); sorts by rank
-- Rows: 0 to max_rows
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
SELECT
    learnings_fts.rowid AS seq,
    CAST(-bm25(learnings_fts, 1.0, 5.0, 0.0) AS REAL) AS score
FROM learnings_fts
WHERE learnings_fts MATCH :query
ORDER BY bm25(learnings_fts, 1.0, 5.0, 0.0), learnings_fts.rowid
LIMIT :max_rows;

-- name: list_learning_matches(query, max_rows)
-- Some rows that match, unranked: the first ones stored.
--   query  text  in FTS5's syntax, as datastore.engines.match makes it
--   max_rows  integer  1 to 5000
-- Index: learnings_fts (MATCH, in its order, no sort)
-- Rows: 0 to max_rows
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
SELECT learnings_fts.rowid AS seq
FROM learnings_fts
WHERE learnings_fts MATCH :query
ORDER BY learnings_fts.rowid
LIMIT :max_rows;

-- name: list_learning_matches_before(query, before_seq, max_rows)
-- The rows that match, the last stored first.
--   query  text  in FTS5's syntax, as datastore.engines.match makes it
--   before_seq  integer  only rows before this one; 2^62 for the first page
--   max_rows  integer  1 to 5000
-- Index: learnings_fts (MATCH, backwards, no sort)
-- Rows: 0 to max_rows
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
SELECT learnings_fts.rowid AS seq
FROM learnings_fts
WHERE
    learnings_fts MATCH :query
    AND learnings_fts.rowid < :before_seq
ORDER BY learnings_fts.rowid DESC
LIMIT :max_rows;

-- name: get_learning_index_totals()^
-- What the index knows of itself: varints, the number of rows, then the number of words in each column.
-- Index: learnings_fts_data primary key
-- Rows: 1
-- Differs: FTS5 keeps its totals in a row of its own (id 1); bm25() reads the same one
SELECT CAST(coalesce(max(block), x'') AS BLOB) AS totals
FROM learnings_fts_data
WHERE id = 1;

-- name: list_learning_terms_like(prefix_from, prefix_to, max_rows)
-- Words of the index between two bounds, and in how many rows each is: what a misspelt word may have meant.
--   prefix_from  text  the lower bound, inclusive
--   prefix_to  text  the upper bound, exclusive
--   max_rows  integer  1 to 5000
-- Index: learnings_terms (a range of the index's own words)
-- Rows: 0 to max_rows
-- Differs: FTS5 is SQLite's; PostgreSQL has ts_stat and pg_trgm
-- Allow: limit-order, the index has each word once
SELECT
    CAST(learnings_terms.term AS TEXT) AS term,
    CAST(learnings_terms.doc AS INTEGER) AS row_count
FROM learnings_terms
WHERE
    learnings_terms.term >= :prefix_from
    AND learnings_terms.term < :prefix_to
ORDER BY learnings_terms.term
LIMIT :max_rows;

-- name: list_learning_texts(seqs)
-- The texts of some learnings (8,000 characters of each), and how many words the index counts in each column: what their rank is made of.
--   seqs  json  a list of rows' numbers
-- Index: learnings primary key, learnings_fts_docsize (one look-up each a row)
-- Rows: 0 to the length of seqs
-- Differs: json_each is SQLite's way to hand a list to one statement; the sizes are FTS5's own
-- Allow: max-rows, seqs is the bound
SELECT
    learnings.seq,
    CAST(
        CASE
            WHEN length(CAST(learnings.content AS BLOB)) <= 8000 THEN learnings.content
            ELSE coalesce(substr(learnings.content, 1, 8000), '')
        END AS TEXT
    ) AS content,
    learnings.title,
    CAST(learnings_fts_docsize.sz AS BLOB) AS sizes
FROM json_each(:seqs) AS wanted
CROSS JOIN learnings
CROSS JOIN learnings_fts_docsize
WHERE
    learnings.seq = wanted.value
    AND learnings_fts_docsize.id = learnings.seq;

-- name: list_found_learnings(seqs, category, source, min_confidence, created_from, created_before, tags_any, min_tags_any, tags_all, min_tags_all, max_rows)
-- Those of some rows that are not deleted and pass every filter, in the order of the list.
--   seqs  json  a list of rows' numbers, best first
--   category  text  only of this category
--   source  text  only from conversations of this source
--   min_confidence  real  0 to 1, inclusive
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
--   tags_any  json  a list of distinct tags, of which a learning has some; [] for every learning
--   min_tags_any  integer  how many of tags_any it has at least: 1, or 0 where the list is empty
--   tags_all  json  a list of distinct tags, all of which a learning has; [] for every learning
--   min_tags_all  integer  the length of tags_all
--   max_rows  integer  1 to 1001
-- Index: learnings primary key, learning_tags_learning_id_idx; sorts max_rows
--   with source: learnings primary key, conversations_id_key, learning_tags_learning_id_idx; sorts max_rows
-- Rows: 0 to max_rows
-- Record: FoundLearning
-- Differs: json_each is SQLite's way to hand a list to one statement; PostgreSQL has arrays
-- Allow: limit-order, wanted.key is each place in the list once
SELECT
    learnings.seq,
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
FROM json_each(:seqs) AS wanted
CROSS JOIN learnings
WHERE
    learnings.seq = wanted.value
    AND learnings.deleted_at IS NULL
    AND learnings.category = :category -- if: category
    AND EXISTS ( -- if: source
        SELECT 1 -- if: source
        FROM conversations -- if: source
        WHERE -- if: source
            conversations.id = learnings.conversation_id -- if: source
            AND conversations.source = :source -- if: source
    ) -- if: source
    AND learnings.confidence >= :min_confidence
    AND learnings.created_at >= :created_from
    AND learnings.created_at < :created_before
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
ORDER BY wanted.key, learnings.seq
LIMIT :max_rows;

-- name: list_found_categories(seqs, category, source, min_confidence, created_from, created_before, tags_any, min_tags_any, tags_all, min_tags_all, max_rows)
-- How many of some rows that pass every filter have which category, the most frequent first.
--   seqs  json  a list of rows' numbers
--   category  text  only of this category
--   source  text  only from conversations of this source
--   min_confidence  real  0 to 1, inclusive
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
--   tags_any  json  a list of distinct tags, of which a learning has some; [] for every learning
--   min_tags_any  integer  how many of tags_any it has at least: 1, or 0 where the list is empty
--   tags_all  json  a list of distinct tags, all of which a learning has; [] for every learning
--   min_tags_all  integer  the length of tags_all
--   max_rows  integer  1 to 1000
-- Index: learnings primary key, learning_tags_learning_id_idx; sorts one row a category
--   with source: learnings primary key, conversations_id_key, learning_tags_learning_id_idx; sorts one row a category
-- Rows: 0 to max_rows
-- Differs: json_each is SQLite's way to hand a list to one statement; PostgreSQL has arrays
SELECT
    learnings.category,
    count(*) AS learning_count
FROM json_each(:seqs) AS wanted
CROSS JOIN learnings
WHERE
    learnings.seq = wanted.value
    AND learnings.deleted_at IS NULL
    AND learnings.category = :category -- if: category
    AND EXISTS ( -- if: source
        SELECT 1 -- if: source
        FROM conversations -- if: source
        WHERE -- if: source
            conversations.id = learnings.conversation_id -- if: source
            AND conversations.source = :source -- if: source
    ) -- if: source
    AND learnings.confidence >= :min_confidence
    AND learnings.created_at >= :created_from
    AND learnings.created_at < :created_before
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
GROUP BY learnings.category
ORDER BY count(*) DESC, learnings.category
LIMIT :max_rows;

-- name: list_found_tags(seqs, category, source, min_confidence, created_from, created_before, tags_any, min_tags_any, tags_all, min_tags_all, max_rows)
-- How many of some rows that pass every filter have which tag, the most frequent first.
--   seqs  json  a list of rows' numbers
--   category  text  only of this category
--   source  text  only from conversations of this source
--   min_confidence  real  0 to 1, inclusive
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
--   tags_any  json  a list of distinct tags, of which a learning has some; [] for every learning
--   min_tags_any  integer  how many of tags_any it has at least: 1, or 0 where the list is empty
--   tags_all  json  a list of distinct tags, all of which a learning has; [] for every learning
--   min_tags_all  integer  the length of tags_all
--   max_rows  integer  1 to 1000
-- Index: learnings primary key, learning_tags_learning_id_idx; sorts one row a tag
--   with source: learnings primary key, conversations_id_key, learning_tags_learning_id_idx; sorts one row a tag
-- Rows: 0 to max_rows
-- Differs: json_each is SQLite's way to hand a list to one statement; PostgreSQL has arrays
SELECT
    learning_tags.tag,
    count(*) AS learning_count
FROM json_each(:seqs) AS wanted
CROSS JOIN learnings
CROSS JOIN learning_tags
WHERE
    learnings.seq = wanted.value
    AND learning_tags.learning_id = learnings.id
    AND learnings.deleted_at IS NULL
    AND learnings.category = :category -- if: category
    AND EXISTS ( -- if: source
        SELECT 1 -- if: source
        FROM conversations -- if: source
        WHERE -- if: source
            conversations.id = learnings.conversation_id -- if: source
            AND conversations.source = :source -- if: source
    ) -- if: source
    AND learnings.confidence >= :min_confidence
    AND learnings.created_at >= :created_from
    AND learnings.created_at < :created_before
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
GROUP BY learning_tags.tag
ORDER BY count(*) DESC, learning_tags.tag
LIMIT :max_rows;

-- name: search_learnings_by_tag(tag, category_from, category_to, source, min_confidence, created_from, before_created_at, before_id, tags_any, min_tags_any, tags_all, min_tags_all, max_rows)
-- A tag's learnings that are not deleted, newest first: a search without text.
-- Any of several tags is one call for each, merged by the caller: nothing is sorted.
--   tag  text  the rarest of the tags that a learning must have
--   category_from  text  lower bound of category, inclusive: '' for every category
--   category_to  text  upper bound of category, inclusive: the same as category_from for one
--   source  text  only from conversations of this source
--   min_confidence  real  0 to 1, inclusive
--   created_from  timestamp  the earliest created_at, inclusive
--   before_created_at  timestamp  rows older than (before_created_at, before_id); first the end of the time range
--   before_id  text  '' for the first page
--   tags_any  json  a list of distinct tags, of which a learning has some; [] for every learning
--   min_tags_any  integer  how many of tags_any it has at least: 1, or 0 where the list is empty
--   tags_all  json  a list of distinct tags, all of which a learning has; [] for every learning
--   min_tags_all  integer  the length of tags_all
--   max_rows  integer  1 to 1001
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
    AND learning_tags.created_at >= :created_from
    AND (learning_tags.created_at, learning_tags.learning_id) < (:before_created_at, :before_id)
    AND learnings.id = learning_tags.learning_id
    AND learnings.deleted_at IS NULL
    AND learnings.category >= :category_from
    AND learnings.category <= :category_to
    AND EXISTS ( -- if: source
        SELECT 1 -- if: source
        FROM conversations -- if: source
        WHERE -- if: source
            conversations.id = learnings.conversation_id -- if: source
            AND conversations.source = :source -- if: source
    ) -- if: source
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

-- name: search_learnings_by_category(category, source, min_confidence, created_from, before_created_at, before_id, tags_any, min_tags_any, tags_all, min_tags_all, max_rows)
-- A category's learnings that are not deleted, newest first: a search without text.
--   category  text  which category
--   source  text  only from conversations of this source
--   min_confidence  real  0 to 1, inclusive
--   created_from  timestamp  the earliest created_at, inclusive
--   before_created_at  timestamp  rows older than (before_created_at, before_id); first the end of the time range
--   before_id  text  '' for the first page
--   tags_any  json  a list of distinct tags, of which a learning has some; [] for every learning
--   min_tags_any  integer  how many of tags_any it has at least: 1, or 0 where the list is empty
--   tags_all  json  a list of distinct tags, all of which a learning has; [] for every learning
--   min_tags_all  integer  the length of tags_all
--   max_rows  integer  1 to 1001
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
    AND created_at >= :created_from
    AND (created_at, id) < (:before_created_at, :before_id)
    AND EXISTS ( -- if: source
        SELECT 1 -- if: source
        FROM conversations -- if: source
        WHERE -- if: source
            conversations.id = learnings.conversation_id -- if: source
            AND conversations.source = :source -- if: source
    ) -- if: source
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

-- name: lock_learnings(ids)
-- Which of some learnings there are; nobody else changes them until the transaction ends.
--   ids  json  a list of learning ids
-- Index: learnings_id_key (unique, one look-up an id)
-- Rows: 0 to the length of ids
-- Differs: whoever writes to SQLite has its one lock already
-- Allow: max-rows, at most one row for each id that is handed in
SELECT id
FROM learnings
WHERE id IN (SELECT wanted.value FROM json_each(:ids) AS wanted)
ORDER BY id;

-- name: lock_conversations_of_learnings(ids)
-- Which of some conversations there are; nobody else stores many learnings of them until the transaction ends.
--   ids  json  a list of conversation ids
-- Index: conversations_id_key (unique, one look-up an id)
-- Rows: 0 to the length of ids
-- Differs: whoever writes to SQLite has its one lock already
-- Allow: max-rows, at most one row for each id that is handed in
SELECT id
FROM conversations
WHERE id IN (SELECT wanted.value FROM json_each(:ids) AS wanted)
ORDER BY id;
