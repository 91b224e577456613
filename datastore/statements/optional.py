"""Optional lines: one statement in the file, one static statement for each choice of filters.

A line that ends in ``-- if: category`` is there where the argument *category* is given, and gone where it is
None; ``-- if: category, not tag`` also asks that *tag* is not given. What is in the file is plain SQL with every filter;
what runs is one of its 2**k variants, each prepared and its plan checked like any other statement. So there is no
``:p IS NULL OR column = :p``, which no index serves (perf/optional_lines.py).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence, Set

import attrs

from datastore.errors import StatementError

#: More optional parameters than this would make more variants than anybody reviews.
MAX_OPTIONAL = 6

_marker = re.compile(r"[ \t]+-- if: (?P<names>(?:not )?[a-z][a-z0-9_]*(?:, (?:not )?[a-z][a-z0-9_]*)*)[ \t]*$")
_quoted_or_variable = re.compile(r"'(?:''|[^'])*'|\"(?:\"\"|[^\"])*\"|(?<![:\w]):(?P<name>[a-z][a-z0-9_]*)")


@attrs.frozen
class Line:
    """One line of SQL, and the optional parameters that it is there for."""

    #: Without the marker.
    text: str
    #: It is there where all of these are given ...
    names: frozenset[str]
    #: ... and none of these.
    without: frozenset[str]
    #: As the file has it.
    source: str

    def is_there(self, given: Set[str]) -> bool:
        """Whether it is part of the statement that these parameters are given to."""
        return self.names <= given and not self.without & given


def without_markers(text: str) -> str:
    """A file's text as aiosql shall see it: a comment after SQL would become part of it."""
    return "\n".join(split(line).text for line in text.split("\n"))


def split(line: str) -> Line:
    """A line, and the names in its marker."""
    found = None if line.lstrip().startswith("--") else _marker.search(line)
    if found is None:
        return Line(line, frozenset(), frozenset(), line)
    names = found["names"].split(", ")
    without = frozenset(name.removeprefix("not ") for name in names if name.startswith("not "))
    return Line(line[: found.start()], frozenset(names) - {f"not {name}" for name in without}, without, line)


def optional_parameters(lines: Sequence[Line], declared: Sequence[str], where: str) -> tuple[str, ...]:
    """The parameters that some line is there for, in the order of their declaration.

    Raises:
        StatementError: A marker names no parameter, an optional parameter is in a line without its marker, or
            there are too many.
    """
    named = frozenset().union(*(line.names | line.without for line in lines))
    if unknown := sorted(named - set(declared)):
        raise StatementError(f"{where}: '-- if:' names {', '.join(unknown)}, which is no parameter of it")
    for line in lines:
        if loose := sorted(named & variables(line.text) - line.names):
            raise StatementError(
                f"{where}: :{loose[0]} is optional, but a line without '-- if: {loose[0]}' uses it: {line.text.strip()}"
            )
    if len(named) > MAX_OPTIONAL:
        raise StatementError(f"{where}: {len(named)} optional parameters; at most {MAX_OPTIONAL} are expanded")
    return tuple(name for name in declared if name in named)


def variables(text: str) -> set[str]:
    """The parameters in a text."""
    return {found["name"] for found in _quoted_or_variable.finditer(text) if found["name"]}


@functools.cache
def by_position(text: str) -> tuple[str, tuple[str, ...]]:
    """*text* with ``?`` for each parameter, and their names in the order of the marks; worked out once a process."""
    names: list[str] = []

    def mark(found: re.Match[str]) -> str:
        if not found["name"]:
            return found[0]
        names.append(found["name"])
        return "?"

    return _quoted_or_variable.sub(mark, text), tuple(names)


@functools.cache
def by_name(text: str) -> str:
    """*text* with ``%(name)s`` for each parameter, as psycopg has it; per cent signs are doubled."""
    return _quoted_or_variable.sub(
        lambda found: f"%({found['name']})s" if found["name"] else found[0], text.replace("%", "%%")
    )


def by_number(text: str) -> tuple[str, tuple[str, ...]]:
    """*text* with ``$1``, ``$2``, ... as PostgreSQL itself has it, and the name of each number; one name, one number."""
    names: dict[str, int] = {}

    def mark(found: re.Match[str]) -> str:
        return f"${names.setdefault(found['name'], len(names) + 1)}" if found["name"] else found[0]

    return _quoted_or_variable.sub(mark, text), tuple(names)


def variants(lines: Sequence[Line], optional: Sequence[str], where: str) -> tuple[str, ...]:
    """The SQL for each set of given parameters: bit n of the place says whether ``optional[n]`` is given.

    Raises:
        StatementError: Some set has a parameter that would change nothing.
    """
    texts = []
    for bits in range(2 ** len(optional)):
        given = {name for place, name in enumerate(optional) if bits >> place & 1}
        text = "\n".join(line.text for line in lines if line.is_there(given))
        if idle := sorted(given - variables(text)):
            raise StatementError(f"{where}: given {', '.join(sorted(given))}, no line uses :{idle[0]}")
        texts.append(text.strip().removesuffix(";").rstrip())
    return tuple(texts)


def source(lines: Sequence[Line]) -> str:
    """The SQL as a DBA reads it, without the semicolon at its end."""
    return "\n".join(line.source for line in lines).strip().removesuffix(";").rstrip()
