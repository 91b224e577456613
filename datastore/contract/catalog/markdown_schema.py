"""schema.md: the tables as the migrations make them, with a diagram that Mermaid draws."""

from __future__ import annotations

from collections.abc import Iterator

from datastore.contract.catalog import markdown
from datastore.contract.catalog.model import Catalog, TablePage


def schema_page(catalog: Catalog) -> str:
    """The whole page."""
    return "\n".join(_page(catalog)).rstrip() + "\n"


def _page(catalog: Catalog) -> Iterator[str]:
    engine = catalog.engine.partition(" ")[0].replace("sqlite", "SQLite")
    yield from ("# Schema", "", markdown.NOTE, "")
    yield f"The {engine} schema after {markdown.code(catalog.steps)}. Left out: yoyo's own tables and the shadow tables"
    yield "of virtual ones. The same, with who reads and writes each column: `catalog/index.html`, in a browser."
    yield ""
    plain = [table for table in catalog.tables if table.kind == "table"]
    if plain:
        yield from markdown.block("\n".join(_diagram(plain)), "mermaid")
    for table in catalog.tables:
        yield from _table(table)


def _diagram(tables: list[TablePage]) -> Iterator[str]:
    yield "erDiagram"
    for table in tables:
        nullable = {column.name for column in table.columns if column.nullable}
        for key in table.refers:
            one = "o|" if nullable & {*key.columns} else "||"
            yield f'    {table.name} }}o--{one} {key.parent} : "{", ".join(key.columns)}"'
    for table in tables:
        yield f"    {table.name} {{"
        for column in table.columns:
            marks = [mark for mark, true in (("PK", column.primary), ("FK", column.refers)) if true]
            yield f"        {column.type or 'ANY'} {column.name} {','.join(marks)}".rstrip()
        yield "    }"


def _table(table: TablePage) -> Iterator[str]:
    yield from (f"## {table.name}", "")
    if table.comment:
        yield from (markdown.prose(table.comment), "")
    options = f" {', '.join(table.options)}." if table.options else ""
    yield from (f"Made by {', then '.join(f'`{step}`' for step in table.steps)}.{options}", "")
    if table.kind != "table":
        yield from markdown.block(table.sql)
    else:
        yield from _columns(table)
    if table.constraints:
        yield from ("Constraints:", "")
        for rule in table.constraints:
            about = f" {markdown.prose(rule.comment)}" if rule.comment else ""
            yield f"- {f'`{rule.name}`: ' if rule.name else ''}`{rule.rule}`{about}"
        yield ""
    if table.refers:
        yield from ("Foreign keys:", "")
        for key in table.refers:
            target = f"{key.parent}.{', '.join(key.parent_columns)}"
            yield f"- `{', '.join(key.columns)}` → `{target}`, ON DELETE {key.on_delete}"
        yield ""
    if table.note:
        yield from (table.note.strip(), "")
    yield from _indexes(table)
    if table.triggers:
        yield from ("Triggers:", "")
        for trigger in table.triggers:
            about = f": {markdown.prose(trigger.comment)}" if trigger.comment else ""
            yield f"- `{trigger.name}`, {trigger.when}{about}"
        yield ""


def _columns(table: TablePage) -> Iterator[str]:
    rows = []
    for column in table.columns:
        about = markdown.prose(column.meaning)
        if column.primary:
            about = f"Primary key{f'. {about}' if about else ''}"
        default = f"`{column.default}`" if column.default else ""
        kind = f"{column.type}{f' ({column.logical})' if column.logical else ''}"
        rows.append((f"`{column.name}`", kind, "yes" if column.nullable else "no", default, about))
    yield from markdown.table(("column", "type", "NULL", "default", ""), rows)


def _indexes(table: TablePage) -> Iterator[str]:
    named = [index for index in table.indexes if not index.name.startswith("sqlite_autoindex_")]
    if not named:
        return
    yield from ("Indexes:", "")
    for index in named:
        about = f": {markdown.prose(index.comment)}" if index.comment else ""
        yield f"- `{index.name}`{about}"
        yield f"  `{'UNIQUE ' if index.unique else ''}{index.definition}`"
    yield ""
