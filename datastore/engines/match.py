"""What a person types, as a full-text query that no text can break."""

from __future__ import annotations

import re

#: Longer text is cut before anything else; nobody types so much.
MAX_LENGTH = 10_000

#: A query has at most this many terms; the first ones count.
MAX_TERMS = 32

_english = """
    a about an and are as at be been but by can could did do does for from had has have he her his how i if in
    into is it its me my no not of on or our she should so some such than that the their them then there these
    they this to was we were what when where which who why will with would you your
"""

#: English words that say nothing about what is looked for. They are looked for all the same where
#: nothing else was typed ("to be or not to be").
STOP_WORDS = frozenset(_english.split())

# A NUL ends FTS5's text, and a lone surrogate is no UTF-8.
_unstorable = re.compile("[\x00\ud800-\udfff]")
_part = re.compile(r'"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+)')


def match_query(text: str) -> str | None:
    """An FTS5 query for rows with any of the words and quoted phrases in *text*.

    Every term is quoted, so that none is read as FTS5's syntax. Terms without a letter or digit are
    dropped, and so are stop words outside phrases, if anything else is left. A double quote that is
    never closed is a blank.

    Args:
        text: Anything at all; what is behind its first 10,000 characters or 32 terms is ignored.

    Returns:
        The query, or None if nothing in *text* can be searched for.
    """
    terms: list[str] = []
    telling: list[str] = []
    for found in _part.finditer(_unstorable.sub(" ", text[:MAX_LENGTH])):
        phrase, word = found["phrase"], found["word"]
        term = word if phrase is None else " ".join(phrase.split())
        if not any(character.isalnum() for character in term):
            continue
        terms.append(term)
        if phrase is not None or _bare(term) not in STOP_WORDS:
            telling.append(term)
    # FTS5 doubles a quote inside quotes; no term holds one, but that is _part's doing.
    quoted = ['"' + term.replace('"', '""') + '"' for term in (telling or terms)[:MAX_TERMS]]
    return " OR ".join(quoted) or None


def _bare(term: str) -> str:
    """A term as the stop list has it: "What?" is "what"."""
    return term.strip(".,;:!?()[]{}<>'`*_-").lower()
