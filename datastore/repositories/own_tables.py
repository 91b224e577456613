"""An application's own tables: which of their rows are deleted or unlinked with conversations and learnings.

The schema's foreign keys determine this. They are followed from row to row, including through this library's tables, as
the database follows them on a deletion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from datastore.engines.base import Engine
from datastore.engines.own_rows import Lookup, bind_lookups
from datastore.engines.schema import Reference, Schema, library_tables, read_schema
from datastore.records.own_rows import OwnRows
from datastore.repositories.base import Repository

#: Number of values that one statement looks up.
_AT_ONCE = 5000

_FOLLOWED = {"CASCADE": "deleted", "SET NULL": "unlinked", "SET DEFAULT": "unlinked"}


class OwnTableRepository(Repository):
    """The tables that this library did not create."""

    def dependents(self, starts: Mapping[str, Iterable[str]]) -> tuple[OwnRows, ...]:
        """The rows that a deletion deletes or unlinks, ordered by table name.

        Args:
            starts: The ids of the rows to delete, by table: "conversations" and "learnings".
        """
        schema = read_schema(lambda name: getattr(self._statements, name)())
        own = schema.keys() - library_tables()
        edges = [
            reference for table in schema.values() for reference in table.references if reference.on_delete in _FOLLOWED
        ]
        leading = _leading(own, edges)
        followed = [edge for edge in edges if edge.table.lower() in leading]
        if not followed:
            return ()
        return _Walk(self._engine, schema, own, followed, leading).go(starts)


def _leading(own: Iterable[str], edges: Sequence[Reference]) -> set[str]:
    """The tables that lead to an application's rows: its own tables, and those in between."""
    leading = set(own)
    while more := {edge.parent.lower() for edge in edges if edge.table.lower() in leading} - leading:
        leading |= more
    return leading


class _Walk:
    """One traversal of the foreign keys."""

    def __init__(
        self, engine: Engine, schema: Schema, own: set[str], edges: Sequence[Reference], leading: set[str]
    ) -> None:
        self._schema, self._own = schema, own
        self._edges: dict[str, list[tuple[Lookup, Reference, tuple[str, ...]]]] = {}
        lookups: dict[str, Lookup] = {
            name: self._lookup(f"list_{name}_by_id", name, ("id",), edges)
            for name in ("conversations", "learnings")
            if name in leading
        }
        self._starts = dict(lookups)
        for number, edge in enumerate(edges):
            lookup = lookups[str(number)] = self._lookup(f"list_referring_{number}", edge.table, edge.columns, edges)
            keys = edge.parent_columns or schema[edge.parent.lower()].key
            self._edges.setdefault(edge.parent.lower(), []).append((lookup, edge, keys))
        self._statements = bind_lookups(engine, list(lookups.values()))
        #: By table and fate, the rows by their identifying values.
        self._found: dict[tuple[str, str], dict[tuple[Any, ...], dict[str, Any]]] = {}

    def _lookup(self, name: str, table: str, columns: tuple[str, ...], edges: Sequence[Reference]) -> Lookup:
        found = self._schema[table.lower()]
        if table.lower() in self._own:
            shown = tuple(column.name for column in found.columns)
        else:
            needed = [
                key
                for edge in edges
                if edge.parent.lower() == table.lower()
                for key in (edge.parent_columns or found.key)
            ]
            shown = tuple(dict.fromkeys(needed))
        return Lookup(name, found, columns, shown)

    def go(self, starts: Mapping[str, Iterable[str]]) -> tuple[OwnRows, ...]:
        waiting: list[tuple[str, list[dict[str, Any]]]] = [
            (table, self._look_up(self._starts[table], "deleted", [[id] for id in ids]))
            for table, ids in starts.items()
            if table in self._starts
        ]
        while waiting:
            parent, rows = waiting.pop()
            for lookup, edge, names in self._edges.get(parent, ()):
                keys = [[_value(row, name) for name in names] for row in rows]
                fate = _FOLLOWED[edge.on_delete]
                new = self._look_up(lookup, fate, [key for key in keys if None not in key])
                if new and fate == "deleted":
                    waiting.append((edge.table.lower(), new))
        return self._results()

    def _look_up(self, lookup: Lookup, fate: str, keys: list[list[Any]]) -> list[dict[str, Any]]:
        """The rows found by this lookup that were not found before."""
        found = self._found.setdefault((lookup.table.name.lower(), fate), {})
        width, new = max(1, len(lookup.table.key)), []
        for start in range(0, len(keys), _AT_ONCE):
            for row in getattr(self._statements, lookup.name)(keys=keys[start : start + _AT_ONCE]):
                values = [value.hex() if isinstance(value, bytes) else value for value in row]
                identity = tuple(values[:width])
                if identity not in found:
                    found[identity] = dict(zip(lookup.shown, values[width:], strict=True))
                    new.append(found[identity])
        return new

    def _results(self) -> tuple[OwnRows, ...]:
        results = []
        for (table, fate), rows in sorted(self._found.items()):
            gone = self._found.get((table, "deleted"), {}) if fate == "unlinked" else {}
            kept = tuple(row for identity, row in rows.items() if identity not in gone)
            if table in self._own and kept:
                results.append(
                    OwnRows(
                        table=self._schema[table].name, fate="deleted" if fate == "deleted" else "unlinked", rows=kept
                    )
                )
        return tuple(results)


def _value(row: Mapping[str, Any], name: str) -> Any:
    """A value by column name; the case may differ, because foreign keys may spell it differently."""
    return row[name] if name in row else next(value for key, value in row.items() if key.lower() == name.lower())
