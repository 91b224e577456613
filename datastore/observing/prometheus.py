"""The state of a store in Prometheus' text format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datastore.store import Datastore

#: One value with its labels.
Sample = tuple[dict[str, str], float]


def metrics(store: Datastore) -> str:
    """What a monitoring system watches: rows, jobs by type and status, the sizes of the files.

    It reads one consistent state. Names of job types are labels; no text of a person is in the result.
    """
    with store.snapshot():
        families = list(_families(store))
    return "".join(_family(name, help, samples) for name, help, samples in families)


def _families(store: Datastore) -> Iterator[tuple[str, str, list[Sample]]]:
    yield "datastore_conversations", "Conversations that are not deleted.", [({}, store.conversations.count())]
    yield "datastore_messages", "Messages.", [({}, store.messages.count())]
    yield "datastore_learnings", "Learnings that are not deleted.", [({}, store.learnings.count())]
    yield "datastore_audit_entries", "Entries of the audit log.", [({}, store.audit.count())]
    yield (
        "datastore_uploads",
        "Uploads by status.",
        [({"status": status}, count) for status, count in store.uploads.counts().items()],
    )
    yield (
        "datastore_jobs",
        "Jobs by type and status.",
        [({"type": count.type, "status": count.status}, count.count) for count in store.jobs.counts()],
    )
    path = store.engine.path
    if path is not None:
        yield "datastore_file_bytes", "The size of the database's file.", [({}, _size(path))]
        yield "datastore_wal_bytes", "The size of its WAL.", [({}, _size(Path(f"{path}-wal")))]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _family(name: str, help: str, samples: list[Sample]) -> str:
    lines = [f"# HELP {name} {help}", f"# TYPE {name} gauge"]
    lines += [f"{name}{_labels(labels)} {value:g}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
