"""Whether a worker's handler can do its work, and what is wrong with what it gave back."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import Any

from datastore.errors import InvalidValueError, TransactionLostError


def check_handler(type_: str, handler: object) -> None:
    """See that calling *handler* with a task can do its work.

    Raises:
        InvalidValueError: It cannot be called, or not with one argument, or a call gives a coroutine or a generator.
    """
    if not callable(handler):
        raise InvalidValueError(f"handlers: {type_}: a function is needed, not {type(handler).__name__}")
    function: Any = handler
    while isinstance(function, functools.partial):
        function = function.func
    for part in (function, type(function).__call__):
        if inspect.iscoroutinefunction(part) or inspect.isasyncgenfunction(part):
            raise InvalidValueError(
                f"handlers: {type_}: async def is not supported; a plain function may call asyncio.run(...)"
            )
        if inspect.isgeneratorfunction(part):
            raise InvalidValueError(
                f"handlers: {type_}: a generator function does nothing when it is called; return instead"
            )
    try:
        inspect.signature(handler, follow_wrapped=False).bind(None)
    except TypeError as error:
        raise InvalidValueError(f"handlers: {type_}: is called with the task alone: {error}") from None
    except ValueError:
        return  # a function of C that does not say what it takes


def unfinished(result: object) -> InvalidValueError | None:
    """Why *result* is none: it is work that nobody has done."""
    if isinstance(result, (Coroutine, Generator)):
        result.close()  # that nobody awaits it is said here
    if isinstance(result, (Generator, AsyncGenerator)) or inspect.isawaitable(result):
        return InvalidValueError(
            f"the handler returned a {type(result).__name__}: nobody awaits or iterates it, so that its work was not done;"
            " a handler may call asyncio.run(...), or list(...)"
        )
    return None


def rolled_back() -> TransactionLostError:
    return TransactionLostError(
        "task.succeed() was rolled back with the transaction around it, and the handler returned: what it wrote there is gone"
    )
