"""Optional lines: one statement in the file becomes one static statement per combination of filters.

A line that ends in ``-- if: category`` is included if the argument *category* is given, and dropped if it is None;
``-- if: category, not tag`` also requires that *tag* is not given. The file contains plain SQL with every filter; each
call runs one of its 2**k variants, and every variant is prepared and its plan checked like any other statement. This
avoids ``:p IS NULL OR column = :p``, which cannot use an index (perf/optional_lines.py).

Parameters that no marker names without each other, as in ``-- if: after_created_at, after_id``, are one choice: a call
gives all of them or none.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence, Set

import attrs

from datastore.errors import StatementError

#: Maximum number of choices; more would create too many variants to review.
MAX_OPTIONAL = 6

_marker = re.compile(r"[ \t]+-- if: (?P<names>(?:not )?[a-z][a-z0-9_]*(?:, (?:not )?[a-z][a-z0-9_]*)*)[ \t]*$")
#: What is quoted, in either engine: nothing in it is a parameter, a comment or the end of a statement.
QUOTED = (
    r"(?<!\w)[eE]'(?:\\.|''|[^'\\])*'|'(?:''|[^'])*'|\"(?:\"\"|[^\"])*\"|`[^`]*`"
    r"|(?<!\w)\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$"
)
# Not the casts and slices of PostgreSQL: text::date, tags[2:n].
_quoted_or_variable = re.compile(rf"{QUOTED}|(?<![:\w\])]):(?P<name>[^\W\d]\w*)", re.DOTALL)


@attrs.frozen
class Line:
    """One line of SQL, and the optional parameters that it depends on."""

    #: Without the marker.
    text: str
    #: The line is included if all of these are given ...
    names: frozenset[str]
    #: ... and none of these.
    without: frozenset[str]
    #: As written in the file.
    source: str

    def is_there(self, given: Set[str]) -> bool:
        """Whether the line is included if these parameters are given."""
        return self.names <= given and not self.without & given


def without_markers(text: str) -> str:
    """A file's text for aiosql, which would treat a comment after SQL as part of the SQL."""
    return "\n".join(split(line).text if "-- if:" in line else line for line in text.split("\n"))


def split(line: str) -> Line:
    """Split a line into its SQL and the names in its marker."""
    found = None if "-- if:" not in line or line.lstrip().startswith("--") else _marker.search(line)
    if found is None:
        return Line(line, frozenset(), frozenset(), line)
    names = found["names"].split(", ")
    without = frozenset(name.removeprefix("not ") for name in names if name.startswith("not "))
    return Line(line[: found.start()], frozenset(names) - {f"not {name}" for name in without}, without, line)


def optional_parameters(lines: Sequence[Line], declared: Sequence[str], where: str) -> tuple[str, ...]:
    """The parameters that some line depends on, in order of declaration.

    Raises:
        StatementError: A marker names an unknown parameter, or an optional parameter is used in a line without its marker.
    """
    named = frozenset().union(*(line.names | line.without for line in lines))
    if unknown := sorted(named - set(declared)):
        raise StatementError(f"{where}: '-- if:' names {', '.join(unknown)}, which is not a parameter of the statement")
    if not named:
        return ()
    for line in lines:
        if loose := sorted(named & variables(line.text) - line.names):
            raise StatementError(
                f"{where}: :{loose[0]} is optional, but a line without '-- if: {loose[0]}' uses it: {line.text.strip()}"
            )
    return tuple(name for name in declared if name in named)


def choices(lines: Sequence[Line], optional: Sequence[str], where: str) -> tuple[tuple[str, ...], ...]:
    """The optional parameters, each with those that no line names without it: given together, or not at all.

    Raises:
        StatementError: There are too many.
    """
    signs = [(n, sign, names) for n, line in enumerate(lines) for sign, names in ((1, line.names), (0, line.without))]
    markers = {name: {(n, sign) for n, sign, names in signs if name in names} for name in optional}
    found = dict.fromkeys(tuple(two for two in optional if markers[two] == markers[one]) for one in optional)
    if len(found) > MAX_OPTIONAL:
        raise StatementError(f"{where}: {len(found)} optional parameters; at most {MAX_OPTIONAL} are expanded")
    return tuple(found)


def variables(text: str) -> set[str]:
    """The parameters that a text uses."""
    return {found["name"] for found in _quoted_or_variable.finditer(text) if found["name"]}


@functools.cache
def by_position(text: str) -> tuple[str, tuple[str, ...]]:
    """*text* with ``?`` for each parameter, and the parameter names in order of use; cached."""
    names: list[str] = []

    def mark(found: re.Match[str]) -> str:
        if not found["name"]:
            return found[0]
        names.append(found["name"])
        return "?"

    return _quoted_or_variable.sub(mark, text), tuple(names)


@functools.cache
def by_name(text: str) -> str:
    """*text* with ``%(name)s`` for each parameter, for psycopg; per cent signs are doubled."""
    return _quoted_or_variable.sub(
        lambda found: f"%({found['name']})s" if found["name"] else found[0], text.replace("%", "%%")
    )


def by_number(text: str) -> tuple[str, tuple[str, ...]]:
    """*text* with ``$1``, ``$2``, ..., as in PostgreSQL's PREPARE, and the name of each number; one number per name."""
    names: dict[str, int] = {}

    def mark(found: re.Match[str]) -> str:
        return f"${names.setdefault(found['name'], len(names) + 1)}" if found["name"] else found[0]

    return _quoted_or_variable.sub(mark, text), tuple(names)


def variants(lines: Sequence[Line], groups: Sequence[Sequence[str]], where: str) -> tuple[str, ...]:
    """The SQL for each set of given choices: bit n of the index says whether ``groups[n]`` is given.

    Raises:
        StatementError: A set contains a parameter that has no effect.
    """
    texts = []
    for bits in range(2 ** len(groups)):
        given = given_names(groups, bits)
        text = "\n".join(line.text for line in lines if line.is_there(given))
        if idle := sorted(given - variables(text)):
            raise StatementError(f"{where}: if {', '.join(sorted(given))} is given, no line uses :{idle[0]}")
        texts.append(text.strip().removesuffix(";").rstrip())
    return tuple(texts)


def given_names(groups: Sequence[Sequence[str]], bits: int) -> frozenset[str]:
    """The parameters of the choices that *bits* has."""
    return frozenset(name for place, group in enumerate(groups) if bits >> place & 1 for name in group)


def source(lines: Sequence[Line]) -> str:
    """The SQL as written in the file, without the final semicolon."""
    return "\n".join(line.source for line in lines).strip().removesuffix(";").rstrip()
