"""Writes what a type checker sees: for each .sql file a Protocol of its statements and the classes of their rows.

The functions themselves are made when a store is opened; the Protocols say, in code that mypy and pyright read, which
there are, what each takes and what it gives. They are code, not stub files, so that a test can compare them with the
loaded functions.

Users choose the names of statements, parameters, columns and record classes. A statement or a column with the name of
a type (``list``, ``bytes``) would replace that type in the class that it is in; such a module calls the type ``_list``
or ``_bytes`` instead, for no name of a user begins with an underscore.
"""

from __future__ import annotations

import ast
import difflib
import keyword
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import attrs

from datastore.contract import lock
from datastore.contract.facts import ProjectFacts
from datastore.contract.inference.results import Column
from datastore.contract.problems import Place, Problem
from datastore.errors import ProjectError
from datastore.statements.headers import Parameter
from datastore.statements.loader import Statement

#: The Python types of the contract's types, as they are written in the modules.
PYTHON_TYPES = {
    "text": "str",
    "integer": "int",
    "real": "float",
    "boolean": "bool",
    "timestamp": "datetime",
    "json": "Any",
    "rows": "list[Any]",
    "match": "str",
    "blob": "bytes",
    None: "Any",
}

#: A value of one of these is not what the driver gives: a row class decodes it.
_DECODED = frozenset({"real", "boolean", "timestamp", "json"})

_WIDTH = 116

#: Fields that hide a method of tuple, which type checkers refuse.
_TUPLE_METHODS = frozenset(dir(tuple))

_type_name = re.compile(r"[A-Za-z]+")
_field = re.compile(r"[A-Za-z]\w*", re.ASCII)

#: pyright takes a method of a Protocol without it for one that returns None.
_BODY = "        ..."

#: Is in every generated module, and tells it from a module that somebody else put into the folder.
_MARK = "Do not edit: change the SQL, then run it again."


@attrs.frozen(kw_only=True)
class Target:
    """Where the modules go."""

    #: The package of the modules: "datastore.statements.typed".
    package: str
    #: The module with the record classes that headers name: "datastore.records"; None: there are none.
    records: str | None
    #: Where the statements stand, for docstrings: "sql".
    folder: str
    #: What to run again.
    command: str = "datastore generate"


def generated_files(facts: ProjectFacts) -> dict[Path, str]:
    """The text of everything that is generated for a project, the lock file too, by its path."""
    project = facts.project
    target = Target(
        package=".".join(PurePosixPath(project.output).parts), records=project.records, folder=project.statements
    )
    texts = modules(
        {name: one.statement for name, one in facts.statements.items()},
        {name: one.columns for name, one in facts.statements.items()},
        target,
    )
    files = {project.root / project.output / name: text for name, text in texts.items()}
    committed, now = lock.read(project.root / project.lock), lock.lock_of(facts)
    # Another version of the engine makes other plans: those in the file stay until something else changes.
    return files | {project.root / project.lock: lock.write(now if lock.drifted(committed, now) else committed)}


def drift(facts: ProjectFacts) -> dict[Path, str | None]:
    """What has to be written, by its path; None for a module whose .sql file is gone."""
    files = generated_files(facts)
    folder = facts.project.root / facts.project.output
    stale = [path for path in sorted(folder.glob("*.py")) if path not in files and _is_generated(path)]
    changed = {path: text for path, text in files.items() if not path.is_file() or path.read_text("utf-8") != text}
    return {**changed, **dict.fromkeys(stale)}


def check_generated(facts: ProjectFacts) -> Iterator[Problem]:
    """What of the generated files is not as it would be written; nothing where a project has none."""
    project = facts.project
    if not (project.root / project.output).is_dir() and not (project.root / project.lock).is_file():
        return
    for path, text in drift(facts).items():
        place = Place(file=project.show(path))
        if text is None:
            yield Problem("generated", place, "the .sql file of this module is gone", "datastore generate")
            continue
        before = path.read_text("utf-8") if path.is_file() else ""
        lines = difflib.unified_diff(before.splitlines(), text.splitlines(), "as it is", "as generated", "", "", 1, "")
        message = "this file is not what the statements make it"
        yield Problem("generated", place, message, "datastore generate", tuple(lines)[2:22])


def write(changes: Mapping[Path, str | None]) -> None:
    """Write what `drift` found."""
    for path, text in changes.items():
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")


def _is_generated(path: Path) -> bool:
    return _MARK in path.read_text(encoding="utf-8")


def modules(
    statements: Mapping[str, Statement], columns: Mapping[str, Sequence[Column]], target: Target
) -> dict[str, str]:
    """The text of each module, by its file name.

    Args:
        statements: By name.
        columns: What each statement that gives rows returns, by its name.
        target: Where the modules go.

    Raises:
        ProjectError: A column or a record class has a name that the module cannot use.
    """
    nouns: dict[str, list[Statement]] = {}
    for statement in statements.values():
        nouns.setdefault(PurePosixPath(statement.file).stem, []).append(statement)
    each = [_Module(noun, nouns[noun], columns, target) for noun in sorted(nouns)]
    lines = {f"{module.noun}.py": module.lines() for module in each} | {"__init__.py": _package(each, target)}
    texts = {name: "\n".join(written).rstrip() + "\n" for name, written in lines.items()}
    for name, text in texts.items():
        _check_names(name, text)
    return texts


def row_class_name(statement: str) -> str:
    """The name of the generated class of a statement's rows: list_tag_counts -> ListTagCountsRow.

    Two statements never have the same: an underscore that no letter follows stays, so get_x_1 -> GetX_1Row.
    """
    return _camel_case(statement) + "Row"


def protocol_name(noun: str) -> str:
    """The name of the Protocol of ``job_queue.sql``: JobQueueStatements. Two files never have the same."""
    return _camel_case(noun) + "Statements"


def _camel_case(name: str) -> str:
    return re.sub("(?:^|_)([a-z])", lambda found: found[1].upper(), name)


def needs_row_class(statement: Statement, columns: Sequence[Column]) -> bool:
    """Whether a class is generated for a statement's rows."""
    if statement.result == "count" or statement.header.record is not None:
        return False
    return statement.result != "value" or columns[0].type in _DECODED


def can_be_field(column: str) -> bool:
    """Whether a row class can have a field of a column's name."""
    return _field.fullmatch(column) is not None and not keyword.iskeyword(column)


def _check_names(module: str, text: str) -> None:
    """Ensure that a module defines no name twice: a record class may be named as something else in it is."""
    tree = ast.parse(text)
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    names += [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    names += [ast.unparse(node.target) for node in tree.body if isinstance(node, ast.AnnAssign)]
    for name, count in Counter(names).items():
        if count > 1:
            raise ProjectError(f"the generated module {module} has two things named {name}; rename the record {name}")


class _Module:
    """The module of one noun: the row classes and the Protocol of its statements."""

    def __init__(
        self, noun: str, statements: Sequence[Statement], columns: Mapping[str, Sequence[Column]], target: Target
    ) -> None:
        self.noun = noun
        self.statements = statements
        self.target = target
        self.columns = {one.name: columns.get(one.name, ()) for one in statements}
        #: The statements whose rows become a generated class.
        self.with_rows = [one for one in statements if needs_row_class(one, self.columns[one.name])]
        self.records = {one.header.record for one in statements if one.header.record is not None}
        #: The names in its classes, which no type can have there.
        self._taken = {one.name for one in statements} | {
            column.name for one in self.with_rows for column in self.columns[one.name]
        }
        self._renamed: set[str] = set()

    def lines(self) -> Iterator[str]:
        """Its text."""
        files = " and ".join(f"{self.target.folder}/{file}" for file in dict.fromkeys(s.file for s in self.statements))
        body = [line for one in self.with_rows for line in self._row_class(one)]
        body += list(self._protocol(files))
        yield f'"""The statements of {files}, as a type checker sees them.'
        yield ""
        yield f"Generated by `{self.target.command}`. {_MARK}"
        yield '"""'
        yield ""
        yield "from __future__ import annotations"
        yield ""
        code = "\n".join(line for line in body if not line.lstrip().startswith('"""'))
        if "datetime" in code:
            yield "from datetime import datetime"
        names = [name for name in ("Any", "NamedTuple", "Protocol") if name in code]
        yield f"from typing import {', '.join(names)}"
        if self.records:
            yield ""
            yield f"from {self.target.records} import {', '.join(sorted(self.records))}"
        if self._renamed:
            yield ""
        for name in sorted(self._renamed):
            yield f"_{name} = {name}"
        yield from body

    def _row_class(self, statement: Statement) -> Iterator[str]:
        yield ""
        yield ""
        yield f"class {row_class_name(statement.name)}(NamedTuple):"
        yield f'    """A row of {statement.name}."""'
        yield ""
        for column in self.columns[statement.name]:
            if not can_be_field(column.name):
                raise ProjectError(
                    f"statement {statement.name}: the column {column.name!r} cannot be a field in Python;"
                    " give it another name: ... AS name"
                )
            ignored = "  # type: ignore[assignment]" if column.name in _TUPLE_METHODS else ""
            yield f"    {column.name}: {self._python(column.type, column.nullable)}{ignored}"

    def _protocol(self, files: str) -> Iterator[str]:
        yield ""
        yield ""
        yield f"class {protocol_name(self.noun)}(Protocol):"
        yield f'    """{files}."""'
        for statement in self.statements:
            yield ""
            yield from self._method(statement)

    def _method(self, statement: Statement) -> Iterator[str]:
        given = self._result(statement)
        parameters = statement.header.parameters
        if parameters:
            yield f"    def {statement.name}("
            yield f"        {'_' * any(one.name == 'self' for one in parameters)}self,"
            yield "        *,"
            for one in sorted(parameters, key=lambda one: one.name in statement.optional):
                yield f"        {self._parameter(one, one.name in statement.optional)},"
            yield f"    ) -> {given}:"
        else:
            yield f"    def {statement.name}(self) -> {given}:"
        yield from _docstring(statement)

    def _parameter(self, parameter: Parameter, optional: bool) -> str:
        kind = self._python(parameter.type, parameter.nullable or optional)
        return f"{parameter.name}: {kind}{' = None' if optional else ''}"

    def _result(self, statement: Statement) -> str:
        """The type of what a statement's function returns."""
        if statement.result == "count":
            return self._spelled("int")
        if statement.result == "value":
            column = self.columns[statement.name][0]
            return self._python(column.type, column.nullable or not statement.always_one)
        record = statement.header.record or row_class_name(statement.name)
        if statement.result == "rows":
            return f"{self._spelled('list')}[{record}]"
        return record if statement.always_one else f"{record} | None"

    def _python(self, kind: str | None, nullable: bool) -> str:
        name = PYTHON_TYPES[kind]
        return self._spelled(name) + (" | None" if nullable and name != "Any" else "")

    def _spelled(self, kind: str) -> str:
        """A type as this module writes it."""
        self._renamed |= self._taken & set(_type_name.findall(kind))
        return _type_name.sub(lambda found: f"_{found[0]}" if found[0] in self._taken else found[0], kind)


def _docstring(statement: Statement) -> Iterator[str]:
    header = statement.header
    purpose = _wrapped(header.purpose, "        ", '"""')
    if not header.parameters:
        if len(purpose) == 1 and len(purpose[0]) + 3 <= _WIDTH + 4:
            yield purpose[0] + '"""'
        else:
            yield from purpose
            yield '        """'
        yield _BODY
        return
    yield from purpose
    yield ""
    yield "        Args:"
    for one in header.parameters:
        about = "; None does not ask for it" if one.name in statement.optional else ""
        yield from _wrapped(f"{one.name}: {one.meaning}{about}.", "            ", "")
    yield '        """'
    yield _BODY


def _wrapped(text: str, indent: str, start: str) -> list[str]:
    safe = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    deeper = indent + ("    " if not start else "")
    return textwrap.wrap(start + safe, _WIDTH, initial_indent=indent, subsequent_indent=deeper, break_long_words=False)


def _package(modules: Sequence[_Module], target: Target) -> Iterator[str]:
    named = sorted(set().union(*(module.records for module in modules)))
    rows = {one.name: row_class_name(one.name) for module in modules for one in module.with_rows}
    yield '"""What the statements take and give, for type checkers: a Protocol for each file, and the classes of rows.'
    yield ""
    yield f"Generated by `{target.command}`. {_MARK}"
    yield '"""'
    yield ""
    yield "from __future__ import annotations"
    yield ""
    yield "from os import PathLike"
    yield "from typing import TYPE_CHECKING, Any, Protocol"
    imports = [(target.records or "", named)] if named else []
    for module in modules:
        names = [*(row_class_name(one.name) for one in module.with_rows), protocol_name(module.noun)]
        imports.append((f"{target.package}.{module.noun}", names))
    yield ""
    for name, names in sorted(imports):
        yield from _import(name, sorted(names))
    yield ""
    yield "if TYPE_CHECKING:"
    yield "    from datastore.statements.binding import Binder"
    yield ""
    yield "#: The record classes by name, and the classes of other rows by their statements' names."
    classes = {**{name: name for name in named}, **dict(sorted(rows.items()))}
    if classes:
        yield "RECORDS: dict[str, type[Any]] = {"
        for key, name in classes.items():
            yield f'    "{key}": {name},'
        yield "}"
    else:
        yield "RECORDS: dict[str, type[Any]] = {}"
    yield ""
    yield ""
    yield "class Statements("
    for module in modules:
        yield f"    {protocol_name(module.noun)},"
    yield "    Protocol,"
    yield "):"
    yield f'    """Every statement of {target.folder}."""'
    yield ""
    yield ""
    yield "def bind(store: Binder, folder: str | PathLike[str]) -> Statements:"
    yield '    """The statements of *folder*, which is this package\'s, on *store*: they run in its transactions."""'
    yield "    statements: Statements = store.bind(folder, RECORDS)"
    yield "    return statements"


def _import(module: str, names: Sequence[str]) -> Iterator[str]:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= 120:
        yield line
        return
    yield f"from {module} import ("
    for name in names:
        yield f"    {name},"
    yield ")"
