-- Learnings: what PostgreSQL needs its own words for.

-- name: add_learning_messages(learning_id, message_ids)!
-- Links a learning to messages of its own conversation.
--   learning_id  text  which learning
--   message_ids  json  a list of distinct message ids
-- Index: learnings_id_key (unique), messages_id_key (one look-up an id)
-- Rows: 0 to the length of message_ids (fewer: one is unknown, or of another conversation)
-- Differs: PostgreSQL unnests a JSON list otherwise
INSERT INTO learning_messages (learning_id, message_id)
SELECT
    learnings.id,
    messages.id
FROM learnings
CROSS JOIN json_array_elements_text(CAST(:message_ids AS JSON)) AS wanted
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
-- Differs: PostgreSQL unnests a JSON list otherwise
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
    new_learning.value ->> 0,
    conversations.id,
    new_learning.value ->> 2,
    new_learning.value ->> 3,
    new_learning.value ->> 4,
    CAST(new_learning.value ->> 5 AS DOUBLE PRECISION),
    CAST(new_learning.value ->> 6 AS JSON),
    new_learning.value ->> 7,
    CAST(new_learning.value ->> 8 AS JSON),
    CAST(new_learning.value ->> 9 AS TIMESTAMPTZ),
    CAST(new_learning.value ->> 10 AS TIMESTAMPTZ)
FROM json_array_elements(CAST(:rows AS JSON)) WITH ORDINALITY AS new_learning (value, place)
CROSS JOIN conversations
WHERE
    conversations.id = new_learning.value ->> 1
    AND conversations.deleted_at IS NULL
ORDER BY new_learning.place
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
--   query  match  as datastore.engines.match makes it
--   max_rows  integer  stops counting here
-- Index: learnings_words_idx
-- Rows: 1
-- Differs: tsvector is PostgreSQL's
SELECT count(*) AS match_count
FROM (
    SELECT learnings.seq
    FROM learnings
    WHERE learnings.words @@ CAST(:query AS TSQUERY)
    LIMIT :max_rows
) AS matched;

-- name: count_learning_matches_between(query, from_seq, to_seq)$
-- How many rows of a part of the full-text index match: a sample for a word that is in very many.
--   query  match  as datastore.engines.match makes it
--   from_seq  integer  the first row, inclusive
--   to_seq  integer  the last row, inclusive
-- Index: learnings primary key (range scan)
-- Rows: 1
-- Differs: tsvector is PostgreSQL's
SELECT count(*) AS match_count
FROM learnings
WHERE
    learnings.words @@ CAST(:query AS TSQUERY)
    AND learnings.seq BETWEEN :from_seq AND :to_seq;

-- name: rank_learnings(query, max_rows)
-- The rows that match, best first; a title's words weigh five times. Counts each term to its end, so terms are not common.
--   query  match  as datastore.engines.match makes it
--   max_rows  integer  as many as may match, so that what comes behind a page is known
-- Index: learnings_words_idx (once for the rows, once for each word); sorts by score
-- Rows: 0 to max_rows
-- Differs: PostgreSQL has no BM25: it is computed here, from the positions of the words in each row that matches
-- Allow: full-scan, on an empty table only, where every way is as good; with rows the index of words is cheaper
WITH totals AS MATERIALIZED (
    SELECT
        CAST(rows AS DOUBLE PRECISION) AS rows,
        average
    FROM learnings_totals
),

asked AS MATERIALIZED (
    SELECT
        written.lexeme,
        written.prefix,
        greatest(ln((totals.rows - found.rows + 0.5) / (found.rows + 0.5)), 0.000001) AS weight
    FROM (
        SELECT DISTINCT
            replace(replace(term.parts[1], '''''', ''''), '\\', '\') AS lexeme,
            coalesce(term.parts[2], '') LIKE '%*' AS prefix,
            term.parts[1] AS quoted
        FROM regexp_matches(
            CAST(CAST(:query AS TSQUERY) AS TEXT), '''((?:[^'']|'''')*)''(:[A-D*]*)?', 'g'
        ) AS term (parts)
    ) AS written
    CROSS JOIN totals
    CROSS JOIN
        LATERAL (
            SELECT CAST(least(count(*), totals.rows) AS DOUBLE PRECISION) AS rows
            FROM (
                SELECT learnings.seq
                FROM learnings
                WHERE learnings.words @@ CAST('''' || written.quoted || '''' || CASE WHEN written.prefix THEN ':*' ELSE '' END AS TSQUERY)
                LIMIT 400000
            ) AS having_it
        ) AS found
    WHERE written.lexeme !~ '^[\ue000]'
),

matched AS MATERIALIZED (
    SELECT
        learnings.seq,
        learnings.words,
        octet_length(learnings.title) + octet_length(learnings.content) AS size
    FROM learnings
    WHERE learnings.words @@ CAST(:query AS TSQUERY)
    ORDER BY learnings.seq
    LIMIT 20000
)

SELECT
    scored.seq,
    scored.score
FROM (
    SELECT
        matched.seq,
        coalesce((
            SELECT
                sum(
                    term.weight * 2.2 * term.frequency
                    / (term.frequency + 1.2 * (0.25 + 0.75 * matched.size / totals.average))
                )
            FROM (
                SELECT
                    asked.weight,
                    CAST((
                        SELECT sum(CASE weighed.letter WHEN 'A' THEN 5 ELSE 1 END)
                        FROM unnest(word.weights) AS weighed (letter)
                    ) AS DOUBLE PRECISION) AS frequency
                FROM unnest(matched.words) AS word
                INNER JOIN asked ON word.lexeme = asked.lexeme
                WHERE
                    word.lexeme = any(ARRAY(SELECT plain.lexeme FROM asked AS plain WHERE NOT plain.prefix))
                    AND NOT asked.prefix
                UNION ALL
                SELECT
                    asked.weight,
                    CAST(count(*) AS DOUBLE PRECISION) AS frequency
                FROM asked
                INNER JOIN unnest(matched.words) AS word ON starts_with(word.lexeme, asked.lexeme)
                WHERE asked.prefix
                GROUP BY asked.lexeme, asked.weight
            ) AS term
        ), 0) AS score
    FROM matched
    CROSS JOIN totals
) AS scored
ORDER BY scored.score DESC, scored.seq
LIMIT :max_rows;

-- name: list_learning_matches(query, max_rows)
-- Some rows that match, unranked: the first ones stored.
--   query  match  as datastore.engines.match makes it
--   max_rows  integer  1 to 5000
-- Index: learnings_words_idx; sorts the matches
-- Rows: 0 to max_rows
-- Differs: tsvector is PostgreSQL's
SELECT learnings.seq
FROM learnings
WHERE learnings.words @@ CAST(:query AS TSQUERY)
ORDER BY learnings.seq
LIMIT :max_rows;

-- name: list_learning_matches_before(query, before_seq, max_rows)
-- The rows that match, the last stored first.
--   query  match  as datastore.engines.match makes it
--   before_seq  integer  only rows before this one; 2^62 for the first page
--   max_rows  integer  1 to 5000
-- Index: learnings_words_idx; sorts the matches
-- Rows: 0 to max_rows
-- Differs: tsvector is PostgreSQL's
SELECT learnings.seq
FROM learnings
WHERE
    learnings.words @@ CAST(:query AS TSQUERY)
    AND learnings.seq < :before_seq
ORDER BY learnings.seq DESC
LIMIT :max_rows;

-- name: get_learning_index_totals()^
-- About how many rows there are, and their bytes altogether: two numbers in a text.
-- Index: learnings primary key (its ends)
-- Rows: 1
-- Returns: totals text
-- Differs: PostgreSQL keeps no such totals: rows are estimated, and the newest 300 say how long one is
SELECT rows || ' ' || CAST(rows * coalesce(average, 0) AS BIGINT) AS totals
FROM learnings_totals;

-- name: list_learning_terms_like(prefix_from, prefix_to, max_rows)
-- Words of the index between two bounds, and in how many rows each is: what a misspelt word may have meant.
--   prefix_from  text  the lower bound, inclusive
--   prefix_to  text  the upper bound, exclusive
--   max_rows  integer  1 to 5000
-- Index: learnings primary key (its end)
-- Rows: 0 to max_rows
-- Differs: PostgreSQL has no list of an index's words: those of the newest 2,000 rows are taken
SELECT
    known.word AS term,
    known.ndoc AS row_count
FROM ts_stat('SELECT words FROM learnings ORDER BY seq DESC LIMIT 2000') AS known
WHERE
    known.word COLLATE "C" >= :prefix_from
    AND known.word COLLATE "C" < :prefix_to
ORDER BY known.word COLLATE "C"
LIMIT :max_rows;

-- name: list_learning_texts(seqs)
-- The texts of some rows (8,000 characters of each), and how long they are: what their rank is made of.
--   seqs  json  a list of rows' numbers
-- Index: learnings primary key (one look-up each a row)
-- Rows: 0 to the length of seqs
-- Returns: sizes text
-- Differs: PostgreSQL unnests a JSON list otherwise; a text's length is its bytes
SELECT
    learnings.seq,
    substr(learnings.content, 1, 8000) AS content,
    learnings.title,
    CAST(octet_length(learnings.title) + octet_length(learnings.content) AS TEXT) AS sizes
FROM json_array_elements_text(CAST(:seqs AS JSON)) AS wanted
INNER JOIN learnings ON learnings.seq = CAST(wanted.value AS BIGINT);

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
-- Differs: PostgreSQL unnests a JSON list otherwise; LATERAL, so that it looks each row up, and never begins with the category's
SELECT
    found.seq,
    found.id,
    found.conversation_id,
    found.category,
    found.title,
    found.content,
    found.confidence,
    found.tags,
    found.dedupe_key,
    found.metadata,
    found.created_at,
    found.updated_at,
    found.deleted_at
FROM json_array_elements_text(CAST(:seqs AS JSON)) WITH ORDINALITY AS wanted (value, key)
CROSS JOIN
    LATERAL (
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
        FROM learnings
        WHERE
            learnings.seq = CAST(wanted.value AS BIGINT)
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
                :min_tags_any = 0
                OR (
                    SELECT count(*)
                    FROM learning_tags AS any_tags
                    WHERE
                        any_tags.learning_id = learnings.id
                        AND any_tags.tag = ANY(
                            ARRAY(SELECT wanted_tags.value FROM json_array_elements_text(CAST(:tags_any AS JSON)) AS wanted_tags)
                        )
                ) >= :min_tags_any
            )
            AND (
                :min_tags_all = 0
                OR (
                    SELECT count(*)
                    FROM learning_tags AS all_tags
                    WHERE
                        all_tags.learning_id = learnings.id
                        AND all_tags.tag = ANY(
                            ARRAY(SELECT wanted_tags.value FROM json_array_elements_text(CAST(:tags_all AS JSON)) AS wanted_tags)
                        )
                ) >= :min_tags_all
            )
        ORDER BY learnings.seq
        LIMIT 1
    ) AS found
ORDER BY wanted.key, found.seq
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
-- Differs: PostgreSQL unnests a JSON list otherwise; LATERAL, so that it looks each row up, and never begins with the category's
SELECT
    found.category,
    count(*) AS learning_count
FROM json_array_elements_text(CAST(:seqs AS JSON)) AS wanted (value)
CROSS JOIN
    LATERAL (
        SELECT learnings.category
        FROM learnings
        WHERE
            learnings.seq = CAST(wanted.value AS BIGINT)
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
                :min_tags_any = 0
                OR (
                    SELECT count(*)
                    FROM learning_tags AS any_tags
                    WHERE
                        any_tags.learning_id = learnings.id
                        AND any_tags.tag = ANY(
                            ARRAY(SELECT wanted_tags.value FROM json_array_elements_text(CAST(:tags_any AS JSON)) AS wanted_tags)
                        )
                ) >= :min_tags_any
            )
            AND (
                :min_tags_all = 0
                OR (
                    SELECT count(*)
                    FROM learning_tags AS all_tags
                    WHERE
                        all_tags.learning_id = learnings.id
                        AND all_tags.tag = ANY(
                            ARRAY(SELECT wanted_tags.value FROM json_array_elements_text(CAST(:tags_all AS JSON)) AS wanted_tags)
                        )
                ) >= :min_tags_all
            )
        ORDER BY learnings.seq
        LIMIT 1
    ) AS found
GROUP BY found.category
ORDER BY count(*) DESC, found.category
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
-- Differs: PostgreSQL unnests a JSON list otherwise; LATERAL, so that it looks each row up, and never begins with the category's
SELECT
    own.tag,
    count(*) AS learning_count
FROM json_array_elements_text(CAST(:seqs AS JSON)) AS wanted (value)
CROSS JOIN
    LATERAL (
        SELECT learnings.tags
        FROM learnings
        WHERE
            learnings.seq = CAST(wanted.value AS BIGINT)
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
                :min_tags_any = 0
                OR (
                    SELECT count(*)
                    FROM learning_tags AS any_tags
                    WHERE
                        any_tags.learning_id = learnings.id
                        AND any_tags.tag = ANY(
                            ARRAY(SELECT wanted_tags.value FROM json_array_elements_text(CAST(:tags_any AS JSON)) AS wanted_tags)
                        )
                ) >= :min_tags_any
            )
            AND (
                :min_tags_all = 0
                OR (
                    SELECT count(*)
                    FROM learning_tags AS all_tags
                    WHERE
                        all_tags.learning_id = learnings.id
                        AND all_tags.tag = ANY(
                            ARRAY(SELECT wanted_tags.value FROM json_array_elements_text(CAST(:tags_all AS JSON)) AS wanted_tags)
                        )
                ) >= :min_tags_all
            )
        ORDER BY learnings.seq
        LIMIT 1
    ) AS found
CROSS JOIN LATERAL json_array_elements_text(found.tags) AS own (tag)
GROUP BY own.tag
ORDER BY count(*) DESC, own.tag
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
-- Differs: PostgreSQL unnests a JSON list otherwise
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
        :min_tags_any = 0
        OR (
            SELECT count(*)
            FROM learning_tags AS any_tags
            WHERE
                any_tags.learning_id = learnings.id
                AND any_tags.tag = ANY(
                    ARRAY(SELECT wanted_tags.value FROM json_array_elements_text(CAST(:tags_any AS JSON)) AS wanted_tags)
                )
        ) >= :min_tags_any
    )
    AND (
        :min_tags_all = 0
        OR (
            SELECT count(*)
            FROM learning_tags AS all_tags
            WHERE
                all_tags.learning_id = learnings.id
                AND all_tags.tag = ANY(
                    ARRAY(SELECT wanted_tags.value FROM json_array_elements_text(CAST(:tags_all AS JSON)) AS wanted_tags)
                )
        ) >= :min_tags_all
    )
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
-- Differs: PostgreSQL unnests a JSON list otherwise
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
        :min_tags_any = 0
        OR (
            SELECT count(*)
            FROM learning_tags AS any_tags
            WHERE
                any_tags.learning_id = learnings.id
                AND any_tags.tag = ANY(
                    ARRAY(SELECT wanted_tags.value FROM json_array_elements_text(CAST(:tags_any AS JSON)) AS wanted_tags)
                )
        ) >= :min_tags_any
    )
    AND (
        :min_tags_all = 0
        OR (
            SELECT count(*)
            FROM learning_tags AS all_tags
            WHERE
                all_tags.learning_id = learnings.id
                AND all_tags.tag = ANY(
                    ARRAY(SELECT wanted_tags.value FROM json_array_elements_text(CAST(:tags_all AS JSON)) AS wanted_tags)
                )
        ) >= :min_tags_all
    )
ORDER BY created_at DESC, id DESC
LIMIT :max_rows;

-- name: lock_learnings(ids)
-- Which of some learnings there are; nobody else changes them until the transaction ends.
--   ids  json  a list of learning ids
-- Index: learnings_id_key (unique, one look-up an id)
-- Rows: 0 to the length of ids
-- Differs: the rows are locked (FOR UPDATE)
-- Locks: in the order of their ids, so that two callers do not wait for each other
-- Allow: max-rows, at most one row for each id that is handed in
SELECT id
FROM learnings
WHERE
    id = ANY(
        ARRAY(
            SELECT wanted.value
            FROM json_array_elements_text(CAST(:ids AS JSON)) AS wanted
        )
    )
ORDER BY id
FOR UPDATE;

-- name: lock_conversations_of_learnings(ids)
-- Which of some conversations there are; nobody else stores many learnings of them until the transaction ends.
--   ids  json  a list of conversation ids
-- Index: conversations_id_key (unique, one look-up an id)
-- Rows: 0 to the length of ids
-- Differs: the rows are locked
-- Locks: in the order of their ids; FOR NO KEY UPDATE, so that those who store one learning go on
-- Allow: max-rows, at most one row for each id that is handed in
SELECT id
FROM conversations
WHERE
    id = ANY(
        ARRAY(
            SELECT wanted.value
            FROM json_array_elements_text(CAST(:ids AS JSON)) AS wanted
        )
    )
ORDER BY id
FOR NO KEY UPDATE;
