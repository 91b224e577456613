"""The contract in the comment above each statement, as machines read it.

A header has, in this order: one or more lines of purpose; a line per parameter (``name  type  meaning``,
indented); ``Index:``; ``Rows:``; and, where true, ``Differs:``, ``Locks:``, ``Retry:`` and ``Allow:`` (``rule-name,
reason``: what `datastore check` may overlook; one line a rule). A line indented deeper than the one above goes on
with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import attrs

from datastore.errors import StatementError

#: The types that a parameter may be declared with; a "?" behind one means that NULL is meant.
PARAMETER_TYPES = frozenset({"text", "integer", "real", "boolean", "timestamp", "json", "blob"})

LABELS = ("Index", "Rows", "Differs", "Locks", "Retry", "Allow")

_parameter = re.compile(r"^  (?P<name>[a-z][a-z0-9_]*) +(?P<type>[a-z]+\??) {2,}(?P<meaning>\S.*)$")
_label = re.compile(r"^(?P<label>[A-Z][a-z]+): (?P<text>\S.*)$")


@attrs.frozen(kw_only=True)
class Parameter:
    """One parameter of a statement."""

    name: str
    #: One of `PARAMETER_TYPES`.
    type: str
    #: Whether NULL is meant.
    nullable: bool
    #: Meaning, range, unit.
    meaning: str


@attrs.frozen(kw_only=True)
class Header:
    """The contract of one statement."""

    purpose: str
    parameters: tuple[Parameter, ...]
    #: Which index the plan uses, or "none (reason)".
    index: str
    #: How many rows it returns or changes at most.
    rows: str
    #: The remaining labels: Differs, Locks, Retry, Allow. Each Allow line is a line of its own.
    notes: Mapping[str, str]


def parse_header(lines: Sequence[str], where: str, names: Sequence[str]) -> Header:
    """The header in *lines* (comment text, the ``--`` and one blank taken off).

    Args:
        lines: The comment above the SQL.
        where: Statement and file, for messages.
        names: The parameters that the ``name:`` line declares, in its order.

    Raises:
        StatementError: A line is missing, out of order or of no known form, or the parameters
            are not those of *names*.
    """
    purpose: list[str] = []
    parameters: list[Parameter] = []
    labels: dict[str, str] = {}
    last = ""
    for line in lines:
        if found := _label.match(line):
            last = found["label"]
            if last == "Allow" and last in labels:
                labels[last] += "\n" + found["text"]
                continue
            if last not in LABELS or last in labels:
                raise StatementError(
                    f"{where}: unknown or repeated header line {last!r}; known are {', '.join(LABELS)}"
                )
            labels[last] = found["text"]
        elif labels and line.startswith("  "):
            labels[last] += " " + line.strip()
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
    return Header(
        purpose=" ".join(purpose),
        parameters=tuple(parameters),
        index=labels.pop("Index"),
        rows=labels.pop("Rows"),
        notes=labels,
    )


def _parse_parameter(found: re.Match[str], where: str) -> Parameter:
    kind = found["type"].removesuffix("?")
    if kind not in PARAMETER_TYPES:
        raise StatementError(
            f"{where}: parameter {found['name']!r} has type {kind!r}; known are {sorted(PARAMETER_TYPES)}"
        )
    return Parameter(name=found["name"], type=kind, nullable=found["type"].endswith("?"), meaning=found["meaning"])


def _check_complete(
    where: str, purpose: list[str], labels: dict[str, str], described: list[str], declared: list[str]
) -> None:
    if not purpose:
        raise StatementError(f"{where}: the header has no sentence that says what it does")
    for label in ("Index", "Rows"):
        if label not in labels:
            raise StatementError(f"{where}: the header has no {label!r} line")
    order = [LABELS.index(label) for label in labels]
    if order != sorted(order):
        raise StatementError(f"{where}: header lines stand in another order than {', '.join(LABELS)}")
    if described != declared:
        raise StatementError(f"{where}: the header describes {described}, the name line declares {declared}")
