"""Writes the generated pages: the catalogue (`datastore catalog`), and what docs/contract-checks.md shows.

``python docs/generate.py`` writes them; ``python docs/generate.py --check`` writes nothing, prints what
has drifted and exits with 1 if anything has. Nothing in a page depends on the machine or the time.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from datastore.contract.catalog.markdown import cell  # noqa: E402
from datastore.contract.catalog.writing import catalog_files  # noqa: E402
from datastore.contract.facts import read_facts  # noqa: E402
from datastore.contract.problems import RULES  # noqa: E402
from datastore.contract.project import find_project  # noqa: E402

_shown = re.compile(
    r"(<!-- from (?P<file>\S+)(?:, (?P<count>\d+) of them)? -->\n```text\n).*?(?P<end>```\n)", re.DOTALL
)
_rules = re.compile(r"(<!-- rules -->\n).*\Z", re.DOTALL)


def contract_page() -> str:
    """The page as it is written, with the messages that the tests compare with and the table of rules."""
    text = (ROOT / "docs/contract-checks.md").read_text(encoding="utf-8")
    text = _shown.sub(lambda found: f"{found[1]}{_messages(found['file'], found['count'])}\n{found['end']}", text)
    return _rules.sub(lambda found: found[1] + "\n".join(["", *_rule_table()]) + "\n", text)


def _messages(file: str, count: str | None) -> str:
    """The messages of a file, or the first ones of them."""
    messages = (ROOT / file).read_text(encoding="utf-8").rstrip("\n").split("\n\n")
    return "\n\n".join(messages[: int(count)] if count else messages)


def _rule_table() -> Iterator[str]:
    yield "| rule | asks | waivable |"
    yield "|---|---|---|"
    for name, rule in RULES.items():
        yield f"| `{name}` | {cell(rule.asks)} | {'yes' if rule.waivable else 'no'} |"


def pages() -> Iterator[tuple[Path, str]]:
    """Every generated page of docs/, with the text that it should have."""
    with read_facts(find_project(ROOT)) as facts:
        yield from catalog_files(facts).items()
    yield ROOT / "docs/contract-checks.md", contract_page()


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` say what has drifted."""
    if arguments not in ([], ["--check"]):
        print("usage: python docs/generate.py [--check]", file=sys.stderr)
        return 2
    drifted = False
    for path, now in pages():
        name = path.relative_to(ROOT)
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        if before == now:
            continue
        drifted = True
        if arguments:
            lines = difflib.unified_diff(
                before.splitlines(True), now.splitlines(True), f"{name} (as it is)", f"{name} (as generated)"
            )
            sys.stdout.writelines(line[:300].rstrip("\n") + "\n" for line in lines)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(now, encoding="utf-8", newline="\n")
            print(f"wrote {name}")
    return 1 if arguments and drifted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
