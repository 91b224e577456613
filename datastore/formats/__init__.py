"""The files that conversations and learnings come from: read as typed items, written as JSON lines.

`read_items` reads any of them; `write_chat` writes one conversation so that reading it loses nothing.
"""

from __future__ import annotations

from datastore.formats.chat import read_chat, write_chat
from datastore.formats.chatgpt import read_chatgpt
from datastore.formats.claude_code import read_claude_code
from datastore.formats.items import BadLine, ImportedConversation, ImportedLearning, ImportedMessage
from datastore.formats.learnings import read_learning
from datastore.formats.reading import Item, detect, open_text, read_items
from datastore.formats.sources import TextSource

__all__ = [
    "BadLine",
    "ImportedConversation",
    "ImportedLearning",
    "ImportedMessage",
    "Item",
    "TextSource",
    "detect",
    "open_text",
    "read_chat",
    "read_chatgpt",
    "read_claude_code",
    "read_items",
    "read_learning",
    "write_chat",
]
