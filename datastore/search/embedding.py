"""Calls the application's function that makes vectors. It may fail, hang or lie: each is one typed error."""

from __future__ import annotations

import contextvars
import hashlib
import queue
import threading
from collections.abc import Awaitable, Coroutine, Sequence
from importlib.util import find_spec

import attrs

from datastore.errors import EmbeddingError, InvalidValueError, UnsupportedError
from datastore.records.vectors import Embed, Vector
from datastore.values import EMBED_TIMEOUT, check_number, check_text


def require_numpy() -> None:
    """Check that numpy is installed; it is imported only when vectors are compared or stored.

    Raises:
        UnsupportedError: It is not installed; the message says how to install it.
    """
    if find_spec("numpy") is None:
        raise UnsupportedError("vectors need numpy, which is not installed: pip install 'datastore[vectors]'")


def text_hash(text: str) -> str:
    """What tells whether a vector is of this text."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


@attrs.frozen
class Embedder:
    """The application's model.

    Raises:
        InvalidValueError: A value is out of range.
    """

    #: Its name, which all vectors of a database belong to.
    model: str
    #: None: the application gives each vector itself.
    function: Embed | None = None
    #: Seconds that one call may take; None: no limit.
    timeout: float | None = EMBED_TIMEOUT

    def __attrs_post_init__(self) -> None:
        if not 1 <= len(check_text(self.model, "embed_model")) <= 200:
            raise InvalidValueError("embed_model: 1 to 200 characters are needed")
        if self.function is not None and not callable(self.function):
            raise InvalidValueError("embed: a function is needed that takes a list of texts")
        if self.timeout is not None and check_number(self.timeout, "embed_timeout") <= 0:
            raise InvalidValueError("embed_timeout must be more than 0, or None")

    @classmethod
    def of(cls, embed: Embed | None, model: str | None, timeout: float | None) -> Embedder:
        """The embedder of a store.

        Raises:
            InvalidValueError: A function without a name of its model, or a value is out of range.
            UnsupportedError: numpy is not installed.
        """
        if model is None:
            raise InvalidValueError(
                "embed_model: give the model a name, for example embed_model='all-MiniLM-L6-v2': vectors of two models"
                " cannot be compared, so the database stores the name"
            )
        require_numpy()
        return cls(model, embed, timeout)

    def __call__(self, texts: list[str]) -> Sequence[Vector]:
        """One vector for each text, as the function returned them.

        Raises:
            EmbeddingError: The function raised, took too long, or returned something else than one vector per text.
            InvalidValueError: There is no function.
        """
        if self.function is None:
            raise InvalidValueError(
                "embed: the store was opened without a function; give vectors, or open it with embed="
            )
        try:
            found = self._call(self.function, list(texts))
        except EmbeddingError:
            raise
        except Exception as error:
            raise EmbeddingError(
                f"embed raised {type(error).__name__}; the texts are stored and found by words"
            ) from error
        if len(found) != len(texts):
            raise EmbeddingError(f"embed returned {len(found)} vectors for {len(texts)} texts")
        return found

    def _call(self, function: Embed, texts: list[str]) -> list[Vector]:
        if self.timeout is None:
            return _listed(function, texts)
        answers: queue.SimpleQueue[list[Vector] | BaseException] = queue.SimpleQueue()

        def run() -> None:
            try:
                answers.put(_listed(function, texts))
            except BaseException as error:
                answers.put(error)

        # A thread cannot be stopped: it is left alone if it takes too long, and does not keep the process alive.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(run,), name="datastore-embed", daemon=True).start()
        try:
            found = answers.get(timeout=self.timeout)
        except queue.Empty:
            raise EmbeddingError(
                f"embed did not return within {self.timeout:g} s (embed_timeout)", lasting=True
            ) from None
        if isinstance(found, BaseException):
            raise (
                found if isinstance(found, Exception) else EmbeddingError(f"embed raised {type(found).__name__}")
            ) from found
        return found


def _listed(function: Embed, texts: list[str]) -> list[Vector]:
    found = function(texts)
    given: object = found
    if isinstance(given, Awaitable):
        if isinstance(given, Coroutine):
            given.close()  # avoids Python's own "never awaited" warning: the error reports it
        raise EmbeddingError("embed is async: give a plain function that returns the vectors", lasting=True)
    return list(found)
