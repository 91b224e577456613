"""Check a worker's handlers and their return values."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import Any

from datastore.errors import InvalidValueError, TransactionLostError


def check_handler(type_: str, handler: object) -> bool:
    """Check that calling *handler* with a task does its work, or returns a coroutine that does.

    Returns:
        Whether it is ``async def``.

    Raises:
        InvalidValueError: It cannot be called with exactly one argument, or a call returns a generator.
    """
    if not callable(handler):
        raise InvalidValueError(f"handlers: {type_}: a function is needed, not {type(handler).__name__}")
    function: Any = handler
    while isinstance(function, functools.partial):
        function = function.func
    parts = (function, type(function).__call__)
    for part in parts:
        if inspect.isgeneratorfunction(part) or inspect.isasyncgenfunction(part):
            raise InvalidValueError(
                f"handlers: {type_}: a generator function does nothing when it is called; return instead"
            )
    try:
        inspect.signature(handler, follow_wrapped=False).bind(None)
    except TypeError as error:
        raise InvalidValueError(f"handlers: {type_}: must accept the task as its only argument: {error}") from None
    except ValueError:
        pass  # a C function without a signature
    return any(inspect.iscoroutinefunction(part) for part in parts)


def unfinished(result: object) -> InvalidValueError | None:
    """The error for a *result* that is unfinished work, such as a coroutine; None for any other result."""
    if isinstance(result, (Coroutine, Generator)):
        result.close()  # avoids Python's own "never awaited" warning: the error reports it
    if isinstance(result, (Generator, AsyncGenerator)) or inspect.isawaitable(result):
        return InvalidValueError(
            f"the handler returned a {type(result).__name__}: nobody awaits or iterates it, so its work was not done;"
            " make the handler an async def function, or return list(...)"
        )
    return None


def rolled_back() -> TransactionLostError:
    """The error of a handler that returned although its `succeed` was rolled back."""
    return TransactionLostError(
        "task.succeed() was rolled back with the enclosing transaction, and then the handler returned: what it wrote there is gone"
    )
