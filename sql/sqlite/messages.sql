-- Messages: what SQLite needs its own words for.

-- name: append_message(id, conversation_id, role, content, content_hash, token_count, metadata, created_at)$
-- Appends one message at the end of a conversation, which gives it its position: only that is given back, because the
-- caller has the rest, and its text need not be copied.
--   id  text  the caller's own, or a time-ordered UUID; 1 to 200 characters
--   conversation_id  text  a conversation that is not deleted
--   role  text  user, assistant, system or tool
--   content  text  sanitized text, 1 byte to 1 MiB of UTF-8
--   content_hash  text  SHA-256 of the content's UTF-8, lower-case hex
--   token_count  integer  0 or more
--   metadata  json  an object, at most 1 MiB
--   created_at  timestamp  when it was said
-- Index: conversations_id_key (unique)
-- Rows: 0 or 1 (0: there is no such conversation, or it is deleted)
-- Differs: SQLite's writers come one by one, PostgreSQL's lock the conversation
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
    :id,
    conversations.id,
    conversations.last_position + 1,
    :role,
    :content,
    :content_hash,
    :token_count,
    :metadata,
    :created_at
FROM conversations
WHERE
    conversations.id = :conversation_id
    AND conversations.deleted_at IS NULL
RETURNING position;

-- name: append_messages(conversation_id, rows)
-- Appends many messages at the end of a conversation, in their order.
--   conversation_id  text  a conversation that is not deleted
--   rows  rows  a list of [id, role, content, content_hash, token_count, metadata, created_at]
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

-- name: count_message_matches(query, max_rows)$
-- How many rows of the full-text index match, counted no further than needed: what is rare decides how to search.
--   query  text  in FTS5's syntax, as datastore.engines.match makes it
--   max_rows  integer  stops counting here
-- Index: messages_fts (MATCH)
-- Rows: 1
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
SELECT count(*) AS match_count
FROM (
    SELECT messages_fts.rowid
    FROM messages_fts
    WHERE messages_fts MATCH :query
    ORDER BY messages_fts.rowid
    LIMIT :max_rows
) AS matched;

-- name: count_message_matches_between(query, from_seq, to_seq)$
-- How many rows of a part of the full-text index match: a sample for a word that is in very many.
--   query  text  in FTS5's syntax, as datastore.engines.match makes it
--   from_seq  integer  the first row, inclusive
--   to_seq  integer  the last row, inclusive
-- Index: messages_fts (MATCH, a range of rows)
-- Rows: 1
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
SELECT count(*) AS match_count
FROM messages_fts
WHERE
    messages_fts MATCH :query
    AND messages_fts.rowid BETWEEN :from_seq AND :to_seq;

-- name: rank_messages(query, max_rows)
-- The rows that match, best first. Counts each term to its end, so terms are not common.
--   query  text  in FTS5's syntax, as datastore.engines.match makes it
--   max_rows  integer  as many as may match, so that what comes behind a page is known
-- Index: messages_fts (MATCH); sorts by rank
-- Rows: 0 to max_rows
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
SELECT
    messages_fts.rowid AS seq,
    CAST(-bm25(messages_fts, 1.0, 0.0) AS REAL) AS score
FROM messages_fts
WHERE messages_fts MATCH :query
ORDER BY bm25(messages_fts, 1.0, 0.0), messages_fts.rowid
LIMIT :max_rows;

-- name: list_message_matches(query, max_rows)
-- Some rows that match, unranked: the first ones stored.
--   query  text  in FTS5's syntax, as datastore.engines.match makes it
--   max_rows  integer  1 to 5000
-- Index: messages_fts (MATCH, in its order, no sort)
-- Rows: 0 to max_rows
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
SELECT messages_fts.rowid AS seq
FROM messages_fts
WHERE messages_fts MATCH :query
ORDER BY messages_fts.rowid
LIMIT :max_rows;

-- name: list_message_matches_before(query, before_seq, max_rows)
-- The rows that match, the last stored first.
--   query  text  in FTS5's syntax, as datastore.engines.match makes it
--   before_seq  integer  only rows before this one; 2^62 for the first page
--   max_rows  integer  1 to 5000
-- Index: messages_fts (MATCH, backwards, no sort)
-- Rows: 0 to max_rows
-- Differs: FTS5 is SQLite's; PostgreSQL has tsvector
SELECT messages_fts.rowid AS seq
FROM messages_fts
WHERE
    messages_fts MATCH :query
    AND messages_fts.rowid < :before_seq
ORDER BY messages_fts.rowid DESC
LIMIT :max_rows;

-- name: get_message_index_totals()^
-- What the index knows of itself: varints, the number of rows, then the number of words in each column.
-- Index: messages_fts_data primary key
-- Rows: 1
-- Differs: FTS5 keeps its totals in a row of its own (id 1); bm25() reads the same one
SELECT CAST(coalesce(max(block), x'') AS BLOB) AS totals
FROM messages_fts_data
WHERE id = 1;

-- name: list_message_terms_like(prefix_from, prefix_to, max_rows)
-- Words of the index between two bounds, and in how many rows each is: what a misspelt word may have meant.
--   prefix_from  text  the lower bound, inclusive
--   prefix_to  text  the upper bound, exclusive
--   max_rows  integer  1 to 5000
-- Index: messages_terms (a range of the index's own words)
-- Rows: 0 to max_rows
-- Differs: FTS5 is SQLite's; PostgreSQL has ts_stat and pg_trgm
-- Allow: limit-order, the index has each word once
SELECT
    CAST(messages_terms.term AS TEXT) AS term,
    CAST(messages_terms.doc AS INTEGER) AS row_count
FROM messages_terms
WHERE
    messages_terms.term >= :prefix_from
    AND messages_terms.term < :prefix_to
ORDER BY messages_terms.term
LIMIT :max_rows;

-- name: list_message_texts(seqs)
-- The texts of some messages (8,000 characters of each), and how many words the index counts in each column: what their rank is made of.
--   seqs  json  a list of rows' numbers
-- Index: messages primary key, messages_fts_docsize (one look-up each a row)
-- Rows: 0 to the length of seqs
-- Differs: json_each is SQLite's way to hand a list to one statement; the sizes are FTS5's own
-- Allow: max-rows, seqs is the bound
SELECT
    messages.seq,
    CAST(
        CASE
            WHEN length(CAST(messages.content AS BLOB)) <= 8000 THEN messages.content
            ELSE coalesce(substr(messages.content, 1, 8000), '')
        END AS TEXT
    ) AS content,
    CAST(messages_fts_docsize.sz AS BLOB) AS sizes
FROM json_each(:seqs) AS wanted
CROSS JOIN messages
CROSS JOIN messages_fts_docsize
WHERE
    messages.seq = wanted.value
    AND messages_fts_docsize.id = messages.seq;

-- name: list_found_messages(seqs, conversation_id, role, source, created_from, created_before, max_rows)
-- Those of some rows that are in no deleted conversation and pass every filter, in the order of the list.
--   seqs  json  a list of rows' numbers, best first
--   conversation_id  text  only of this conversation
--   role  text  only said by this role
--   source  text  only from conversations of this source
--   created_from  timestamp  the earliest created_at, inclusive
--   created_before  timestamp  the latest created_at, exclusive
--   max_rows  integer  1 to 1001
-- Index: messages primary key, conversations_id_key (one look-up each a row); sorts max_rows
-- Rows: 0 to max_rows
-- Record: FoundMessage
-- Differs: json_each is SQLite's way to hand a list to one statement; PostgreSQL has arrays
-- Allow: limit-order, wanted.key is each place in the list once
SELECT
    messages.seq,
    messages.id,
    messages.conversation_id,
    messages.position,
    messages.role,
    messages.content,
    messages.content_hash,
    messages.token_count,
    messages.metadata,
    messages.created_at
FROM json_each(:seqs) AS wanted
CROSS JOIN messages
CROSS JOIN conversations
WHERE
    messages.seq = wanted.value
    AND conversations.id = messages.conversation_id
    AND conversations.deleted_at IS NULL
    AND messages.conversation_id = :conversation_id -- if: conversation_id
    AND messages.role = :role -- if: role
    AND conversations.source = :source -- if: source
    AND messages.created_at >= :created_from
    AND messages.created_at < :created_before
ORDER BY wanted.key, messages.seq
LIMIT :max_rows;

-- name: merge_messages_fts()!
-- Merges the parts of the full-text index into one, which is smaller and faster.
-- Index: none (reads the index to its end)
-- Rows: 0 or 1, without meaning
-- Differs: FTS5 is SQLite's, and takes its commands as rows
-- Locks: the write lock while it merges, about 10 s per million rows
INSERT INTO messages_fts (messages_fts) VALUES ('optimize');
