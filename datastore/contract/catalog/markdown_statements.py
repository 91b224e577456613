"""statements.md: every statement with its parameters, result, plan, what it touches, SQL and caller."""

from __future__ import annotations

from collections.abc import Iterator

from datastore.contract.catalog import markdown, words
from datastore.contract.catalog.model import Catalog, StatementPage


def statements_page(catalog: Catalog) -> str:
    """The whole page."""
    return "\n".join(_page(catalog)).rstrip() + "\n"


def _page(catalog: Catalog) -> Iterator[str]:
    own = sum("/" in one.facts.statement.file for one in catalog.statements)
    yield from ("# Statements", "", markdown.NOTE, "")
    folder = f"`{catalog.project.statements}/{catalog.project.engine}/`"
    yield f"{len(catalog.statements)} statements, {own} of them in the engine's own words ({folder})."
    yield f"Each is one row of a table below, then its header, its result, its plan ({catalog.engine}) and its SQL."
    yield "The same, to search and to click through: `catalog/index.html`, in a browser."
    yield ""
    for noun, pages in catalog.groups():
        yield from (f"## {noun}", "")
        rows = [
            (f"[{one.name}](#{one.name})", f"`{one.facts.source.file}`", one.facts.statement.header.rows, _callers(one))
            for one in pages
        ]
        yield from markdown.table(("statement", "file", "rows", "called by"), rows)
        for one in pages:
            yield from _statement(one)


def _statement(one: StatementPage) -> Iterator[str]:
    header = one.facts.statement.header
    yield from (f"### {one.name}", "", markdown.prose(header.purpose), "")
    if header.parameters:
        rows = []
        for parameter in header.parameters:
            kind, null, given = words.parameter_type(parameter, one.facts.statement.optional)
            rows.append(
                (f"`{parameter.name}`", f"{kind} {null}".strip() + (f", {given}" if given else ""), parameter.meaning)
            )
        yield from markdown.table(("parameter", "type", "meaning"), rows)
    if one.facts.columns:
        results = (
            (f"`{column.name}`", words.column_type(column), "yes" if column.nullable else "no", column.reason)
            for column in one.facts.columns
        )
        yield from markdown.table(("result", "type", "NULL", "why"), results)
    yield from _facts(one)
    yield from markdown.block(one.facts.statement.source + ";")
    if one.server is not None and not isinstance(one.server, str):
        yield from (f"On PostgreSQL (`{one.server.file}`, line {one.server.line}):", "")
        yield from markdown.block(one.server.source + ";")


def _facts(one: StatementPage) -> Iterator[str]:
    header, source = one.facts.statement.header, one.facts.source
    yield f"- File: `{source.file}`, line {source.line}"
    yield f"- Gives: {words.gives(one)}{'; writes' if one.facts.statement.writes else ''}"
    yield f"- Index: {header.index}"
    for names, text in header.index_with:
        yield f"  - with {', '.join(sorted(names))}: {text}"
    yield f"- Rows: {header.rows}"
    if header.record:
        yield f"- Record: {header.record}"
    for label, text in [*header.notes.items(), *(("Allow", waiver) for waiver in header.waivers)]:
        yield f"- {label}: {text}"
    for label, reads in (("Reads", True), ("Writes", False)):
        if named := _tables(one, reads):
            yield f"- {label}: {named}"
    if one.fires:
        yield f"- Fires: {markdown.code(one.fires)}"
    yield f"- Called by: {_callers(one)}"
    if isinstance(one.server, str):
        yield f"- PostgreSQL: {words.ON_SERVER[one.server]}"
    for choice in one.choices:
        given = "" if len(one.choices) == 1 else f" with {choice.which or 'no optional line'}"
        yield f"- Plan{given}: {'; '.join(f'`{line}`' for line in choice.plan) or 'reads no table'}"
        if choice.times:
            yield f"  - {words.times_line(choice.times)}"
    yield ""


def _tables(one: StatementPage, reads: bool) -> str:
    """The tables, those of its own words first; what only triggers and foreign keys touch in brackets."""
    own = dict.fromkeys(touch.table for touch in one.touches if touch.writes != reads and not touch.by)
    through = dict.fromkeys(touch.table for touch in one.touches if touch.writes != reads and touch.table not in own)
    more = f"through triggers and foreign keys {markdown.code(through)}" if through else ""
    return "; ".join(filter(None, (markdown.code(own), more)))


def _callers(one: StatementPage) -> str:
    return markdown.code(one.callers) or "nothing in the package"
