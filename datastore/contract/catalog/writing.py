"""The files of the catalogue: what they should be, and which of them are not."""

from __future__ import annotations

from pathlib import Path

from datastore.contract.catalog.html_page import html_page
from datastore.contract.catalog.markdown_schema import schema_page
from datastore.contract.catalog.markdown_statements import statements_page
from datastore.contract.catalog.reading import read_catalog
from datastore.contract.facts import ProjectFacts


def catalog_files(facts: ProjectFacts, output: Path | None = None) -> dict[Path, str]:
    """The text of every file; the same for the same project, wherever and whenever it is made.

    Args:
        output: Where to; the project's own folder for it where none is given.
    """
    catalog = read_catalog(facts)
    folder = output if output is not None else facts.project.root / facts.project.catalog
    return {
        folder / "schema.md": schema_page(catalog),
        folder / "statements.md": statements_page(catalog),
        folder / "catalog/index.html": html_page(catalog, folder / "catalog"),
    }


def drift(facts: ProjectFacts, output: Path | None = None) -> dict[Path, str]:
    """The files that are not there, or not as they would be written."""
    files = catalog_files(facts, output)
    return {path: text for path, text in files.items() if not path.is_file() or path.read_bytes() != text.encode()}


def write(changes: dict[Path, str]) -> None:
    """Write what `drift` found."""
    for path, text in changes.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
