"""The data layer of AI-conversation pipelines: conversations, messages, learnings, jobs, uploads, audit.

>>> from datastore import Datastore
>>> store = Datastore.open("app.db", migrate=True)      # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datastore.errors import DatastoreError
    from datastore.records import (
        AuditEntry,
        Backup,
        Conversation,
        ConversationHits,
        Facets,
        Job,
        JobAttempt,
        JobCount,
        Learning,
        LearningHit,
        Message,
        MessageHit,
        NewLearning,
        NewMessage,
        Page,
        Redaction,
        Role,
        SearchPage,
        Upload,
        by_conversation,
    )
    from datastore.store import Datastore

__version__ = "0.1.0"

__all__ = [
    "AuditEntry",
    "Backup",
    "Conversation",
    "ConversationHits",
    "Datastore",
    "DatastoreError",
    "Facets",
    "Job",
    "JobAttempt",
    "JobCount",
    "Learning",
    "LearningHit",
    "Message",
    "MessageHit",
    "NewLearning",
    "NewMessage",
    "Page",
    "Redaction",
    "Role",
    "SearchPage",
    "Upload",
    "__version__",
    "by_conversation",
]

#: Where the names are that are not loaded before somebody asks for them: a program that only wants `Datastore` does not
#: wait for every record, and `datastore --version` for none.
_homes = {"DatastoreError": "datastore.errors", "Datastore": "datastore.store"}
_modules = ("engines", "errors", "migrations", "records", "resources", "store", "transfer", "values", "worker")


def __getattr__(name: str) -> Any:
    if name in _modules:
        return import_module(f"datastore.{name}")
    if name in __all__:
        found = getattr(import_module(_homes.get(name, "datastore.records")), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'datastore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_modules})
