"""A data layer for AI-conversation pipelines: conversations, messages, learnings, jobs, uploads, audit.

>>> from datastore import Datastore
>>> store = Datastore.open("app.db", migrate=True)      # doctest: +SKIP

This module exports the whole public API: the store and the worker, import and export, the records that they take and
return, and every error. Only `datastore.testing` (for tests), `datastore.migrations` and `datastore.copy` are separate.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datastore.aio.store import AsyncDatastore
    from datastore.errors import (
        BackupError,
        BusyError,
        CheckError,
        ClosedError,
        CommitOutcomeUnknownError,
        ConflictError,
        ConnectionLostError,
        ConstraintError,
        CopyError,
        CorruptDatabaseError,
        CursorError,
        DatabaseError,
        DatabaseMissingError,
        DatastoreError,
        DiskFullError,
        EmbeddingError,
        ForeignKeyError,
        ForkedError,
        ImportFileError,
        InvalidValueError,
        LeaseLostError,
        LegalHoldError,
        NotADatastoreError,
        NotFoundError,
        ProjectError,
        ReadOnlyDatabaseError,
        RollbackRefusedError,
        SchemaOutOfDateError,
        StatementError,
        TransactionError,
        TransactionLostError,
        TransitionError,
        UniqueError,
        UnsupportedError,
    )
    from datastore.events import (
        Event,
        Listener,
        Observation,
        OperationEvent,
        StatementEvent,
        TransactionEnded,
        TransactionStarted,
    )
    from datastore.exporting import export
    from datastore.formats import BadLine, TextSource, open_text
    from datastore.importing import ImportReport, import_file
    from datastore.records import (
        AuditAction,
        AuditEntry,
        Backup,
        BackupStatus,
        BatchCounts,
        Branch,
        Conversation,
        ConversationHits,
        Embed,
        Erasure,
        ErasureStatus,
        Facets,
        FilePart,
        ImagePart,
        Job,
        JobAttempt,
        JobCount,
        JobLimit,
        JobPause,
        JobStatus,
        Learning,
        LearningHit,
        LegalHold,
        Message,
        MessageHit,
        NewConversation,
        NewJob,
        NewLearning,
        NewMessage,
        NewRedaction,
        NewUpload,
        OtherPart,
        Outcome,
        OwnRows,
        Page,
        Part,
        PolicyScope,
        PolicySince,
        PolicyTarget,
        Redaction,
        RefusalPart,
        RetentionPolicy,
        Role,
        Schedule,
        SearchPage,
        StoredVector,
        SubjectKind,
        SubjectType,
        TextPart,
        ThinkingPart,
        ToolCallPart,
        ToolResultPart,
        Upload,
        UploadStatus,
        Vector,
        VectorStatus,
        VectorTable,
        WaitsFor,
        by_conversation,
        text_of,
    )
    from datastore.repositories.base import Cursor
    from datastore.retention.policies import Due
    from datastore.retention.subjects import SubjectData
    from datastore.search.filters import LearningFilters, MessageFilters
    from datastore.store import Datastore
    from datastore.upkeep.backups import Restored
    from datastore.upkeep.maintenance import Condition, Thresholds, Upkeep
    from datastore.upkeep.vectors import Embedded, EmbeddingTask
    from datastore.upkeep.verify import Mark
    from datastore.values import new_id, utc_now
    from datastore.worker import AsyncTask, Handler, PermanentError, Snooze, Stopped, Task, Worker

__version__ = "0.1.0"

__all__ = [
    "__version__",
    # The store, the worker, import and export, and the types that they return.
    "Datastore",
    "AsyncDatastore",
    "Worker",
    "Task",
    "AsyncTask",
    "Handler",
    "PermanentError",
    "Snooze",
    "Stopped",
    "import_file",
    "export",
    "open_text",
    "ImportReport",
    "BadLine",
    "TextSource",
    "SubjectData",
    "Due",
    "Restored",
    "Mark",
    "Upkeep",
    "Condition",
    "Thresholds",
    "Embedded",
    "EmbeddingTask",
    # What a store reports: docs/observing.md.
    "Event",
    "Listener",
    "Observation",
    "OperationEvent",
    "StatementEvent",
    "TransactionEnded",
    "TransactionStarted",
    "Cursor",
    "new_id",
    "utc_now",
    # The records, stored and new.
    "AuditAction",
    "AuditEntry",
    "Backup",
    "BackupStatus",
    "BatchCounts",
    "Branch",
    "Conversation",
    "ConversationHits",
    "Embed",
    "Erasure",
    "ErasureStatus",
    "Facets",
    "FilePart",
    "ImagePart",
    "Job",
    "JobAttempt",
    "JobCount",
    "JobLimit",
    "JobPause",
    "JobStatus",
    "Learning",
    "LearningFilters",
    "LearningHit",
    "LegalHold",
    "Message",
    "MessageFilters",
    "MessageHit",
    "NewConversation",
    "NewJob",
    "NewLearning",
    "NewMessage",
    "NewRedaction",
    "NewUpload",
    "OtherPart",
    "Outcome",
    "OwnRows",
    "Page",
    "Part",
    "PolicyScope",
    "PolicySince",
    "PolicyTarget",
    "Redaction",
    "RefusalPart",
    "RetentionPolicy",
    "Role",
    "Schedule",
    "SearchPage",
    "StoredVector",
    "SubjectKind",
    "SubjectType",
    "TextPart",
    "ThinkingPart",
    "ToolCallPart",
    "ToolResultPart",
    "Upload",
    "UploadStatus",
    "Vector",
    "VectorStatus",
    "VectorTable",
    "WaitsFor",
    "by_conversation",
    "text_of",
    # The errors: docs/errors.md.
    "BackupError",
    "BusyError",
    "CheckError",
    "ClosedError",
    "CommitOutcomeUnknownError",
    "ConflictError",
    "ConnectionLostError",
    "ConstraintError",
    "CopyError",
    "CorruptDatabaseError",
    "CursorError",
    "DatabaseError",
    "DatabaseMissingError",
    "DatastoreError",
    "DiskFullError",
    "EmbeddingError",
    "ForeignKeyError",
    "ForkedError",
    "ImportFileError",
    "InvalidValueError",
    "LeaseLostError",
    "LegalHoldError",
    "NotADatastoreError",
    "NotFoundError",
    "ProjectError",
    "ReadOnlyDatabaseError",
    "RollbackRefusedError",
    "SchemaOutOfDateError",
    "StatementError",
    "TransactionError",
    "TransactionLostError",
    "TransitionError",
    "UniqueError",
    "UnsupportedError",
]

#: The module of each name that is neither a record nor an error of datastore/errors.py. A name is loaded on first use:
#: a program that only needs `Datastore` does not load every record, and `datastore --version` loads none.
_homes = {
    "Datastore": "datastore.store",
    "AsyncDatastore": "datastore.aio.store",
    "new_id": "datastore.values",
    "utc_now": "datastore.values",
    "AsyncTask": "datastore.worker",
    "Handler": "datastore.worker",
    "PermanentError": "datastore.worker",
    "Snooze": "datastore.worker",
    "Stopped": "datastore.worker",
    "Task": "datastore.worker",
    "Worker": "datastore.worker",
    "ImportReport": "datastore.importing",
    "export": "datastore.exporting",
    "import_file": "datastore.importing",
    "BadLine": "datastore.formats",
    "TextSource": "datastore.formats",
    "open_text": "datastore.formats",
    "Restored": "datastore.upkeep.backups",
    "Condition": "datastore.upkeep.maintenance",
    "Thresholds": "datastore.upkeep.maintenance",
    "Upkeep": "datastore.upkeep.maintenance",
    "Cursor": "datastore.repositories.base",
    "Due": "datastore.retention.policies",
    "Event": "datastore.events",
    "Listener": "datastore.events",
    "Observation": "datastore.events",
    "OperationEvent": "datastore.events",
    "StatementEvent": "datastore.events",
    "TransactionEnded": "datastore.events",
    "TransactionStarted": "datastore.events",
    "SubjectData": "datastore.retention.subjects",
    "Embedded": "datastore.upkeep.vectors",
    "EmbeddingTask": "datastore.upkeep.vectors",
    "Mark": "datastore.upkeep.verify",
    "LearningFilters": "datastore.search.filters",
    "MessageFilters": "datastore.search.filters",
}
_modules = ("engines", "errors", "migrations", "records", "resources", "store", "values", "worker")


def __getattr__(name: str) -> Any:
    if name in _modules:
        return import_module(f"datastore.{name}")
    if name in __all__:
        home = _homes.get(name, "datastore.errors" if name.endswith("Error") else "datastore.records")
        found = getattr(import_module(home), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'datastore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_modules})
