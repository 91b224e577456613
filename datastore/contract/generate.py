"""Writes what a type checker sees of the statements, and the lock file.

For each .sql file a Protocol of its statements and the classes of their rows. The functions themselves are made when a
store is opened; the Protocols say, in code that mypy and pyright read, which there are, what each takes and what it
gives. They are code, not stub files, so that a test can compare them with the loaded functions.

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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path, PurePosixPath

import jinja2

from datastore.contract import lock
from datastore.contract.facts import ProjectFacts, StatementFacts
from datastore.contract.inference.results import Column
from datastore.contract.problems import Place, Problem
from datastore.contract.project import Project
from datastore.errors import ProjectError
from datastore.statements.loader import Statement

#: Is in every generated module, and tells it from a module that somebody else put into the folder.
MARK = "Do not edit: change the SQL, then run it again."

#: The Python types of the contract's types, as they are written in the modules.
_TYPES = {
    "text": "str",
    "integer": "int",
    "real": "float",
    "boolean": "bool",
    "timestamp": "datetime",
    "json": "Json",
    "rows": "list[Json]",
    "match": "object",
    "words": "object",
    "blob": "bytes",
    None: "object",
}

#: The types that include None.
_WITH_NONE = ("Json", "object")

#: A value of one of these is not what the driver gives: a row class decodes it.
_DECODED = frozenset({"real", "boolean", "timestamp", "json"})

_WIDTH = 116

_type_name = re.compile(r"[A-Za-z]+")
_field = re.compile(r"[A-Za-z]\w*", re.ASCII)


def modules(facts: ProjectFacts) -> dict[str, str]:
    """The text of each module, by its file name.

    Raises:
        ProjectError: A column or a record class has a name that the module cannot use.
    """
    nouns: dict[str, list[StatementFacts]] = {}
    for one in facts.statements.values():
        nouns.setdefault(one.noun, []).append(one)
    every = [Module(noun, nouns[noun], facts.project.statements, facts.project.records) for noun in sorted(nouns)]
    template = _templates().get_template("module.py.jinja")
    protocols = [("", "def"), ("Async", "async def")][: 1 + facts.project.asynchronous]
    texts = {
        f"{module.noun}.py": template.render(module=module, project=facts.project, protocols=protocols)
        for module in every
    }
    texts["__init__.py"] = _package(every, facts.project)
    for name, text in texts.items():
        _check_names(name, text)
    return texts


def _package(every: Sequence[Module], project: Project) -> str:
    named = sorted({record for module in every for record in module.records})
    rows = sorted((one.name, row_class_name(one.name)) for module in every for one in module.with_rows)
    package = ".".join(PurePosixPath(project.output).parts)
    imports = [(project.records, named)] if named else []
    for module in every:
        names = [*(row_class_name(one.name) for one in module.with_rows), protocol_name(module.noun)]
        names += [f"Async{protocol_name(module.noun)}"] * project.asynchronous
        imports.append((f"{package}.{module.noun}", sorted(names)))
    classes = {name: name for name in named} | dict(rows)
    template = _templates().get_template("package.py.jinja")
    return template.render(modules=every, project=project, imports=sorted(imports), classes=classes)


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("typed")),
        autoescape=False,  # noqa: S701 - Python, not HTML
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    functions = (row_class_name, protocol_name, hides_method, docstring, import_line)
    environment.globals.update({function.__name__: function for function in functions}, mark=MARK)
    return environment


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


def can_be_field(column: str) -> bool:
    return _field.fullmatch(column) is not None and not keyword.iskeyword(column)


def hides_method(column: str) -> bool:
    return hasattr(tuple, column)


def _check_names(module: str, text: str) -> None:
    """Ensure that a module defines no name twice: a record class may be named as something else in it is."""
    tree = ast.parse(text)
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    names += [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    names += [ast.unparse(node.target) for node in tree.body if isinstance(node, ast.AnnAssign)]
    for name, count in Counter(names).items():
        if count > 1:
            raise ProjectError(f"the generated module {module} has two things named {name}; rename the record {name}")


class Module:
    """What the template of one noun's module shows."""

    def __init__(self, noun: str, facts: Sequence[StatementFacts], folder: str, records_module: str) -> None:
        self.noun = noun
        self._records_module = records_module
        self.statements = [one.statement for one in facts]
        self.files = " and ".join(dict.fromkeys(f"{folder}/{one.file}" for one in self.statements))
        self.columns = {one.statement.name: one.columns for one in facts}
        self.records = sorted({one.header.record for one in self.statements if one.header.record is not None})
        #: The statements whose rows become a generated class.
        self.with_rows = [one for one in self.statements if _needs_row_class(one, self.columns[one.name])]
        #: The names in its classes, which no type can have there.
        self.taken = {one.name for one in self.statements}
        for one in self.with_rows:
            for column in self.columns[one.name]:
                if not can_be_field(column.name):
                    message = f"statement {one.name}: the column {column.name!r} cannot be a field in Python"
                    raise ProjectError(f"{message}; give it another name: ... AS name")
                self.taken.add(column.name)

    @cached_property
    def types(self) -> set[str]:
        """The types that it uses, by name."""
        kinds = [column.type for one in self.with_rows for column in self.columns[one.name]]
        kinds += [parameter.type for one in self.statements for parameter in one.header.parameters]
        kinds += [self.columns[one.name][0].type for one in self.statements if one.result == "value"]
        results = {"count": "int", "rows": "list"}
        used = [*(_TYPES[kind] for kind in kinds), *(results.get(one.result, "") for one in self.statements)]
        return {*_type_name.findall(" ".join(used))}

    @property
    def imports(self) -> list[str]:
        """Where its records and its JSON come from."""
        lines = [f"from {self._records_module} import {', '.join(self.records)}"] if self.records else []
        return lines + ["from datastore.values import Json"] * ("Json" in self.types)

    def result(self, statement: Statement) -> str:
        if statement.result == "count":
            return self._spelled("int")
        if statement.result == "value":
            column = self.columns[statement.name][0]
            return self.python(column.type, column.nullable or not statement.always_one)
        record = statement.header.record or row_class_name(statement.name)
        if statement.result == "rows":
            return f"{self._spelled('list')}[{record}]"
        return record if statement.always_one else f"{record} | None"

    def python(self, kind: str | None, nullable: bool) -> str:
        name = _TYPES[kind]
        return self._spelled(name) + (" | None" if nullable and name not in _WITH_NONE else "")

    def _spelled(self, kind: str) -> str:
        return _type_name.sub(lambda found: f"_{found[0]}" if found[0] in self.taken else found[0], kind)


def _needs_row_class(statement: Statement, columns: Sequence[Column]) -> bool:
    if statement.result == "count" or statement.header.record is not None:
        return False
    return statement.result != "value" or columns[0].type in _DECODED


def docstring(statement: Statement) -> str:
    lines = _wrapped(statement.header.purpose, "        ", '"""')
    parameters = statement.header.parameters
    if not parameters and len(lines) == 1 and len(lines[0]) <= _WIDTH + 1:
        return lines[0] + '"""'
    lines += ["", "        Args:"] * bool(parameters)
    for one in parameters:
        about = "; None: the filter is not applied" if one.name in statement.optional else ""
        lines += _wrapped(f"{one.name}: {one.meaning}{about}.", "            ", "")
    return "\n".join([*lines, '        """'])


def _wrapped(text: str, indent: str, start: str) -> list[str]:
    safe = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    deeper = indent + ("    " if not start else "")
    return textwrap.wrap(start + safe, _WIDTH, initial_indent=indent, subsequent_indent=deeper, break_long_words=False)


def import_line(module: str, names: Sequence[str]) -> str:
    """An import, as ruff formats it."""
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= 120:
        return line
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in names), ")"])


def generated_files(facts: ProjectFacts) -> dict[Path, str]:
    """The text of everything that is generated for a project, the lock file too, by its path."""
    project = facts.project
    files = {project.root / project.output / name: text for name, text in modules(facts).items()}
    now = lock.lock_of(facts)
    try:
        committed = lock.read(project.root / project.lock)
    except ProjectError:  # a merge was left half done: it is written again
        committed = {"statements": {}}
    # Another version of the engine makes other plans: those in the file stay until something else changes.
    return files | {project.root / project.lock: lock.write(now if lock.drifted(committed, now) else committed)}


def drift(facts: ProjectFacts) -> dict[Path, str | None]:
    """What has to be written, by its path; None for a module whose .sql file is gone."""
    folder = facts.project.root / facts.project.output
    return changed_files(generated_files(facts), folder.glob("*.py"), MARK)


def changed_files(files: Mapping[Path, str], others: Iterable[Path], mark: str) -> dict[Path, str | None]:
    """The *files* that are not as they should be; None for each of the *others* that is generated (has the *mark*)."""
    changed = {path: text for path, text in files.items() if not path.is_file() or path.read_text("utf-8") != text}
    gone = [path for path in sorted(others) if path not in files and mark in path.read_text("utf-8")]
    return {**changed, **dict.fromkeys(gone)}


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
