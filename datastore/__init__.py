"""The data layer of AI-conversation pipelines: conversations, messages, learnings, jobs, uploads, audit.

>>> from datastore import Datastore
>>> store = Datastore.open("app.db", migrate=True)      # doctest: +SKIP
"""

from __future__ import annotations

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
