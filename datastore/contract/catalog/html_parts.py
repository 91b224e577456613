"""Small pieces of the HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from os.path import relpath
from pathlib import Path
from urllib.parse import quote

import attrs

from datastore.contract.catalog.anchors import Anchors
from datastore.contract.catalog.highlight import prose, sql
from datastore.contract.catalog.model import Catalog


@attrs.frozen
class Context:
    """What every piece needs: where names lead, where files are."""

    catalog: Catalog
    anchors: Anchors
    #: The folder that the page is written to.
    folder: Path

    def prose(self, text: str) -> str:
        return prose(text, self.anchors.links)

    def sql(self, text: str) -> str:
        names = {table.name: self.anchors.id("table", table.name) for table in self.catalog.tables}
        return f'<pre class="sql" tabindex="0"><code>{sql(text, names)}</code></pre>'

    def link(self, kind: str, name: str, text: str = "") -> str:
        """A link to a thing of the page; its name alone where the page has it not."""
        shown, id = escape(text or name), self.anchors.known(kind, name)
        return f'<a href="#{escape(id)}">{shown}</a>' if id else f"<span>{shown}</span>"

    def links(self, kind: str, names: Iterable[str]) -> str:
        return ", ".join(self.link(kind, name) for name in names)

    def by(self, name: str) -> str:
        """A trigger, foreign key or view, by whichever it is."""
        for kind in ("trigger", "key", "table"):
            if self.anchors.known(kind, name):
                return self.link(kind, name)
        return f"<span>{escape(name)}</span>"

    def file(self, name: str, line: int = 0) -> str:
        """A link to a file of the project, from the page's own folder."""
        target = quote(Path(relpath(self.catalog.project.root / name, self.folder)).as_posix())
        end = f"#L{line}" if line else ""
        return f'<a class="file" href="{escape(target)}{end}">{escape(name)}{f":{line}" if line else ""}</a>'

    def step(self, id: str) -> str:
        """A link to the file of a migration."""
        name = self.catalog.steps.get(id, "")
        return self.file(name) if name and not name.startswith("/") else f"<code>{escape(id)}</code>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], css: str) -> str:
    """A table of HTML cells; on a phone each cell says its head itself (``data-h``)."""
    head = "".join(f'<th scope="col">{one}</th>' for one in heads)
    body = "".join(f"<tr>{_cells(heads, row, css.split()[0] in _LABELLED)}</tr>" for row in rows)
    return f'<div class="scroll"><table class="{css}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


#: The tables whose cells need their heads on a phone, where a row is a block (the style shows ``data-h``).
_LABELLED = ("all", "tables", "touches", "keys")


def _cells(heads: Sequence[str], row: Sequence[str], labelled: bool) -> str:
    labels = [f' data-h="{escape(head)}"' if labelled else "" for head in heads]
    return "".join(f"<td{label}>{cell}</td>" for label, cell in zip(labels, row, strict=True))


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of labels and what they say; empty ones are left out."""
    rows = "".join(f"<dt>{label}</dt><dd>{value}</dd>" for label, value in pairs if value)
    return f'<dl class="facts">{rows}</dl>' if rows else ""


def code(text: str) -> str:
    return f"<code>{escape(text)}</code>" if text else ""


def badge(text: str, css: str = "") -> str:
    return f'<span class="badge {css}">{escape(text)}</span>' if text else ""


def page(kind: str, id: str, name: str, title: str, body: str, hint: str = "") -> str:
    """One view: a statement, a table, the overview. *hint* is what the search shows under its name."""
    return (
        f'<section class="page" id="{escape(id)}" data-kind="{kind}" data-name="{escape(name)}" '
        f'data-hint="{escape(hint)}">\n<h2 tabindex="-1">{title}</h2>\n{body}\n</section>\n'
    )
