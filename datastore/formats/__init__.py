"""Import and export formats: reads conversations and learnings as typed items, writes JSON lines.

`read_items` reads every format; `write_chat` writes one conversation without loss.
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
