"""Which code calls which statement, from the code as it is written; and the statements that none calls."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from datastore.contract.problems import Problem
from datastore.contract.project import Project
from datastore.contract.sources import Source, of_file

#: A name, string or attribute as a pattern, with the class and function around it.
_Mention = tuple[tuple[str, ...], str]


def check_callers(project: Project, sources: Sequence[Source]) -> Iterator[Problem]:
    """A statement that nothing calls is not tested, and is there for somebody to change by mistake."""
    unread: list[Problem] = []
    callers = find_callers({source.name for source in sources}, project, unread)
    yield from unread
    for source in sources if (project.root / project.repositories).is_dir() else ():
        if not callers[source.name]:
            message = f"nothing in {project.repositories} calls this statement"
            yield Problem("no-caller", source.name_place, message, "delete it, or call it")


def find_callers(names: set[str], project: Project, unread: list[Problem]) -> dict[str, list[str]]:
    """For each statement, which functions of the project's package mention it: as an attribute, or as a string.

    The generated modules name every statement, and call none.
    A name that is put together (``f"{verb}_messages"``) counts where no function has the whole one. Each file that
    Python cannot parse is added to *unread*, and mentions every name that is in its text.
    """
    package, generated = project.root / project.repositories, project.root / project.output
    whole: dict[str, set[str]] = {name: set() for name in names}
    partly: dict[str, set[str]] = {name: set() for name in names}
    # Most files mention none: they need not be parsed.
    hint = re.compile("|".join((r"\}_", *map(re.escape, sorted(names)))))
    for path in sorted(package.rglob("*.py")):
        text = path.read_bytes()
        if generated in path.parents or not hint.search(text.decode("utf-8", errors="replace")):
            continue
        module = ".".join(path.relative_to(package.parent).with_suffix("").parts)
        try:
            mentions = list(_mentions(ast.parse(text), ()))
        except (SyntaxError, ValueError) as error:
            unread.append(_unread(path, project.show(path), error))
            mentions = [((), word) for word in re.findall(r"\w+", text.decode("utf-8", errors="replace"))]
        for scope, pattern in mentions:
            plain = pattern.replace("\\", "")
            if plain in names:
                whole[plain].update(_shown(module, scope, mentions, plain))
            elif pattern.startswith("[a-z]+_"):
                for name in names:
                    if re.fullmatch(pattern, name):
                        partly[name].update(_shown(module, scope, mentions, name))
    return {name: sorted(whole[name] or partly[name]) for name in sorted(names)}


def _unread(path: Path, shown: str, error: Exception) -> Problem:
    line = f"{error.lineno or 1}:" if isinstance(error, SyntaxError) else ""
    version = ".".join(map(str, sys.version_info[:2]))
    reason = error.msg if isinstance(error, SyntaxError) else error
    hint = "finish a merge, correct it, or run the check with the Python that the application runs on"
    return of_file(path, shown, f"{shown}:{line} Python {version} cannot read this file: {reason}; {hint}")


def _mentions(node: ast.AST, scope: tuple[str, ...]) -> Iterator[_Mention]:
    match node:
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            scope = (*scope, node.name)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            yield scope, name
        case ast.Constant(value=str(text)):
            yield scope, re.escape(text)
        case ast.JoinedStr(values=parts):
            texts = (re.escape(str(part.value)) if isinstance(part, ast.Constant) else "[a-z]+" for part in parts)
            yield scope, "".join(texts)
            return
    for child in ast.iter_child_nodes(node):
        yield from _mentions(child, scope)


def _shown(module: str, scope: tuple[str, ...], mentions: Sequence[_Mention], name: str) -> Iterator[str]:
    if scope and scope[0][0].isupper():
        yield ".".join(scope)  # a class says enough without its module
        return
    # A function of the module works for the methods that use it; of those, for the one named like the statement's verb.
    users = {user for user, used in mentions if scope and used == scope[-1] and user and user[0][0].isupper()}
    named = {user for user in users if user[-1] == name.partition("_")[0]}
    yield from (".".join(user) for user in sorted(named or users))
    if not users:
        yield ".".join((module, *scope))
