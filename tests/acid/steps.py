"""What the state machine's steps share: mismatches that name their anomaly, refusals, and choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from datastore.errors import LeaseLostError, LegalHoldError


class Mismatch(AssertionError):
    """The store did something else than the model."""

    def __init__(self, detail: str, anomaly: str = "model mismatch") -> None:
        super().__init__(detail)
        self.anomaly = anomaly


def expect(holds: bool, detail: str, anomaly: str = "model mismatch") -> None:
    """An assertion that names its anomaly."""
    if not holds:
        raise Mismatch(detail, anomaly)


def refused(kind: type[Exception], call: Callable[[], object]) -> None:
    """*call* must raise *kind* and change nothing."""
    try:
        call()
    except kind:
        return
    raise Mismatch(f"no {kind.__name__}", "lost job" if kind is LeaseLostError else "model mismatch")


def kept(m: Any, conversation: str, call: Callable[[], object]) -> bool:
    """Whether a legal hold keeps *conversation*: then *call* was tried, and refused."""
    if conversation in m.model.held:
        refused(LegalHoldError, call)
        return True
    return False


def pick(data: Any, choices: Sequence[Any]) -> Any:
    """One of them, or None where there are none."""
    return data.draw(st.sampled_from(choices)) if choices else None
