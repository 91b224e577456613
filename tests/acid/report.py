"""What a suite's body hands back: the anomalies it saw, by class, and how much it looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import attrs

#: Every class of anomaly that a suite can report, with what it means.
ANOMALIES = {
    "aborted read": "a transaction saw what was rolled back, or a rollback kept something (G1a)",
    "corrupt file": "SQLite's own integrity check fails, or the file cannot be read",
    "crash": "the process died of a signal",
    "deadlock": "a lock was never let go",
    "duplicate": "one operation took effect twice",
    "full-text drift": "the full-text index does not say what the table says",
    "inapplicable schema": "the schema can be neither applied nor rolled back",
    "leak": "a secret or erased text can be read, or stored text acts on a terminal",
    "limit exceeded": "more jobs ran or started than a limit allows, or a job ran before its turn",
    "lost commit": "an acknowledged commit is gone",
    "lost job": "two workers held one job, or a lost lease changed it",
    "lost rows": "a migration took rows away that it promised to keep",
    "lost update": "a write was overwritten by one that had not seen it (P4)",
    "model mismatch": "the database holds something else than the model",
    "non-repeatable read": "one transaction saw two states (G-single)",
    "not serializable": "no serial order explains what the transactions saw",
    "orphan": "a row refers to nothing",
    "partial transaction": "a part of a transaction is there, another is not",
    "refused call": "a call failed although nothing was wrong with it",
    "silent omission": "a call left something out, or undid something, and reported success",
    "stale lock": "a lock outlived the process that held it",
    "stale read": "a read missed a commit that was acknowledged before it began",
    "starvation": "a writer got less than half of what another got, or gave up",
    "unbounded WAL": "the write-ahead log grows for ever",
    "undetected damage": "damage that the check promises to find was not found",
    "unsafe copy": "a live database file was opened behind SQLite's back",
    "untyped error": "an exception that is no DatastoreError came out of the library",
    "value as SQL": "a value was taken for something else than a value, in the worst case for SQL that ran",
    "wrong refusal": "a call was refused, or found nothing, for a reason that was not there",
    "wrong isolation": "an isolation case of Hermitage ends otherwise than the golden table says",
}


@attrs.define
class Report:
    """Collects; nothing found is the healthy outcome."""

    #: Pairs of a class of `ANOMALIES` and one line that says where.
    anomalies: list[tuple[str, str]] = attrs.field(factory=list)
    #: How much was looked at: "images", "kills", "histories", ...
    counts: Counter[str] = attrs.field(factory=Counter)
    #: Figures for the page that are no counts.
    figures: dict[str, Any] = attrs.field(factory=dict)

    def found(self, anomaly: str, detail: str) -> None:
        """Note an anomaly; the first twenty of a class are enough."""
        if anomaly not in ANOMALIES:
            raise KeyError(anomaly)
        if sum(seen == anomaly for seen, _ in self.anomalies) < 20:
            self.anomalies.append((anomaly, detail[:300]))

    def extend(self, anomalies: Iterable[tuple[str, str]], where: str = "") -> None:
        """Note several."""
        for anomaly, detail in anomalies:
            self.found(anomaly, f"{where}{detail}")

    @property
    def classes(self) -> set[str]:
        """The classes that were seen."""
        return {anomaly for anomaly, _ in self.anomalies}

    def as_json(self) -> dict[str, Any]:
        """For the way back from a process."""
        return {"anomalies": self.anomalies, "counts": dict(self.counts), "figures": self.figures}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Report:
        """The same, read back."""
        return cls(
            anomalies=[(anomaly, detail) for anomaly, detail in value["anomalies"]],
            counts=Counter(value["counts"]),
            figures=value["figures"],
        )
