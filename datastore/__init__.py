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
    Job,
    JobAttempt,
    JobCount,
    Learning,
    LearningHit,
    Message,
    NewLearning,
    NewMessage,
    Page,
    Redaction,
    Role,
    Upload,
)
from datastore.store import Datastore

__version__ = "0.1.0"

__all__ = [
    "AuditEntry",
    "Backup",
    "Conversation",
    "Datastore",
    "DatastoreError",
    "Job",
    "JobAttempt",
    "JobCount",
    "Learning",
    "LearningHit",
    "Message",
    "NewLearning",
    "NewMessage",
    "Page",
    "Redaction",
    "Role",
    "Upload",
    "__version__",
]
