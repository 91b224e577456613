"""Import and export formats: reads conversations and learnings as typed items, writes JSON lines.

`read_items` reads every format; `write_chat` writes one conversation without loss. Another package adds a format with a `Format`
and an entry point of the group ``datastore.formats``.
"""

from __future__ import annotations

from datastore.formats.base import Context, Format, Items, Notes, make_message, per_record
from datastore.formats.chat import read_chat
from datastore.formats.chat_writing import write_chat
from datastore.formats.containers import NoSource, Source, open_sources, open_text
from datastore.formats.items import (
    ROOT,
    BadLine,
    Ignored,
    ImportedBranch,
    ImportedConversation,
    ImportedLearning,
    ImportedMessage,
    Item,
)
from datastore.formats.learnings import read_learning
from datastore.formats.reading import FORMATS, Detected, detect, format_names, read_items, read_source
from datastore.formats.records import Record
from datastore.formats.sources import TextSource

__all__ = [
    "FORMATS",
    "ROOT",
    "BadLine",
    "Context",
    "Detected",
    "Format",
    "Ignored",
    "ImportedBranch",
    "ImportedConversation",
    "ImportedLearning",
    "ImportedMessage",
    "Item",
    "Items",
    "NoSource",
    "Notes",
    "Record",
    "Source",
    "TextSource",
    "detect",
    "format_names",
    "make_message",
    "open_sources",
    "open_text",
    "per_record",
    "read_chat",
    "read_items",
    "read_learning",
    "read_source",
    "write_chat",
]
