"""``Allow:`` lines and ``[tool.datastore.allow]``: a rule waived, with its reason, where something needs it."""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs

from datastore.contract.problems import RULES, Place, Problem
from datastore.contract.project import FILE, Project
from datastore.contract.sources import Source
from datastore.contract.text import did_you_mean


@attrs.define
class Waiver:
    """One waiver."""

    rule: str
    place: Place
    #: The table, index, ... that one of the project is about.
    subject: str = ""
    needed: bool = False

    def covers(self, problem: Problem) -> bool:
        mine = self.place.statement
        same = mine == problem.statement if mine else self.subject == problem.subject
        return self.rule == problem.rule and same


def read_waivers(source: Source) -> tuple[list[Waiver], list[Problem]]:
    """The waivers of one statement, and what is wrong with their lines."""
    waivers, problems = [], []
    for line in source.statement.header.waivers if source.statement else ():
        found = re.fullmatch(r"(?P<rule>[\w-]+)(?:, *(?P<reason>\S.*))?", line)
        place = source.label_place("Allow", found["rule"] if found else "")
        if wrong := _wrong(found["rule"] if found else line, bool(found and found["reason"])):
            problems.append(Problem("waiver", place, *wrong))
        elif found:
            waivers.append(Waiver(found["rule"], place))
    return waivers, problems


def project_waivers(project: Project) -> tuple[list[Waiver], list[Problem]]:
    waivers, problems = [], []
    for key, reason in project.allow.items():
        rule, _, subject = key.partition(" ")
        place = _place_in_project(project, key)
        nothing = (f'the waiver of "{rule}" names nothing', f'write: "{rule} NAME" = "why"')
        if wrong := _wrong(rule, bool(reason.strip())) or (None if subject else nothing):
            problems.append(Problem("waiver", place, *wrong))
        else:
            waivers.append(Waiver(rule, place, subject=subject.strip()))
    return waivers, problems


def _wrong(rule: str, has_reason: bool) -> tuple[str, str] | None:
    if rule not in RULES:
        hint = did_you_mean(rule, [name for name, about in RULES.items() if about.waivable])
        return f'there is no rule "{rule}"', hint or "write: Allow: rule-name, reason"
    if not RULES[rule].waivable:
        return f'the rule "{rule}" cannot be waived', "mend what it is about"
    if not has_reason:
        return f'the waiver of "{rule}" gives no reason', f"write: Allow: {rule}, why it may be broken here"
    return None


def _place_in_project(project: Project, word: str) -> Place:
    for number, line in enumerate((project.root / FILE).read_text(encoding="utf-8").splitlines(), 1):
        if f'"{word}"' in line:
            return Place(FILE, number, line.index(word) + 1, len(word), line)
    return Place(file=FILE)


def apply_waivers(problems: Iterable[Problem], waivers: list[Waiver]) -> list[Problem]:
    """The problems that nothing waives, and a problem for each waiver that nothing needs."""
    left = []
    for problem in problems:
        covering = [waiver for waiver in waivers if waiver.covers(problem)]
        for waiver in covering:
            waiver.needed = True
        left += [] if covering else [problem]
    for waiver in waivers:
        if not waiver.needed:
            message = f'nothing needs the waiver of "{f"{waiver.rule} {waiver.subject}".strip()}"'
            left.append(Problem("waiver", waiver.place, message, "take it out", subject=waiver.rule))
    return left
