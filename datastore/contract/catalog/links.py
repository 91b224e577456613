"""Where the names on the page lead: ids of its places, links to them and to files, text and SQL with links in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from os.path import relpath
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup, escape

from datastore.contract.catalog.model import Catalog
from datastore.contract.text import KEYWORDS, SCHEMA_KEYWORDS, pieces

_classes = {"string": "s", "quoted": "q", "parameter": "p", "number": "n", "comment": "c"}
_name = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?")


class Links:
    """The links of one page, which is written to *folder*.

    An id is the name of what it stands for. A table keeps a name that a statement, index or trigger has too: the id of
    the others begins with their kind.
    """

    def __init__(self, catalog: Catalog, folder: Path) -> None:
        self.catalog = catalog
        self.folder = folder
        self._ids: dict[tuple[str, str], str] = {}
        #: Every name to the id of the first thing that has it.
        self.names: dict[str, str] = {}
        taken = {"overview", "menu", "search", "results", "lists"}
        for kind, name in _named(catalog):
            id = name if name not in taken and " " not in name else f"{kind}:{name}".replace(" ", "_")
            taken.add(id)
            self._ids[kind, name] = id
            self.names.setdefault(name, id)

    def id(self, kind: str, name: str) -> str:
        return self._ids[kind, name]

    def link(self, kind: str, name: str, text: str = "") -> Markup:
        id = self._ids.get((kind, name))
        return _anchor(id, text or name) if id else Markup("<span>{}</span>").format(text or name)

    def links(self, kind: str, names: Iterable[str]) -> Markup:
        return Markup(", ").join(self.link(kind, name) for name in names)

    def by(self, name: str) -> Markup:
        """A trigger, foreign key or view, by whichever it is."""
        return self.link(next((one for one in ("trigger", "key", "table") if (one, name) in self._ids), ""), name)

    def file(self, name: str, line: int = 0) -> Markup:
        """A link to a file of the project, from the page's own folder."""
        target = quote(Path(relpath(self.catalog.project.root / name, self.folder)).as_posix())
        end, shown = (f"#L{line}", f"{name}:{line}") if line else ("", name)
        return Markup('<a href="{}">{}</a>').format(target + end, shown)

    def step(self, id: str) -> Markup:
        """A link to the file of a migration; its id alone where that is not the project's own."""
        name = self.catalog.steps.get(id, "/")
        return Markup("<code>{}</code>").format(id) if name.startswith("/") else self.file(name)

    def prose(self, text: str) -> Markup:
        """A sentence: what is in backticks as code, names with an underscore or a dot as links."""
        parts = []
        for number, part in enumerate(re.split(r"`([^`]+)`", text)):
            linked = Markup().join(self._linked(part, everything=number % 2 > 0))
            parts.append(Markup("<code>{}</code>").format(linked) if number % 2 else linked)
        return Markup().join(parts)

    def _linked(self, text: str, everything: bool) -> Iterator[Markup]:
        end = 0
        for found in _name.finditer(text):
            name = found[0]
            # A word like "messages" is one of the language too: only what is plainly a name is linked.
            if name in self.names and (everything or "_" in name or "." in name):
                yield escape(text[end : found.start()])
                yield _anchor(self.names[name], name)
                end = found.end()
        yield escape(text[end:])

    def sql(self, text: str) -> Markup:
        """SQL with its colours; the names of tables are links."""
        shown = Markup().join(self._token(kind, word) for kind, word in pieces(text))
        return Markup('<pre class="sql" tabindex="0"><code>{}</code></pre>').format(shown)

    def _token(self, kind: str, word: str) -> Markup:
        if kind in _classes:
            return Markup('<i class="{}">{}</i>').format(_classes[kind], word)
        if kind == "word" and word.upper() in KEYWORDS | SCHEMA_KEYWORDS:
            return Markup("<b>{}</b>").format(word)
        return _anchor(self._ids["table", word], word) if ("table", word) in self._ids else escape(word)


def _anchor(id: str, text: str) -> Markup:
    return Markup('<a href="#{}">{}</a>').format(id, text)


def _named(catalog: Catalog) -> Iterator[tuple[str, str]]:
    for table in catalog.tables:
        yield "table", table.name
        yield from (("column", column.id) for column in table.columns)
    yield from (("statement", one.name) for one in catalog.statements)
    for table in catalog.tables:
        for kind, every in (("index", table.indexes), ("trigger", table.triggers), ("key", table.refers)):
            yield from ((kind, one.name) for one in every)
