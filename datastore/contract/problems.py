"""What a check found, and how it is shown: ``file:line:column``, the line, a caret, a hint.

A rule is known by one name everywhere: in messages, in ``Allow:`` lines, in the tests and in docs/contract-checks.md.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs


@attrs.frozen
class Rule:
    """One thing that the check looks for."""

    #: What it asks for, in half a sentence.
    asks: str
    #: Whether an ``Allow:`` line with a reason may waive it.
    waivable: bool = True


#: Every rule, by name, in the order in which the documents list them.
RULES: dict[str, Rule] = {
    # The files themselves.
    "configuration": Rule("`[tool.datastore]` names only what exists", waivable=False),
    "file": Rule("a file can be read: UTF-8, a name that Python can have, no merge marks", waivable=False),
    "header": Rule("each statement has its whole header, in order", waivable=False),
    "duplicate-name": Rule("a name is defined once: aiosql lets the last one win", waivable=False),
    "operator": Rule("the operator fits the statement: `^`, `$`, `!` or none", waivable=False),
    "comment": Rule("no comment after or inside SQL: aiosql may find parameters in it", waivable=False),
    "many-statements": Rule("one statement under one name", waivable=False),
    "waiver": Rule("an `Allow:` line names a rule, gives a reason and is needed", waivable=False),
    # The schema.
    "migration": Rule("every step applies", waivable=False),
    "rollback": Rule("the rollback of a step restores the schema exactly"),
    "migration-changed": Rule("a released step never changes", waivable=False),
    "primary-key": Rule("a table has a primary key"),
    "not-strict": Rule("a table is STRICT: another one keeps neither types nor NULL out of its primary key"),
    "foreign-key-index": Rule("an index leads with a foreign key's columns"),
    "narrower": Rule("a step that changes the type of a column keeps every value (PostgreSQL)"),
    "unused-index": Rule("some statement, foreign key or trigger uses each index"),
    # Against the schema.
    "prepare": Rule("the statement prepares on the schema that the migrations make", waivable=False),
    "released": Rule("the statements of the last release prepare on it too"),
    "parameters": Rule("name line, header and SQL have the same parameters", waivable=False),
    "parameter-type": Rule("a parameter's type is the type of the column that it meets"),
    "rows": Rule("`Rows:` says what the operator says, and `Rows: 1` is certain"),
    "record": Rule("the record's fields are the select list", waivable=False),
    "no-caller": Rule("a repository calls the statement"),
    "engines": Rule(
        "both engines have the same steps, tables, columns, defaults, keys and CHECKs, and results that are never NULL"
    ),
    # The vet rules.
    "star": Rule("columns are spelled out, never `*`"),
    "uncast": Rule("an expression has a `CAST`, so that its type is a promise"),
    "unaliased": Rule("an expression has an alias, and each column a name that a field in Python can have"),
    "duplicate-column": Rule("no two result columns have one name"),
    "one-row": Rule("`^` and `$` give one row at most, provably"),
    "one-column": Rule("`$` selects one column: the others would be dropped"),
    "returning-operator": Rule("RETURNING of one row at most has the operator `^` or `$`"),
    "max-rows": Rule("a list has a LIMIT that is a parameter"),
    "limit-order": Rule("LIMIT comes after a total order"),
    "offset": Rule("no OFFSET: it reads what it skips; page by key"),
    "no-where": Rule("UPDATE and DELETE have a WHERE"),
    "insert-columns": Rule("INSERT names its columns"),
    "replace": Rule("no REPLACE: it deletes the row first, without its triggers, with its children"),
    "or-ignore": Rule("no OR IGNORE: it hides NOT NULL and CHECK too; ON CONFLICT (...) DO NOTHING"),
    "clock": Rule("no clock: the instant is a parameter"),
    "optional-filter": Rule("no `:p IS NULL OR`: it makes a scan of a search"),
    "null-comparison": Rule("no `= NULL`: it is never true"),
    "quoted-string": Rule("no text in double quotes: it is a column's name, or a typing error that runs"),
    # The plan.
    "index": Rule("the header names the index that the plan uses"),
    "full-scan": Rule("no plan reads a whole table that is not marked small"),
    "sort": Rule("a plan sorts where the header says so, and nowhere else"),
    "automatic-index": Rule("no plan builds an index for itself"),
    "row-lock": Rule(
        "rows that a statement selects up to a LIMIT and then changes are locked: FOR UPDATE (PostgreSQL)"
    ),
    "plan": Rule("the plan is the one that was last accepted (`--update`)", waivable=False),
    # What is generated (`datastore generate`).
    "generated": Rule("the generated code and the lock file are those of the statements", waivable=False),
}

#: Rules that only a server can tell of: without one, nobody knows whether their waivers are needed.
SERVER_RULES = frozenset({"engines", "narrower", "row-lock"})


#: The rules that a table which is not STRICT breaks in each statement.
_FOLLOWS = ("uncast", "record", "limit-order", "one-row")


@attrs.frozen
class Place:
    """A place in a file of the project."""

    #: Relative to the project's folder.
    file: str
    #: From 1; 0 is the file as a whole.
    line: int = 0
    column: int = 1
    #: How many characters the caret underlines.
    length: int = 1
    #: The line's text.
    text: str = ""
    #: The statement that it is in; "" where it is about the schema or the project.
    statement: str = ""


@attrs.frozen
class Problem:
    """One broken rule."""

    #: A name of `RULES`.
    rule: str
    place: Place
    message: str
    hint: str | None = None
    #: More lines, shown as they are: a plan, a difference.
    notes: tuple[str, ...] = ()
    #: The table, index, foreign key or step that it is about, for ``[tool.datastore.allow]``.
    subject: str = ""

    @property
    def statement(self) -> str:
        return self.place.statement

    def __attrs_post_init__(self) -> None:
        assert self.rule in RULES, self.rule

    def render(self) -> str:
        """The problem for people, as a compiler would show it."""
        place = self.place
        where = f"{place.file}:{place.line}:{place.column}" if place.line else place.file
        out = [f"{where}: {self.rule}: {self.message}"]
        margin = " " * (len(str(place.line)) + 2)
        if place.line:
            # A tab stays a tab, so that the caret stands under its word.
            blanks = "".join("\t" if character == "\t" else " " for character in place.text[: place.column - 1])
            out.append(f"{margin}|")
            out.append(f" {place.line} | {place.text}".rstrip())
            out.append(f"{margin}| {blanks}{'^' * max(1, place.length)}")
        out += [f"{margin}= {note}".rstrip() for note in self.notes]
        if self.hint:
            out.append(f"{margin}= hint: {self.hint}")
        return "\n".join(out)

    def as_json(self) -> dict[str, object]:
        every = {**attrs.asdict(self.place), **attrs.asdict(self, recurse=False), "notes": list(self.notes)}
        names = ("rule", "file", "line", "column", "length", "message", "hint", "notes", "statement", "subject")
        return {name: every[name] for name in names}


def distinct(problems: Iterable[Problem]) -> list[Problem]:
    """The problems, each cause once.

    A statement's problem may be that of each choice of its optional lines; one of the schema may be that of each table.
    What follows from tables that are not STRICT is left out while that itself is a problem.
    """
    loose = {problem.subject for problem in problems if problem.rule == "not-strict"}
    first: dict[tuple[object, ...], Problem] = {}
    for one in problems:
        if one.rule in _FOLLOWS and one.subject in loose:
            continue
        at = one.place if one.statement or one.rule != "not-strict" else one.hint
        key = (one.statement, one.rule, one.message, at)
        if key not in first:
            first[key] = one
        elif one.rule == "not-strict":
            also = f"also: {one.place.file}:{one.place.line}: {one.subject}"
            first[key] = attrs.evolve(first[key], notes=(*first[key].notes, also))
    return list(first.values())


def sort_key(problem: Problem) -> tuple[str, int, int, str]:
    return problem.place.file, problem.place.line, problem.place.column, problem.rule
