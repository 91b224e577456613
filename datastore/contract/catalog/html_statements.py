"""A statement as HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from datastore.contract.catalog import words
from datastore.contract.catalog.html_parts import Context, badge, code, facts, page, table
from datastore.contract.catalog.model import Choice, StatementPage


def statement(one: StatementPage, context: Context) -> str:
    """The whole view of one statement."""
    header = one.facts.statement.header
    source = one.facts.source
    writes = one.facts.statement.writes
    title = f"{escape(one.name)} {badge('writes', 'write') if writes else badge('reads', 'read')}"
    notes = [(escape(label), context.prose(text)) for label, text in header.notes.items()]
    body = [
        f'<p class="lead">{context.prose(header.purpose)}</p>',
        facts(
            [
                ("File", context.file(source.file, source.line)),
                ("Gives", escape(words.gives(one))),
                ("Rows", context.prose(header.rows)),
                ("Record", code(header.record or "")),
                ("Called by", ", ".join(map(code, one.callers)) or "nothing in the package"),
                *notes,
            ]
        ),
        context.sql(one.facts.statement.source + ";"),
        *(f'<p class="waiver">{badge("waived", "warn")} {context.prose(text)}</p>' for text in header.waivers),
        _parameters(one, context),
        _columns(one, context),
        _touches(one, context),
        _choices(one, context),
        _server(one, context),
    ]
    return page("statement", context.anchors.id("statement", one.name), one.name, title, "\n".join(body), one.group)


def _server(one: StatementPage, context: Context) -> str:
    """What PostgreSQL runs in its place."""
    if one.server is None:
        return ""
    if isinstance(one.server, str):
        return f"<h3>PostgreSQL</h3><p>{words.ON_SERVER[one.server]}</p>"
    differs = context.prose(one.server.header.notes.get("Differs", ""))
    file = context.file(f"{context.catalog.project.statements}/{one.server.file}", one.server.line)
    text = context.sql(one.server.source + ";")
    return f"<h3>PostgreSQL</h3><p>{file}: {differs}</p>{text}"


def _parameters(one: StatementPage, context: Context) -> str:
    header, optional = one.facts.statement.header, one.facts.statement.optional
    if not header.parameters:
        return ""
    rows = []
    for parameter in header.parameters:
        kind, null, given = words.parameter_type(parameter, optional)
        marks = badge(null, "null") + badge(given, "opt")
        rows.append((code(parameter.name), f"{kind} {marks}", context.prose(parameter.meaning)))
    return "<h3>Parameters</h3>" + table(("parameter", "type", "meaning"), rows, "parameters")


def _columns(one: StatementPage, context: Context) -> str:
    if not one.facts.columns:
        return ""
    rows = []
    for column in one.facts.columns:
        origin = ".".join(column.origin) if column.origin else ""
        name = context.link("column", origin, column.name) if origin else escape(column.name)
        null = badge("or NULL", "null") if column.nullable else badge("NOT NULL")
        rows.append(
            (f"<code>{name}</code>", f"{escape(words.column_type(column))} {null}", context.prose(column.reason))
        )
    return "<h3>Result</h3>" + table(("column", "type", "why"), rows, "columns")


def _touches(one: StatementPage, context: Context) -> str:
    found = words.touched(one.touches)
    if not found:
        return "<h3>Touches</h3><p>No table.</p>"
    rows = []
    for row in found:
        through = ", ".join(map(context.by, row.through)) or '<span class="own">its own words</span>'
        reads = (_linked(row.table, row.actions["read"], context) or "counts rows") if "read" in row.actions else ""
        writes = "<br>".join(
            f"{badge(words.DOES[action], 'write')} {_linked(row.table, columns, context)}"
            for action, columns in row.actions.items()
            if action != "read"
        )
        rows.append((context.link("table", row.table), reads, writes, through))
    fires = f"<p>Fires {context.links('trigger', one.fires)}.</p>" if one.fires else ""
    return "<h3>Touches</h3>" + table(("table", "reads", "writes", "through"), rows, "touches") + fires


def _linked(name: str, columns: Sequence[str], context: Context) -> str:
    return ", ".join(context.link("column", f"{name}.{column}", column) for column in columns)


def _choices(one: StatementPage, context: Context) -> str:
    return "<h3>Plan and time</h3>" + "".join(_choice(one, choice, context) for choice in one.choices)


def _choice(one: StatementPage, choice: Choice, context: Context) -> str:
    title = ""
    if len(one.choices) > 1:
        title = f"<h4>{f'with {code(choice.which)}' if choice.which else 'with no optional line'}</h4>"
    index = f'<p class="promise"><span>Index:</span> {context.prose(choice.index)}</p>'
    lines = "\n".join(map(_plan_line, choice.plan)) or '<i class="c">reads no table</i>'
    return f'<div class="choice">{title}{index}<pre class="plan" tabindex="0">{lines}</pre>{_times(one, choice, context)}</div>'


def _plan_line(line: str) -> str:
    how, _, rest = line.partition(" ")
    css = "scan" if how == "SCAN" and "VIRTUAL TABLE" not in line else "temp" if how == "TEMP" else "search"
    return f'<b class="{css}">{escape(how)}</b> {escape(rest)}'


def _times(one: StatementPage, choice: Choice, context: Context) -> str:
    measured = context.catalog.measured
    if measured is None:
        return ""
    if not choice.times:
        why = f": {escape(one.not_timed)}" if one.not_timed else ""
        return f'<p class="times none">Not timed{why}</p>'
    nothing = "<small>with arguments that find no row</small>" if one.found_nothing else ""
    return f'<p class="times">{"".join(_time(choice, rows) for rows in measured.rows)}{nothing}</p>'


def _time(choice: Choice, rows: str) -> str:
    if rows not in choice.times:
        return ""
    p50, p95, p99 = choice.times[rows]
    return (
        f'<span class="time"><em>{words.size(rows)} rows</em> <b>{words.micros(p50)}</b>'
        f" <small>p95 {words.micros(p95)}, p99 {words.micros(p99)}</small></span>"
    )


def overview_rows(context: Context) -> Iterator[tuple[str, ...]]:
    """A row for each statement: name and purpose, what it writes, times."""
    measured = context.catalog.measured
    for one in context.catalog.statements:
        purpose = one.facts.statement.header.purpose
        first = purpose.split(". ")[0].rstrip(".") + "."
        cells = [
            f"{context.link('statement', one.name)}<small>{escape(first)}</small>",
            context.links("table", one.changes) or '<span class="own">nothing</span>',
        ]
        for rows in measured.rows if measured else ():
            slowest = words.slowest(one, rows)
            cells.append(f'<data value="{slowest:.1f}">{words.micros(slowest)}</data>' if slowest is not None else "–")
        yield tuple(cells)
