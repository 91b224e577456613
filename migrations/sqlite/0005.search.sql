-- Search: learnings by any filter inside the full-text index, and messages.
--
-- content stands first, because FTS5 writes the number of every column but the first into each posting: a
-- quarter of the index. facets are words that no text can hold (they begin with U+E000, for private use, which
-- is taken out of every query): the category, each tag, a tenth of confidence, the month, the length in steps of
-- 16 bytes and more, and the words of the title, so that what is common in texts can be looked for in titles
-- alone. Each but the title's ends in x, so that no stemmer shortens it.
--
-- Locks: takes the write lock while the indexes are built, about 90 s per million learnings.
-- Rollback: loses no data; the index of step 0002 is built again.
-- depends: 0004.job_queue

DROP TRIGGER learnings_fts_update;

DROP TRIGGER learnings_fts_delete;

DROP TRIGGER learnings_fts_insert;

DROP TABLE learnings_fts;

DROP VIEW learnings_shown;

-- What the full-text indexes of learnings cover: hidden ones are not in them, so that ranking reads no table.
--
-- content and title are what is indexed, not what is shown: a character from U+3000 to U+D7FF or U+10000 to U+3FFFF
-- (Chinese, Japanese, Korean) is a word of its own, and behind the content stand the parts of the camelCase words of
-- both, but of words of more than 256 characters, which are data. A text is read in pages of 2,000 characters, those in
-- short lines, and only a line that has something to take apart is walked, a letter or a word a row.
-- datastore/engines/words.py does the same.
--
-- hex() keeps a tag whole whatever it is made of; 222C22 is the '","' between two of them.
CREATE VIEW learnings_shown AS
SELECT
    seq,
    CASE
        WHEN
            size = characters
            OR NOT written GLOB '*[' || char(12288) || '-' || char(55295) || char(65536) || '-' || char(262143) || ']*'
            THEN words
        ELSE (
            WITH RECURSIVE pages (page, text, rest) AS (
                SELECT
                    0,
                    '',
                    words
                UNION ALL
                SELECT
                    pages.page + 1,
                    substr(pages.rest, 1, 2000),
                    substr(pages.rest, 2001)
                FROM pages
                WHERE pages.rest <> ''
            ),

            lines (page, line, text, rest) AS (
                SELECT
                    pages.page,
                    0,
                    '',
                    pages.text
                FROM pages
                UNION ALL
                SELECT
                    lines.page,
                    lines.line + 1,
                    substr(lines.rest, 1, 16),
                    substr(lines.rest, 17)
                FROM lines
                WHERE lines.rest <> ''
            ),

            letters (page, line, text, rest) AS (
                SELECT
                    lines.page,
                    lines.line,
                    iif(
                        lines.text GLOB '*[' || char(12288) || '-' || char(55295) || char(65536) || '-' || char(262143) || ']*',
                        '',
                        lines.text
                    ),
                    iif(
                        lines.text GLOB '*[' || char(12288) || '-' || char(55295) || char(65536) || '-' || char(262143) || ']*',
                        lines.text,
                        ''
                    )
                FROM lines
                UNION ALL
                SELECT
                    letters.page,
                    letters.line,
                    letters.text || CASE
                        WHEN
                            substr(letters.rest, 1, 1) BETWEEN char(12288) AND char(55295)
                            OR substr(letters.rest, 1, 1) BETWEEN char(65536) AND char(262143)
                            THEN ' ' || substr(letters.rest, 1, 1) || ' '
                        ELSE substr(letters.rest, 1, 1)
                    END,
                    substr(letters.rest, 2)
                FROM letters
                WHERE letters.rest <> ''
            )

            SELECT group_concat(in_order.text, '')
            FROM (
                SELECT letters.text
                FROM letters
                WHERE letters.rest = ''
                ORDER BY letters.page, letters.line
            ) AS in_order
        )
    END AS content,
    CASE
        WHEN
            size = characters
            OR NOT written GLOB '*[' || char(12288) || '-' || char(55295) || char(65536) || '-' || char(262143) || ']*'
            THEN title
        ELSE (
            WITH RECURSIVE pages (page, text, rest) AS (
                SELECT
                    0,
                    '',
                    title
                UNION ALL
                SELECT
                    pages.page + 1,
                    substr(pages.rest, 1, 2000),
                    substr(pages.rest, 2001)
                FROM pages
                WHERE pages.rest <> ''
            ),

            lines (page, line, text, rest) AS (
                SELECT
                    pages.page,
                    0,
                    '',
                    pages.text
                FROM pages
                UNION ALL
                SELECT
                    lines.page,
                    lines.line + 1,
                    substr(lines.rest, 1, 16),
                    substr(lines.rest, 17)
                FROM lines
                WHERE lines.rest <> ''
            ),

            letters (page, line, text, rest) AS (
                SELECT
                    lines.page,
                    lines.line,
                    iif(
                        lines.text GLOB '*[' || char(12288) || '-' || char(55295) || char(65536) || '-' || char(262143) || ']*',
                        '',
                        lines.text
                    ),
                    iif(
                        lines.text GLOB '*[' || char(12288) || '-' || char(55295) || char(65536) || '-' || char(262143) || ']*',
                        lines.text,
                        ''
                    )
                FROM lines
                UNION ALL
                SELECT
                    letters.page,
                    letters.line,
                    letters.text || CASE
                        WHEN
                            substr(letters.rest, 1, 1) BETWEEN char(12288) AND char(55295)
                            OR substr(letters.rest, 1, 1) BETWEEN char(65536) AND char(262143)
                            THEN ' ' || substr(letters.rest, 1, 1) || ' '
                        ELSE substr(letters.rest, 1, 1)
                    END,
                    substr(letters.rest, 2)
                FROM letters
                WHERE letters.rest <> ''
            )

            SELECT group_concat(in_order.text, '')
            FROM (
                SELECT letters.text
                FROM letters
                WHERE letters.rest = ''
                ORDER BY letters.page, letters.line
            ) AS in_order
        )
    END AS title,
    char(57344) || 'c' || hex(category) || 'x '
    || CASE
        WHEN tags = '[]' THEN ''
        ELSE
            char(57344) || 't'
            || replace(
                substr(hex(tags), 5, length(hex(tags)) - 8), '222C22', 'x ' || char(57344) || 't'
            )
            || 'x '
    END
    || char(57344) || 'p' || CAST(confidence * 10 AS INTEGER) || 'x '
    || char(57344) || 'm' || substr(created_at, 1, 4) || substr(created_at, 6, 2) || 'x '
    || char(57344) || 'l'
    || CASE
        WHEN size < 256
            THEN size / 16
        WHEN size < 512
            THEN 8 + size / 32
        WHEN size < 1024
            THEN 16 + size / 64
        ELSE 32
    END
    || 'x '
    || char(57344) || 'w' || replace(
        replace(replace(title, '-', ' '), '_', ' '), ' ', ' ' || char(57344) || 'w'
    ) AS facets
FROM (
    SELECT
        seq,
        category,
        title,
        confidence,
        tags,
        created_at,
        written,
        length(CAST(title AS BLOB)) + length(CAST(content AS BLOB)) AS size,
        length(title) + length(content) AS characters,
        content || CASE
            WHEN
                written GLOB '*[a-zA-Z0-9][A-Z]*'
                AND (written GLOB '*[a-z0-9][A-Z]*' OR written GLOB '*[A-Z][A-Z][a-z]*')
                THEN ' ' || coalesce((
                    WITH RECURSIVE lines (line, page, text, rest) AS (
                        SELECT
                            0,
                            0,
                            '',
                            replace(replace(substr(written, 1, 2000), char(10), ' '), char(9), ' ') || ' '
                        UNION ALL
                        SELECT
                            line + 1,
                            page + (rest = ''),
                            substr(rest, 1, 64 + instr(substr(rest, 65), ' ')),
                            CASE
                                WHEN rest <> '' THEN substr(rest, 65 + instr(substr(rest, 65), ' '))
                                ELSE
                                    replace(
                                        replace(substr(written, page * 2000 + 2001, 2000), char(10), ' '), char(9), ' '
                                    ) || ' '
                            END
                        FROM lines
                        WHERE rest <> '' OR page * 2000 + 2000 < length(written)
                    ),

                    words (line, place, word, rest) AS (
                        SELECT
                            line,
                            0,
                            '',
                            text
                        FROM lines
                        WHERE text GLOB '*[a-z0-9][A-Z]*' OR text GLOB '*[A-Z][A-Z][a-z]*'
                        UNION ALL
                        SELECT
                            line,
                            place + 1,
                            substr(rest, 1, instr(rest, ' ') - 1),
                            substr(rest, instr(rest, ' ') + 1)
                        FROM words
                        WHERE rest <> ''
                    ),

                    letters (line, place, letter, word, parts) AS (
                        SELECT
                            line,
                            place,
                            0,
                            word,
                            ''
                        FROM words
                        WHERE
                            length(word) <= 256
                            AND (word GLOB '*[a-z0-9][A-Z]*' OR word GLOB '*[A-Z][A-Z][a-z]*')
                        UNION ALL
                        SELECT
                            line,
                            place,
                            letter + 1,
                            word,
                            parts
                            || CASE
                                WHEN
                                    substr(word, letter + 1, 1) GLOB '[A-Z]'
                                    AND (
                                        substr(' ' || word, letter + 1, 1) GLOB '[a-z]'
                                        OR substr(word, letter + 2, 1) GLOB '[a-z]'
                                    )
                                    THEN ' '
                                ELSE ''
                            END
                            || substr(word, letter + 1, 1)
                        FROM letters
                        WHERE letter < length(word)
                    )

                    SELECT group_concat(in_order.parts, ' ')
                    FROM (
                        SELECT parts
                        FROM letters
                        WHERE letter = length(word)
                        ORDER BY line, place
                    ) AS in_order
                ), '')
            ELSE ''
        END AS words
    FROM (
        SELECT
            seq,
            category,
            title,
            content,
            confidence,
            tags,
            created_at,
            title || ' ' || content AS written
        FROM learnings
        WHERE deleted_at IS NULL
    ) AS stored
) AS shown;

-- Serves rank_learnings, list_learning_matches and their kin. Holds terms only: the text is read from learnings.
CREATE VIRTUAL TABLE learnings_fts USING fts5 (
    content,
    title,
    facets,
    content = 'learnings_shown',
    content_rowid = 'seq',
    tokenize = 'porter unicode61 remove_diacritics 2'
);

-- Learnings may come by thousands in one statement: what FTS5 gathers before it writes a segment may be 4 MiB large, not 1, which
-- halves the number of segments: the index of 100,000 is 5 % smaller, and searched a sixth faster.
INSERT INTO learnings_fts (learnings_fts, rank) VALUES ('hashsize', 4194304);

-- Serves list_learning_terms_like: "did you mean" takes its words from what is stored.
CREATE VIRTUAL TABLE learnings_terms USING fts5vocab (learnings_fts, 'row');

-- The full-text indexes follow learnings, whoever writes.
CREATE TRIGGER learnings_fts_insert AFTER INSERT ON learnings
WHEN new.deleted_at IS NULL
BEGIN
    INSERT INTO learnings_fts (rowid, content, title, facets)
    SELECT
        learnings_shown.seq,
        learnings_shown.content,
        learnings_shown.title,
        learnings_shown.facets
    FROM learnings_shown
    WHERE learnings_shown.seq = new.seq;
END;

-- A deletion tells the indexes the old text, without which they could not find the terms: so it goes before.
CREATE TRIGGER learnings_fts_delete BEFORE DELETE ON learnings
WHEN old.deleted_at IS NULL
BEGIN
    INSERT INTO learnings_fts (learnings_fts, rowid, content, title, facets)
    SELECT
        'delete',
        learnings_shown.seq,
        learnings_shown.content,
        learnings_shown.title,
        learnings_shown.facets
    FROM learnings_shown
    WHERE learnings_shown.seq = old.seq;
END;

-- An update, or hiding and showing, is a deletion to the indexes ...
CREATE TRIGGER learnings_fts_update_before
BEFORE UPDATE OF seq, category, title, content, confidence, tags, created_at, deleted_at ON learnings
WHEN old.deleted_at IS NULL
BEGIN
    INSERT INTO learnings_fts (learnings_fts, rowid, content, title, facets)
    SELECT
        'delete',
        learnings_shown.seq,
        learnings_shown.content,
        learnings_shown.title,
        learnings_shown.facets
    FROM learnings_shown
    WHERE learnings_shown.seq = old.seq;
END;

-- ... and an insertion.
CREATE TRIGGER learnings_fts_update_after
AFTER UPDATE OF seq, category, title, content, confidence, tags, created_at, deleted_at ON learnings
WHEN new.deleted_at IS NULL
BEGIN
    INSERT INTO learnings_fts (rowid, content, title, facets)
    SELECT
        learnings_shown.seq,
        learnings_shown.content,
        learnings_shown.title,
        learnings_shown.facets
    FROM learnings_shown
    WHERE learnings_shown.seq = new.seq;
END;

-- What the full-text index of messages covers: all of them. Those of a deleted conversation are hidden when the
-- hits are read, so that hiding a conversation of a million messages is one row's work.
CREATE VIEW messages_indexed AS
SELECT
    seq,
    CASE
        WHEN
            size = characters
            OR NOT written GLOB '*[' || char(12288) || '-' || char(55295) || char(65536) || '-' || char(262143) || ']*'
            THEN words
        ELSE (
            WITH RECURSIVE pages (page, text, rest) AS (
                SELECT
                    0,
                    '',
                    words
                UNION ALL
                SELECT
                    pages.page + 1,
                    substr(pages.rest, 1, 2000),
                    substr(pages.rest, 2001)
                FROM pages
                WHERE pages.rest <> ''
            ),

            lines (page, line, text, rest) AS (
                SELECT
                    pages.page,
                    0,
                    '',
                    pages.text
                FROM pages
                UNION ALL
                SELECT
                    lines.page,
                    lines.line + 1,
                    substr(lines.rest, 1, 16),
                    substr(lines.rest, 17)
                FROM lines
                WHERE lines.rest <> ''
            ),

            letters (page, line, text, rest) AS (
                SELECT
                    lines.page,
                    lines.line,
                    iif(
                        lines.text GLOB '*[' || char(12288) || '-' || char(55295) || char(65536) || '-' || char(262143) || ']*',
                        '',
                        lines.text
                    ),
                    iif(
                        lines.text GLOB '*[' || char(12288) || '-' || char(55295) || char(65536) || '-' || char(262143) || ']*',
                        lines.text,
                        ''
                    )
                FROM lines
                UNION ALL
                SELECT
                    letters.page,
                    letters.line,
                    letters.text || CASE
                        WHEN
                            substr(letters.rest, 1, 1) BETWEEN char(12288) AND char(55295)
                            OR substr(letters.rest, 1, 1) BETWEEN char(65536) AND char(262143)
                            THEN ' ' || substr(letters.rest, 1, 1) || ' '
                        ELSE substr(letters.rest, 1, 1)
                    END,
                    substr(letters.rest, 2)
                FROM letters
                WHERE letters.rest <> ''
            )

            SELECT group_concat(in_order.text, '')
            FROM (
                SELECT letters.text
                FROM letters
                WHERE letters.rest = ''
                ORDER BY letters.page, letters.line
            ) AS in_order
        )
    END AS content,
    char(57344) || 'c' || hex(conversation_id) || 'x '
    || char(57344) || 'r' || role || 'x '
    || char(57344) || 'm' || substr(created_at, 1, 4) || substr(created_at, 6, 2) || 'x' AS facets
FROM (
    SELECT
        seq,
        conversation_id,
        role,
        created_at,
        content AS written,
        length(CAST(content AS BLOB)) AS size,
        length(content) AS characters,
        content || CASE
            WHEN
                content GLOB '*[a-zA-Z0-9][A-Z]*'
                AND (content GLOB '*[a-z0-9][A-Z]*' OR content GLOB '*[A-Z][A-Z][a-z]*')
                THEN ' ' || coalesce((
                    WITH RECURSIVE lines (line, page, text, rest) AS (
                        SELECT
                            0,
                            0,
                            '',
                            replace(replace(substr(content, 1, 2000), char(10), ' '), char(9), ' ') || ' '
                        UNION ALL
                        SELECT
                            line + 1,
                            page + (rest = ''),
                            substr(rest, 1, 64 + instr(substr(rest, 65), ' ')),
                            CASE
                                WHEN rest <> '' THEN substr(rest, 65 + instr(substr(rest, 65), ' '))
                                ELSE
                                    replace(
                                        replace(substr(content, page * 2000 + 2001, 2000), char(10), ' '), char(9), ' '
                                    ) || ' '
                            END
                        FROM lines
                        WHERE rest <> '' OR page * 2000 + 2000 < length(content)
                    ),

                    words (line, place, word, rest) AS (
                        SELECT
                            line,
                            0,
                            '',
                            text
                        FROM lines
                        WHERE text GLOB '*[a-z0-9][A-Z]*' OR text GLOB '*[A-Z][A-Z][a-z]*'
                        UNION ALL
                        SELECT
                            line,
                            place + 1,
                            substr(rest, 1, instr(rest, ' ') - 1),
                            substr(rest, instr(rest, ' ') + 1)
                        FROM words
                        WHERE rest <> ''
                    ),

                    letters (line, place, letter, word, parts) AS (
                        SELECT
                            line,
                            place,
                            0,
                            word,
                            ''
                        FROM words
                        WHERE
                            length(word) <= 256
                            AND (word GLOB '*[a-z0-9][A-Z]*' OR word GLOB '*[A-Z][A-Z][a-z]*')
                        UNION ALL
                        SELECT
                            line,
                            place,
                            letter + 1,
                            word,
                            parts
                            || CASE
                                WHEN
                                    substr(word, letter + 1, 1) GLOB '[A-Z]'
                                    AND (
                                        substr(' ' || word, letter + 1, 1) GLOB '[a-z]'
                                        OR substr(word, letter + 2, 1) GLOB '[a-z]'
                                    )
                                    THEN ' '
                                ELSE ''
                            END
                            || substr(word, letter + 1, 1)
                        FROM letters
                        WHERE letter < length(word)
                    )

                    SELECT group_concat(in_order.parts, ' ')
                    FROM (
                        SELECT parts
                        FROM letters
                        WHERE letter = length(word)
                        ORDER BY line, place
                    ) AS in_order
                ), '')
            ELSE ''
        END AS words
    FROM messages
) AS said;

-- Serves rank_messages, list_message_matches and their kin.
CREATE VIRTUAL TABLE messages_fts USING fts5 (
    content,
    facets,
    content = 'messages_indexed',
    content_rowid = 'seq',
    tokenize = 'porter unicode61 remove_diacritics 2'
);

-- Segments are merged eight at a time, not four as FTS5 does by itself: a quarter more is deleted a second, and appends wait
-- less at worst. (A larger hashsize would change nothing: an append writes its segment when its statement ends.)
INSERT INTO messages_fts (messages_fts, rank) VALUES ('automerge', 8), ('usermerge', 8);

-- Serves list_message_terms_like.
CREATE VIRTUAL TABLE messages_terms USING fts5vocab (messages_fts, 'row');

-- The full-text index follows messages, whoever writes.
CREATE TRIGGER messages_fts_insert AFTER INSERT ON messages
BEGIN
    INSERT INTO messages_fts (rowid, content, facets)
    SELECT
        messages_indexed.seq,
        messages_indexed.content,
        messages_indexed.facets
    FROM messages_indexed
    WHERE messages_indexed.seq = new.seq;
END;

-- See learnings_fts_delete.
CREATE TRIGGER messages_fts_delete BEFORE DELETE ON messages
BEGIN
    INSERT INTO messages_fts (messages_fts, rowid, content, facets)
    SELECT
        'delete',
        messages_indexed.seq,
        messages_indexed.content,
        messages_indexed.facets
    FROM messages_indexed
    WHERE messages_indexed.seq = old.seq;
END;

-- A redaction is a deletion to the index ...
CREATE TRIGGER messages_fts_update_before
BEFORE UPDATE OF seq, conversation_id, role, content, created_at ON messages
BEGIN
    INSERT INTO messages_fts (messages_fts, rowid, content, facets)
    SELECT
        'delete',
        messages_indexed.seq,
        messages_indexed.content,
        messages_indexed.facets
    FROM messages_indexed
    WHERE messages_indexed.seq = old.seq;
END;

-- ... and an insertion.
CREATE TRIGGER messages_fts_update_after
AFTER UPDATE OF seq, conversation_id, role, content, created_at ON messages
BEGIN
    INSERT INTO messages_fts (rowid, content, facets)
    SELECT
        messages_indexed.seq,
        messages_indexed.content,
        messages_indexed.facets
    FROM messages_indexed
    WHERE messages_indexed.seq = new.seq;
END;

-- Indexes what was stored before this step.
INSERT INTO learnings_fts (learnings_fts) VALUES ('rebuild');

INSERT INTO messages_fts (messages_fts) VALUES ('rebuild');
