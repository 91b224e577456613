"""The names in generated code, collected from the code itself, and statements whose user chose the same names."""

from __future__ import annotations

import ast
import builtins
import dis
import keyword
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from datastore import Datastore
from datastore.engines.postgresql.engine import DIALECT
from datastore.errors import StatementError
from datastore.records import rows
from datastore.resources import sql_folder
from datastore.statements import binding, typed
from datastore.statements.binding import SQLITE, Statements, bind
from datastore.statements.loader import read_statements

#: A value that does harm if it ever runs.
HARM = "DELETE FROM conversations"


class Nowhere:
    """An executor that nothing runs on."""

    read = write = change = failed = None


def generated_functions() -> Iterator[FunctionType]:
    """The function of every statement of this library, on each engine, and the readers of its records."""
    executor: Any = Nowhere()
    for engine, dialect in (("sqlite", SQLITE), ("postgresql", DIALECT)):
        statements = read_statements(sql_folder(), engine)
        bound = bind(statements, executor, typed.RECORDS, dialect)
        yield from (getattr(bound, name) for name in statements)
    for record in typed.RECORDS.values():
        reader: Any = rows.RowReader(record)
        yield from (reader.one, reader.many)


def own_names(function: FunctionType) -> set[str]:
    """The variables of a generated function and of its scope, without its parameters and its own name."""
    return _variables(function.__code__) | set(function.__globals__) - {function.__name__}


def _variables(code: CodeType) -> set[str]:
    inner = (_variables(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    arguments = code.co_varnames[: code.co_kwonlyargcount]
    read = {one.argval for one in dis.get_instructions(code) if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return {*read, *code.co_varnames, *code.co_freevars, *code.co_cellvars}.difference(arguments).union(*inner)


def _everything(function: FunctionType) -> set[str]:
    return own_names(function) | {*function.__code__.co_names, *function.__code__.co_varnames, function.__name__}


def in_scopes() -> list[str]:
    """Every name that a user's name could meet: in functions, in generated modules, in Python itself."""
    names = set().union(*map(_everything, generated_functions()))
    for module in Path(typed.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            names |= {value for key, value in ast.iter_fields(node) if key in ("id", "arg", "name", "attr", "asname")}
    names |= {*dir(builtins), *keyword.kwlist, *keyword.softkwlist, *dir(Statements({}))}
    names |= {*vars(binding), *vars(rows), *vars(typed)}
    return sorted(name for name in names - {None} if name.replace(".", "").isidentifier() and "." not in name)


def is_accepted(name: str) -> bool:
    """Whether a statement and a parameter can have a name."""
    return name.isascii() and name == name.lower() and name[0].isalpha() and not keyword.iskeyword(name)


def statement(name: str, sql: str, parameters: list[tuple[str, str]], operator: str = "", rows: str = "any") -> str:
    """A statement with its header; each parameter is a name and a type."""
    lines = "".join(f"--   {name}  {kind}  a value\n" for name, kind in parameters)
    names = ", ".join(name for name, _ in parameters)
    return (
        f"-- name: {name}({names}){operator}\n-- A test.\n{lines}-- Index: none (a test)\n-- Rows: {rows}\n{sql};\n\n"
    )


def misunderstood(store: Datastore, folder: Path) -> Iterator[str]:
    """Every name of `in_scopes` as a statement and as its parameter, which must come back: yields what does not."""
    accepted = [name for name in in_scopes() if is_accepted(name)]
    text = [statement(name, f"SELECT CAST(:{name} AS TEXT) AS given", [(name, "text")], "$", "1") for name in accepted]
    (folder / "names.sql").write_text("".join(text), encoding="utf-8")
    try:
        bound = store.bind(folder)
    except StatementError as error:
        yield f"refused: {error}"
        return
    for name in accepted:
        try:
            given = getattr(bound, name)(**{name: HARM})
        except Exception as error:
            yield f"{name}: {type(error).__name__}: {error}"
        else:
            if given != HARM:
                yield f"{name}: gave {given!r}"
