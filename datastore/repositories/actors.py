"""Who acts: the name that the audit log, receipts and legal holds record."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import TracebackType

from datastore.errors import InvalidValueError, TransactionError
from datastore.values import check_text

_LEFT_ELSEWHERE = (
    "this acting_as block was left in a different thread, task or context than it was entered in, so what happened in between was"
    " recorded under another name; enter and leave it in one function, or in an `async def` dependency"
)


class Actor:
    """The actor of one store.

    Args:
        name: Who acts outside `Acting` blocks; 1 to 200 characters.

    Raises:
        InvalidValueError: *name* is not text of 1 to 200 characters.
    """

    def __init__(self, name: str) -> None:
        self._name = _checked(name)

    @property
    def name(self) -> str:
        """Who acts now."""
        return _acting.get().get(self, self._name)

    def acting_as(self, name: str) -> Acting:
        """See `datastore.store.Datastore.acting_as`."""
        return Acting(self, _checked(name))


# A module has one variable for all stores: a context keeps every variable that was ever set in it.
_acting: ContextVar[Mapping[Actor, str]] = ContextVar("datastore_actors", default={})  # noqa: B039 (never changed in place)


class Acting:
    """A ``with`` block in which somebody else acts. It belongs to the thread or task that enters it."""

    def __init__(self, actor: Actor, name: str) -> None:
        self._actor = actor
        self._name = name
        self._entered: Token[Mapping[Actor, str]] | None = None

    def __enter__(self) -> None:
        if self._entered is not None:
            raise TransactionError("this acting_as block is already entered; call acting_as again for another block")
        self._entered = _acting.set({**_acting.get(), self._actor: self._name})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        entered, self._entered = self._entered, None
        assert entered is not None
        try:
            _acting.reset(entered)
        except ValueError:
            if error is None:
                raise TransactionError(_LEFT_ELSEWHERE) from None


def _checked(name: str) -> str:
    if not 1 <= len(check_text(name, "actor")) <= 200:
        raise InvalidValueError("actor: must be 1 to 200 characters")
    return name
