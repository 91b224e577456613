"""One repository per table: each method calls one statement and builds the record."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import attrs

from datastore.engines.base import Engine
from datastore.repositories.actors import Actor
from datastore.repositories.audit import AuditRepository
from datastore.repositories.backups import BackupRepository
from datastore.repositories.branches import BranchRepository
from datastore.repositories.conversations import ConversationRepository
from datastore.repositories.derived import DerivedRepository
from datastore.repositories.erasures import ErasureRepository, ReceiptRepository
from datastore.repositories.import_export import ImportExportRepository
from datastore.repositories.job_queue import JobQueueRepository
from datastore.repositories.learnings import LearningRepository
from datastore.repositories.legal_holds import LegalHoldRepository
from datastore.repositories.maintenance import MaintenanceRepository
from datastore.repositories.messages import MessageRepository
from datastore.repositories.own_tables import OwnTableRepository
from datastore.repositories.redactions import RedactionRepository
from datastore.repositories.retention_policies import ExpiryRepository, RetentionPolicyRepository
from datastore.repositories.schedules import ScheduleRepository
from datastore.repositories.search_index import SearchIndex
from datastore.repositories.uploads import UploadRepository
from datastore.repositories.vector_index import VectorIndex
from datastore.search.embedding import Embedder

__all__ = [
    "AuditRepository",
    "BackupRepository",
    "BranchRepository",
    "ConversationRepository",
    "DerivedRepository",
    "ErasureRepository",
    "ExpiryRepository",
    "ImportExportRepository",
    "JobQueueRepository",
    "LearningRepository",
    "LegalHoldRepository",
    "MaintenanceRepository",
    "MessageRepository",
    "OwnTableRepository",
    "ReceiptRepository",
    "RedactionRepository",
    "Repositories",
    "RetentionPolicyRepository",
    "ScheduleRepository",
    "SearchIndex",
    "UploadRepository",
    "VectorIndex",
]


@attrs.frozen(kw_only=True)
class Repositories:
    """Every repository of one database: the public parts of a store, and those for internal use."""

    engine: Engine
    #: The actor named in the audit log and in receipts.
    actor: Actor
    audit: AuditRepository
    index: SearchIndex
    vectors: VectorIndex
    conversations: ConversationRepository
    branches: BranchRepository
    messages: MessageRepository
    learnings: LearningRepository
    jobs: JobQueueRepository
    schedules: ScheduleRepository
    uploads: UploadRepository
    redactions: RedactionRepository
    holds: LegalHoldRepository
    policies: RetentionPolicyRepository
    expiry: ExpiryRepository
    erasures: ErasureRepository
    receipts: ReceiptRepository
    backups: BackupRepository
    maintenance: MaintenanceRepository
    derived: DerivedRepository
    import_export: ImportExportRepository
    own_tables: OwnTableRepository

    @classmethod
    def of(
        cls,
        engine: Engine,
        statements: Any,
        *,
        actor: str,
        new_id: Callable[[], str],
        rng: random.Random | None = None,
        embedder: Embedder | None = None,
    ) -> Repositories:
        """Create the repositories on an engine.

        Raises:
            InvalidValueError: *actor* is not text of 1 to 200 characters.
        """
        make: dict[str, Any] = {"statements": statements, "engine": engine, "new_id": new_id}
        vectors = VectorIndex(**make, embedder=embedder)
        index = SearchIndex(**make, vectors=vectors)
        who = Actor(actor)
        audit = AuditRepository(**make, actor=who)
        make["audit"] = audit.record
        return cls(
            engine=engine,
            actor=who,
            audit=audit,
            index=index,
            vectors=vectors,
            conversations=ConversationRepository(**make, index=index),
            branches=BranchRepository(**make),
            messages=MessageRepository(**make, index=index),
            learnings=LearningRepository(**make, index=index),
            jobs=JobQueueRepository(**make, rng=rng),
            schedules=ScheduleRepository(**make),
            uploads=UploadRepository(**make),
            redactions=RedactionRepository(**make),
            holds=LegalHoldRepository(**make, actor=who),
            policies=RetentionPolicyRepository(**make),
            expiry=ExpiryRepository(**make),
            erasures=ErasureRepository(**make),
            receipts=ReceiptRepository(**make),
            backups=BackupRepository(**make),
            maintenance=MaintenanceRepository(**make),
            derived=DerivedRepository(**make, index=index),
            import_export=ImportExportRepository(**make),
            own_tables=OwnTableRepository(**make),
        )
