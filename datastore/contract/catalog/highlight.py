"""Text as HTML: escaped, SQL coloured, known names linked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape

from datastore.contract.text import KEYWORDS, pieces

#: Keywords beside those that `text` knows; not the ones that are likelier names (first, row, key alone, ...).
_MORE = """
ABORT ADD AFTER ALTER AUTOINCREMENT BEFORE BEGIN CASCADE CHECK COLUMN CONSTRAINT CREATE FOREIGN GENERATED IF IMMEDIATE
INDEX INSTEAD KEY LIKE MATCH MATERIALIZED NOTHING OF OFFSET OVER PARTITION PRIMARY RAISE RECURSIVE REFERENCES REPLACE
RESTRICT STORED STRICT TABLE TRIGGER UNIQUE VIEW VIRTUAL NULL NOT LIMIT IS OR ON OUTER JOIN SET RETURNING ROWID
"""
WORDS = KEYWORDS | {*_MORE.split()}

_classes = {"string": "s", "quoted": "q", "parameter": "p", "number": "n", "comment": "c"}
_name = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?")
_code = re.compile(r"`([^`]+)`")


def sql(text: str, links: Mapping[str, str] | None = None) -> str:
    """SQL as HTML; table names are links where *links* has their anchors."""
    return "".join(_piece(kind, word, links or {}) for kind, word in pieces(text))


def _piece(kind: str, word: str, links: Mapping[str, str]) -> str:
    shown = escape(word)
    if kind == "word":
        if word.upper() in WORDS:
            return f"<b>{shown}</b>"
        if word in links:
            return f'<a href="#{escape(links[word])}">{shown}</a>'
        return shown
    return f'<i class="{_classes[kind]}">{shown}</i>' if kind in _classes else shown


def prose(text: str, links: Mapping[str, str]) -> str:
    """A sentence as HTML: what stands in backticks as code, names with an underscore or a dot as links."""
    parts = _code.split(text)
    return "".join(
        f"<code>{_linked(part, links, everything=True)}</code>" if number % 2 else _linked(part, links)
        for number, part in enumerate(parts)
    )


def _linked(text: str, links: Mapping[str, str], everything: bool = False) -> str:
    return "".join(_link_pieces(text, links, everything))


def _link_pieces(text: str, links: Mapping[str, str], everything: bool) -> Iterator[str]:
    end = 0
    for found in _name.finditer(text):
        name = found[0]
        # A word like "messages" is one of the language too: only what is plainly a name is linked.
        if name in links and (everything or "_" in name or "." in name):
            yield escape(text[end : found.start()])
            yield f'<a href="#{escape(links[name])}">{escape(name)}</a>'
            end = found.end()
    yield escape(text[end:])
