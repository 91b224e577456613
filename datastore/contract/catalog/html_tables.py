"""A table as HTML, and the answer to "what touches this column"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from datastore.contract.catalog import words
from datastore.contract.catalog.html_parts import Context, badge, code, facts, page, table
from datastore.contract.catalog.model import ColumnPage, IndexPage, TablePage, TriggerPage, User
from datastore.contract.schema import ForeignKey

_ORDER = ("read", "insert", "update", "delete")


def table_page(one: TablePage, context: Context) -> str:
    """The whole view of one table."""
    made = ", then ".join(context.step(step) for step in one.steps)
    title = f"{escape(one.name)} {''.join(badge(option) for option in one.options)}"
    body = [
        f'<p class="lead">{context.prose(one.comment)}</p>' if one.comment else "",
        f"<p>{context.prose(one.note)}</p>" if one.note else "",
        facts([("Made by", made), ("Statements", _statements(one, context))]),
        _columns(one, context),
        _users(one, context),
        _constraints(one, context),
        _keys(one, context),
        _indexes(one, context),
        _triggers(one, context),
        f"<h3>As it was created</h3>{context.sql(one.sql + ';')}" if one.kind != "table" else "",
    ]
    id = context.anchors.id("table", one.name)
    return page("table", id, one.name, title, "\n".join(filter(None, body)), one.kind)


def _statements(one: TablePage, context: Context) -> str:
    names = [name for name, _ in one.statements]
    if not names:
        return "none touches it"
    listed = context.links("statement", names)
    return f"<details><summary>{len(names)} touch it</summary>{listed}</details>" if len(names) > 6 else listed


def _columns(one: TablePage, context: Context) -> str:
    rows = []
    for column in one.columns:
        kind = escape(column.type.lower()) or "any"
        logical = badge(column.logical) if column.logical else ""
        null = badge("or NULL", "null") if column.nullable else badge("NOT NULL")
        null = null if one.kind == "table" else ""
        key = badge("key", "key") if column.primary else ""
        refers = "".join(f" → {_parent(foreign, column.name, context)}" for foreign in column.refers)
        default = f'<small class="default">default {code(column.default)}</small>' if column.default else ""
        meaning = context.prose(column.meaning) + default
        rows.append(
            (f"{context.link('column', column.id, column.name)} {key}", f"{kind} {logical}{null}", f"{meaning}{refers}")
        )
    return "<h3>Columns</h3>" + table(("column", "type", "meaning"), rows, "columns")


def _parent(key: ForeignKey, column: str, context: Context) -> str:
    place = key.columns.index(column)
    target = key.parent_columns[place] if place < len(key.parent_columns) else ""
    return context.link("column", f"{key.parent}.{target}")


def _users(one: TablePage, context: Context) -> str:
    """Who touches each column, one fold a column."""
    return "<h3>What touches each column</h3>" + "".join(_column_users(column, context) for column in one.columns)


def _column_users(column: ColumnPage, context: Context) -> str:
    counts = [(action, column.used(action)) for action in _ORDER]
    said = ", ".join(f"{_COUNTED[action]} {len(found)}" for action, found in counts if found) or "nothing"
    lists = "".join(
        f'<div class="users"><h4>{_HEADS[action]}</h4><ul>{"".join(_user(user, context) for user in found)}</ul></div>'
        for action, found in counts
        if found
    )
    id = context.anchors.id("column", column.id)
    return (
        f'<details class="col" id="{escape(id)}" data-kind="column" data-name="{escape(column.id)}" '
        f'data-hint="{escape(said)}"><summary><code>{escape(column.name)}</code> <small>{said}</small></summary>'
        f"{lists or '<p>No statement and no trigger reads or writes it.</p>'}</details>"
    )


_COUNTED = {"read": "read by", "insert": "inserted by", "update": "updated by", "delete": "its row deleted by"}
_HEADS = {"read": "Read by", "insert": "Inserted by", "update": "Updated by", "delete": "Its row deleted by"}


def _user(user: User, context: Context) -> str:
    through = [by for by in user.by if by]
    shown = f" <small>through {', '.join(context.by(by) for by in through)}</small>" if through else ""
    if through and "" in user.by:
        shown = f" <small>itself, and{shown[7:]}" if shown else ""
    mark = badge("trigger") if user.kind == "trigger" else ""
    return f"<li>{context.link(user.kind, user.name)} {mark}{shown}</li>"


def _constraints(one: TablePage, context: Context) -> str:
    if not one.constraints:
        return ""
    rows = [
        (code(rule.name), f"{code(rule.rule)}<small>{context.prose(rule.comment)}</small>") for rule in one.constraints
    ]
    return "<h3>Constraints</h3>" + table(("constraint", "rule"), rows, "constraints")


def _keys(one: TablePage, context: Context) -> str:
    if not one.refers and not one.referred:
        return ""
    rows = [("to", *_key_row(key, context, key.parent)) for key in one.refers]
    rows += [("from", *_key_row(key, context, key.table)) for key in one.referred]
    return "<h3>Foreign keys</h3>" + table(("", "table", "columns", "when the parent's row goes", "name"), rows, "keys")


def _key_row(key: ForeignKey, context: Context, other: str) -> Sequence[str]:
    columns = f"{code(', '.join(key.columns))} → {code(', '.join(key.parent_columns))}"
    id = context.anchors.known("key", key.name)
    name = f'<span id="{escape(id)}">{code(key.name)}</span>' if other == key.parent else context.link("key", key.name)
    rule = key.on_delete if key.on_update == "NO ACTION" else f"{key.on_delete} (ON UPDATE {key.on_update})"
    return context.link("table", other), columns, escape(rule), name


def _indexes(one: TablePage, context: Context) -> str:
    return "<h3>Indexes</h3>" + "".join(_index(index, context) for index in one.indexes) if one.indexes else ""


def _index(index: IndexPage, context: Context) -> str:
    id = context.anchors.id("index", index.name)
    unique = badge("unique", "key") if index.unique else ""
    serves = facts(
        [
            ("Statements", context.links("statement", index.statements)),
            ("Within", context.links("statement", index.indirect)),
            ("Foreign keys", context.links("key", index.foreign_keys)),
            ("Made by", context.step(index.step) if index.step else ""),
        ]
    )
    if not (index.statements or index.indirect or index.foreign_keys):
        serves += '<p class="own">No statement, trigger or foreign key reads it.</p>'
    return (
        f'<div class="card" id="{escape(id)}" data-kind="index" data-name="{escape(index.name)}" '
        f'data-hint="index of {escape(index.table)}"><h4>{escape(index.name)} {unique}</h4>'
        f"<p><code>{escape(index.definition)}</code></p>"
        f"{f'<p>{context.prose(index.comment)}</p>' if index.comment else ''}{serves}</div>"
    )


def _triggers(one: TablePage, context: Context) -> str:
    return "<h3>Triggers</h3>" + "".join(_trigger(trigger, context) for trigger in one.triggers) if one.triggers else ""


def _trigger(trigger: TriggerPage, context: Context) -> str:
    id = context.anchors.id("trigger", trigger.name)
    fired = context.links("statement", trigger.statements) or "no statement: only what others write"
    return (
        f'<div class="card" id="{escape(id)}" data-kind="trigger" data-name="{escape(trigger.name)}" '
        f'data-hint="trigger of {escape(trigger.table)}"><h4>{escape(trigger.name)} {badge(trigger.when)}</h4>'
        f"{f'<p>{context.prose(trigger.comment)}</p>' if trigger.comment else ''}"
        f"{context.sql(trigger.sql + ';')}"
        + facts(
            [
                *(_touch_lines(trigger, context)),
                ("Fired by", fired),
                ("Made by", context.step(trigger.step) if trigger.step else ""),
            ]
        )
        + "</div>"
    )


def _touch_lines(trigger: TriggerPage, context: Context) -> Iterator[tuple[str, str]]:
    found: dict[str, list[str]] = {}
    for touch in trigger.touches:
        name = f"{touch.table}.{touch.column}" if touch.column else ""
        shown = context.link("column", name) if name else context.link("table", touch.table)
        found.setdefault(words.DOES[touch.action], []).append(shown)
    yield from ((does.capitalize(), ", ".join(dict.fromkeys(shown))) for does, shown in found.items())
