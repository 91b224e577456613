"""The files of the catalogue: what they should be, and which of them are not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from datastore.contract.catalog import words
from datastore.contract.catalog.links import Links
from datastore.contract.catalog.model import Catalog
from datastore.contract.catalog.reading import read_catalog
from datastore.contract.catalog.words import HEAD, WIDTH, diagram
from datastore.contract.facts import ProjectFacts
from datastore.contract.generate import changed_files

_TEMPLATES = Path(__file__).with_name("templates")


def catalog_files(facts: ProjectFacts, output: Path | None = None) -> dict[Path, str]:
    """The text of every file; the same for the same project, wherever and whenever it is made.

    Args:
        facts: The project's.
        output: Where to; the project's own folder for it where none is given.
    """
    catalog = read_catalog(facts)
    folder = output if output is not None else facts.project.root / facts.project.catalog
    markdown = _environment(catalog, autoescape=False)
    markdown.filters |= {"cell": _cell, "prose": _prose, "fence": _fence, "codes": _codes}
    html, links = _environment(catalog, autoescape=True), Links(catalog, folder / "catalog")
    for function in (links.id, links.link, links.links, links.by, links.file, links.step, links.prose, links.sql):
        html.globals[function.__name__] = function
    html.globals |= {"asset": _asset, "diagram": diagram(catalog.tables), "head": HEAD, "width": WIDTH}
    statements = markdown.get_template("statements.md")
    pages = {
        "schema.md": markdown.get_template("schema.md").render(),
        "statements/README.md": markdown.get_template("index.md").render(),
        **{f"statements/{noun}.md": statements.render(noun=noun, pages=own) for noun, own in catalog.groups()},
        "catalog/index.html": html.get_template("index.html").render(),
    }
    return {folder / name: text.rstrip() + "\n" for name, text in pages.items()}


def drift(facts: ProjectFacts, output: Path | None = None) -> dict[Path, str | None]:
    """What has to be written, by its path; None for the page of a .sql file that is gone."""
    files = catalog_files(facts, output)
    folder = next(path.parent for path in files if path.name == "README.md")
    return changed_files(files, folder.glob("*.md"), words.NOTE)


def _environment(catalog: Catalog, *, autoescape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=autoescape,  # noqa: S701 - not for Markdown
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    for function in (words.gives, words.micros, words.size, words.slowest, words.times_line, words.touched):
        environment.globals[function.__name__] = function
    said = {"does": words.DOES, "used_by": words.USED_BY, "on_server": words.ON_SERVER, "note": words.NOTE}
    environment.filters["size"] = words.size
    environment.globals |= {**said, "catalog": catalog}
    return environment


@cache
def _template(name: str) -> str:
    """A template without its indentation and its empty lines, which are for those who read it."""
    text = (_TEMPLATES / name).read_text(encoding="utf-8")
    return re.sub(r"^[ \t]+", "", text, flags=re.MULTILINE) if name.endswith(".md") else re.sub(r"\n\s*", "\n", text)


def _asset(name: str) -> Markup:
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8").rstrip("\n"))  # noqa: S704 - a file of this package


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _prose(text: str) -> str:
    """A sentence in which < is no tag."""
    return text.replace("<", "&lt;")


def _fence(sql: str) -> str:
    """A fenced block of SQL; the fence is longer than any in the text."""
    fence = "`" * max(3, *(len(found) + 1 for found in re.findall("`{3,}", sql)), 3)
    return f"{fence}sql\n{sql}\n{fence}"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
