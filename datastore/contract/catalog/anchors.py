"""The ids of the page's places: #table, #table.column, #statement, and what to call them where two share a name."""

from __future__ import annotations

from collections.abc import Iterator

from datastore.contract.catalog.model import Catalog


class Anchors:
    """Name to id. The table keeps a name that a statement, index or trigger has too; theirs gets its kind before it."""

    def __init__(self, catalog: Catalog) -> None:
        self._ids: dict[tuple[str, str], str] = {}
        #: Every name to the id of the first thing that bears it.
        self.links: dict[str, str] = {}
        taken = {"overview", "search", "main"}
        for kind, name in _named(catalog):
            id = name if name not in taken and " " not in name else f"{kind}:{name}".replace(" ", "_")
            taken.add(id)
            self._ids[kind, name] = id
            self.links.setdefault(name, id)

    def id(self, kind: str, name: str) -> str:
        return self._ids[kind, name]

    def known(self, kind: str, name: str) -> str:
        """The id, or "" where the page has no such thing."""
        return self._ids.get((kind, name), "")


def _named(catalog: Catalog) -> Iterator[tuple[str, str]]:
    for table in catalog.tables:
        yield "table", table.name
        yield from (("column", column.id) for column in table.columns)
    yield from (("statement", one.name) for one in catalog.statements)
    for table in catalog.tables:
        yield from (("index", index.name) for index in table.indexes)
        yield from (("trigger", trigger.name) for trigger in table.triggers)
        yield from (("key", key.name) for key in table.refers)
