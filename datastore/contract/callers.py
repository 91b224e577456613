"""Which code calls which statement, from the code as it is written."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path


def find_callers(names: set[str], package: Path, generated: Path) -> dict[str, list[str]]:
    """For each statement, which functions of *package* (a folder) mention it: as an attribute, or as a string.

    The modules in the folder *generated* name every statement, and call none.
    A name that is put together (``f"{verb}_messages"``) counts where no function has the whole one.
    """
    whole: dict[str, set[str]] = {name: set() for name in names}
    partly: dict[str, set[str]] = {name: set() for name in names}
    # Most files mention none: they need not be parsed.
    hint = re.compile("|".join((r"\}_", *map(re.escape, sorted(names)))))
    for path in sorted(package.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if generated in path.parents or not hint.search(text):
            continue
        module = ".".join(path.relative_to(package.parent).with_suffix("").parts)
        mentions = _mentions(ast.parse(text))
        for scope, pattern in mentions:
            plain = pattern.replace("\\", "")
            if plain in names:
                whole[plain].update(_shown(module, scope, mentions, plain))
            elif pattern.startswith("[a-z]+_"):
                for name in names:
                    if re.fullmatch(pattern, name):
                        partly[name].update(_shown(module, scope, mentions, name))
    return {name: sorted(whole[name] or partly[name]) for name in sorted(names)}


def _mentions(tree: ast.AST) -> list[tuple[tuple[str, ...], str]]:
    """Each attribute, name and string in *tree*, as a pattern, with the class and function around it."""
    found: list[tuple[tuple[str, ...], str]] = []
    waiting: list[tuple[ast.AST, tuple[str, ...]]] = [(tree, ())]
    while waiting:
        node, scope = waiting.pop()
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            scope = (*scope, node.name)
        elif isinstance(node, ast.Attribute):
            found.append((scope, node.attr))
        elif isinstance(node, ast.Name):
            found.append((scope, node.id))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append((scope, re.escape(node.value)))
        elif isinstance(node, ast.JoinedStr):
            parts = (re.escape(str(part.value)) if isinstance(part, ast.Constant) else "[a-z]+" for part in node.values)
            found.append((scope, "".join(parts)))
            continue
        waiting += [(child, scope) for child in ast.iter_child_nodes(node)]
    return found


def _shown(
    module: str, scope: tuple[str, ...], mentions: list[tuple[tuple[str, ...], str]], name: str
) -> Iterator[str]:
    if scope and scope[0][0].isupper():
        yield ".".join(scope)  # a class says enough without its module
        return
    # A function of the module works for the methods that use it; of those, for the one named like the statement's verb.
    users = {user for user, used in mentions if scope and used == scope[-1] and user and user[0][0].isupper()}
    named = {user for user in users if user[-1] == name.partition("_")[0]}
    for user in sorted(named or users):
        yield ".".join(user)
    if not users:
        yield ".".join((module, *scope))
