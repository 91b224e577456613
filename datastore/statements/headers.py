"""Parses the contract in the comment above each statement.

A header has, in this order: one or more lines of purpose; a line per parameter (``name  type  meaning``,
indented); ``Index:``; ``Rows:``; and, if applicable, ``Record:`` (the class of each row), ``Returns:``
(types of columns that cannot be inferred), ``Differs:``, ``Locks:``, ``Retry:`` and ``Allow:`` (once per waived
rule). A line that is indented deeper than the previous one continues it; below ``Index:``, a line
``with NAME: ...`` states the index that is used if that optional parameter is given.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Mapping, Sequence

import attrs

from datastore.errors import StatementError

#: The types of parameters; a "?" after a type means that the parameter may be NULL. "rows" is a batch: a list of lists,
#: sent as one JSON text of any size. "match" is a full-text query and "words" are rows of a full-text index (see
#: datastore.search.matching): each engine receives them in its own syntax.
PARAMETER_TYPES = frozenset(
    {"text", "integer", "real", "boolean", "timestamp", "json", "rows", "blob", "match", "words"}
)

#: The types of columns that ``Returns:`` can declare.
COLUMN_TYPES = PARAMETER_TYPES - {"rows", "match", "words"}

LABELS = ("Index", "Rows", "Record", "Returns", "Differs", "Locks", "Retry", "Allow")

_name = re.compile(r"[a-z][a-z0-9_]*")
_record = re.compile(r"[A-Z][A-Za-z0-9]*")
_parameter = re.compile(r"^  (?P<name>[a-z][a-z0-9_]*) +(?P<type>[a-z]+\??) {2,}(?P<meaning>\S.*)$")
_label = re.compile(r"^(?P<label>[A-Z][a-z]+): (?P<text>\S.*)$")
_with = re.compile(r"^  with (?P<names>[a-z][a-z0-9_]*(?:, [a-z][a-z0-9_]*)*): (?P<text>\S.*)$")
_return = re.compile(r"^(?P<name>[a-z][a-z0-9_]*) (?P<type>[a-z]+\??)$")


@attrs.frozen(kw_only=True)
class Parameter:
    """One parameter of a statement."""

    name: str
    #: One of `PARAMETER_TYPES`.
    type: str
    #: Whether it may be NULL.
    nullable: bool
    #: Meaning, range, unit.
    meaning: str


@attrs.frozen(kw_only=True)
class Header:
    """The contract of one statement."""

    purpose: str
    parameters: tuple[Parameter, ...]
    #: The index that the plan uses, or "none (reason)".
    index: str
    #: The same for sets of given optional parameters, in the order in which they are tried.
    index_with: tuple[tuple[frozenset[str], str], ...] = ()
    #: The maximum number of rows that it returns or changes.
    rows: str
    #: The record class of a row, or None.
    record: str | None = None
    #: Declared types of result columns, by column: "text", "integer?", ...
    returns: Mapping[str, str] = attrs.field(factory=dict)
    #: The remaining labels: Differs, Locks, Retry.
    notes: Mapping[str, str]
    #: The Allow lines: each names a waived rule and the reason.
    waivers: tuple[str, ...] = ()

    def index_for(self, given: Collection[str]) -> str:
        """The declared index if these optional parameters are given."""
        return next((text for names, text in self.index_with if names <= set(given)), self.index)


def check_name(name: str, what: str, where: str) -> None:
    """Ensure that a user-defined name is a valid Python name and cannot collide with a generated name.

    No name in generated code begins with a lower-case letter.

    Args:
        name: The name of a statement, a parameter or a file.
        what: What it names, for the message.
        where: The statement and file, for the message.

    Raises:
        StatementError: The name cannot be used.
    """
    if not _name.fullmatch(name):
        raise StatementError(
            f"{where}: the {what} {name!r} is not a valid name; begin with a letter a to z, continue with a to z, 0 to 9 or _"
        )
    if keyword.iskeyword(name):
        raise StatementError(f"{where}: the {what} {name!r} is a Python keyword; choose another name")


def parse_header(lines: Sequence[str], where: str, names: Sequence[str]) -> Header:
    """Parse the header in *lines* (comment text without ``--`` and one space).

    Args:
        lines: The comment above the SQL.
        where: The statement and file, for messages.
        names: The parameters that the ``name:`` line declares, in order.

    Raises:
        StatementError: A line is missing, out of order or malformed, or the parameters
            differ from *names*.
    """
    purpose: list[str] = []
    parameters: list[Parameter] = []
    labels: list[tuple[str, str]] = []
    index_with: list[tuple[frozenset[str], str]] = []
    for line in lines:
        if found := _label.match(line):
            label = found["label"]
            if label not in LABELS or (label != "Allow" and label in dict(labels)):
                raise StatementError(
                    f"{where}: unknown or repeated header line {label!r}; known are {', '.join(LABELS)}"
                )
            labels.append((label, found["text"]))
        elif labels and labels[-1][0] == "Index" and (found := _with.match(line)):
            index_with.append((frozenset(found["names"].split(", ")), found["text"]))
        elif labels and line.startswith("  "):
            if index_with and labels[-1][0] == "Index":
                index_with.append((index_with[-1][0], f"{index_with.pop()[1]} {line.strip()}"))
            else:
                labels.append((labels[-1][0], f"{labels.pop()[1]} {line.strip()}"))
        elif found := _parameter.match(line):
            parameters.append(_parse_parameter(found, where))
        elif parameters and line.startswith("    ") and not labels:
            before = parameters.pop()
            parameters.append(attrs.evolve(before, meaning=f"{before.meaning} {line.strip()}"))
        elif not parameters and not labels and line and not line.startswith(" "):
            purpose.append(line)
        else:
            raise StatementError(f"{where}: header line not understood: {line!r}")
    _check_complete(where, purpose, labels, [parameter.name for parameter in parameters], list(names))
    texts = {label: text for label, text in labels if label != "Allow"}
    if "Record" in texts and not _record.fullmatch(texts["Record"]):
        raise StatementError(f"{where}: Record: {texts['Record']!r} is not the name of a class (Message is one)")
    return Header(
        purpose=" ".join(purpose),
        parameters=tuple(parameters),
        index=texts.pop("Index"),
        index_with=tuple(index_with),
        rows=texts.pop("Rows"),
        record=texts.pop("Record", None),
        returns=_parse_returns(texts.pop("Returns", ""), where),
        notes=texts,
        waivers=tuple(text for label, text in labels if label == "Allow"),
    )


def _parse_returns(text: str, where: str) -> dict[str, str]:
    returns = {}
    for part in text.split(", ") if text else ():
        found = _return.match(part)
        if found is None or found["type"].removesuffix("?") not in COLUMN_TYPES:
            raise StatementError(
                f"{where}: Returns has {part!r}; write 'column type', known are {sorted(COLUMN_TYPES)}"
            )
        returns[found["name"]] = found["type"]
    return returns


def _parse_parameter(found: re.Match[str], where: str) -> Parameter:
    kind = found["type"].removesuffix("?")
    if kind not in PARAMETER_TYPES:
        raise StatementError(
            f"{where}: parameter {found['name']!r} has type {kind!r}; known are {sorted(PARAMETER_TYPES)}"
        )
    return Parameter(name=found["name"], type=kind, nullable=found["type"].endswith("?"), meaning=found["meaning"])


def _check_complete(
    where: str, purpose: list[str], labels: list[tuple[str, str]], described: list[str], declared: list[str]
) -> None:
    if not purpose:
        raise StatementError(
            f"{where}: the header has no description; write a sentence that says what the statement does"
        )
    for label in ("Index", "Rows"):
        if label not in dict(labels):
            raise StatementError(f"{where}: the header has no {label!r} line")
    order = [LABELS.index(label) for label, _ in labels]
    if order != sorted(order):
        raise StatementError(f"{where}: header lines are out of order; the order is {', '.join(LABELS)}")
    if described != declared:
        raise StatementError(f"{where}: the header describes {described}, the name line declares {declared}")
