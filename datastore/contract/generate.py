"""Writes what a type checker sees: for each .sql file a Protocol of its statements and the classes of their rows.

The functions themselves are made when a store is opened; the Protocols say, in code that mypy and pyright read, which
there are, what each takes and what it gives. They are code, not stubs beside code, so that a test can compare
them with the loaded functions (`datastore.statements.binding.signature`).
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import attrs

from datastore.contract import lock
from datastore.contract.facts import ProjectFacts
from datastore.contract.inference import Column
from datastore.contract.problems import Place, Problem
from datastore.statements.binding import row_class_name
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
    "match": "object",
    "words": "object",
    "blob": "bytes",
    None: "Any",
}

#: A value of one of these is not what the driver gives: a row class decodes it.
_DECODED = frozenset({"real", "boolean", "timestamp", "json"})

_WIDTH = 116

#: pyright takes a method of a Protocol without it for one that returns None.
_BODY = "        ..."

#: Stands in every generated module, and tells it from one that somebody put beside it.
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
    """What has to be written, by its path; None for a module that no .sql file stands behind any more."""
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
            yield Problem("generated", place, "no .sql file stands behind this module any more", "datastore generate")
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
    """
    nouns: dict[str, list[Statement]] = {}
    for statement in statements.values():
        nouns.setdefault(PurePosixPath(statement.file).stem, []).append(statement)
    texts = {f"{noun}.py": _text(_module(noun, nouns[noun], columns, target)) for noun in sorted(nouns)}
    texts["__init__.py"] = _text(_package(nouns, columns, target))
    return texts


def protocol_name(noun: str) -> str:
    """What the Protocol of ``job_queue.sql`` is called: JobQueueStatements."""
    return "".join(word.capitalize() for word in noun.split("_")) + "Statements"


def needs_row_class(statement: Statement, columns: Sequence[Column]) -> bool:
    """Whether a class is generated for a statement's rows."""
    if statement.result == "count" or statement.header.record is not None:
        return False
    return statement.result != "value" or columns[0].type in _DECODED


def _text(lines: Iterator[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"


def _module(
    noun: str, statements: Sequence[Statement], columns: Mapping[str, Sequence[Column]], target: Target
) -> Iterator[str]:
    files = " and ".join(f"{target.folder}/{file}" for file in dict.fromkeys(one.file for one in statements))
    rows = [one for one in statements if needs_row_class(one, columns.get(one.name, ()))]
    body = [line for one in rows for line in _row_class(one, columns[one.name])]
    body += list(_protocol(noun, files, statements, columns))
    yield f'"""The statements of {files}, as a type checker sees them.'
    yield ""
    yield f"Generated by `{target.command}`. {_MARK}"
    yield '"""'
    yield ""
    yield "from __future__ import annotations"
    yield ""
    code = "\n".join(line for line in body if not line.lstrip().startswith('"""'))
    if "datetime" in code:
        yield "from datetime import datetime"
    names = [name for name in ("Any", "NamedTuple", "Protocol") if name in code]
    yield f"from typing import {', '.join(names)}"
    records = sorted({one.header.record for one in statements if one.header.record is not None})
    if records:
        yield ""
        yield f"from {target.records} import {', '.join(records)}"
    yield from body


def _row_class(statement: Statement, columns: Sequence[Column]) -> Iterator[str]:
    yield ""
    yield ""
    yield f"class {row_class_name(statement.name)}(NamedTuple):"
    yield f'    """A row of {statement.name}."""'
    yield ""
    for column in columns:
        yield f"    {column.name}: {_python(column.type, column.nullable)}"


def _protocol(
    noun: str, files: str, statements: Sequence[Statement], columns: Mapping[str, Sequence[Column]]
) -> Iterator[str]:
    yield ""
    yield ""
    yield f"class {protocol_name(noun)}(Protocol):"
    yield f'    """{files}."""'
    for statement in statements:
        yield ""
        yield from _method(statement, columns.get(statement.name, ()))


def _method(statement: Statement, columns: Sequence[Column]) -> Iterator[str]:
    given = _result(statement, columns)
    parameters = statement.header.parameters
    if parameters:
        yield f"    def {statement.name}("
        yield "        self,"
        yield "        *,"
        for one in sorted(parameters, key=lambda one: one.name in statement.optional):
            yield f"        {_parameter(one, one.name in statement.optional)},"
        yield f"    ) -> {given}:"
    else:
        yield f"    def {statement.name}(self) -> {given}:"
    yield from _docstring(statement)


def _parameter(parameter: Parameter, optional: bool) -> str:
    kind = _python(parameter.type, parameter.nullable or optional)
    return f"{parameter.name}: {kind}{' = None' if optional else ''}"


def _result(statement: Statement, columns: Sequence[Column]) -> str:
    """The type of what a statement's function returns."""
    if statement.result == "count":
        return "int"
    if statement.result == "value":
        return _python(columns[0].type, columns[0].nullable or not statement.always_one)
    record = statement.header.record or row_class_name(statement.name)
    if statement.result == "rows":
        return f"list[{record}]"
    return record if statement.always_one else f"{record} | None"


def _python(kind: str | None, nullable: bool) -> str:
    name = PYTHON_TYPES[kind]
    return f"{name} | None" if nullable and name != "Any" else name


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


def _package(
    nouns: Mapping[str, Sequence[Statement]], columns: Mapping[str, Sequence[Column]], target: Target
) -> Iterator[str]:
    rows = {
        noun: sorted(row_class_name(one.name) for one in statements if needs_row_class(one, columns.get(one.name, ())))
        for noun, statements in sorted(nouns.items())
    }
    records = {one.header.record for statements in nouns.values() for one in statements}
    named = sorted(record for record in records if record is not None)
    yield '"""What the statements take and give, for type checkers: a Protocol a file, and the classes of rows.'
    yield ""
    yield f"Generated by `{target.command}`. {_MARK}"
    yield '"""'
    yield ""
    yield "from __future__ import annotations"
    yield ""
    yield "import os"
    yield "from typing import TYPE_CHECKING, Any, Protocol, cast"
    imports = [(target.records or "", named)] if named else []
    imports += [(f"{target.package}.{noun}", [*names, protocol_name(noun)]) for noun, names in rows.items()]
    yield ""
    for module, names in sorted(imports):
        yield from _import(module, sorted(names))
    yield ""
    yield "if TYPE_CHECKING:"
    yield "    from datastore.statements.binding import Binder"
    yield ""
    yield "#: The classes that rows become, by name."
    every = sorted([*named, *(name for names in rows.values() for name in names)])
    if every:
        yield "RECORDS: dict[str, type[Any]] = {"
        for name in every:
            yield f'    "{name}": {name},'
        yield "}"
    else:
        yield "RECORDS: dict[str, type[Any]] = {}"
    yield ""
    yield ""
    yield "class Statements("
    for noun in rows:
        yield f"    {protocol_name(noun)},"
    yield "    Protocol,"
    yield "):"
    yield f'    """Every statement of {target.folder}."""'
    yield ""
    yield ""
    yield "def bind(store: Binder, folder: str | os.PathLike[str]) -> Statements:"
    yield '    """The statements of *folder*, which is this package\'s, on *store*: they run in its transactions."""'
    yield "    return cast(Statements, store.bind(folder, RECORDS))"


def _import(module: str, names: Sequence[str]) -> Iterator[str]:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= 120:
        yield line
        return
    yield f"from {module} import ("
    for name in names:
        yield f"    {name},"
    yield ")"
