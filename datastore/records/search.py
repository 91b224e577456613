"""The results of a search: hits, pages of hits, and counts by category and tag."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Generic, Literal, Protocol, TypeVar

import attrs

from datastore.records.learnings import Learning
from datastore.records.messages import Message

Hit = TypeVar("Hit")


class Marked(Protocol):
    """Marks the terms of a query: see `datastore.search.marking`."""

    def whole(self, text: str) -> str: ...
    def snippet(self, text: str) -> str: ...
    def found(self, *texts: str) -> tuple[str, ...]: ...


@attrs.frozen(kw_only=True)
class FoundLearning:
    """A learning and its number in the full-text index."""

    seq: int
    learning: Learning


@attrs.frozen(kw_only=True)
class FoundMessage:
    """A message and its number in the full-text index."""

    seq: int
    message: Message


@attrs.frozen(kw_only=True)
class LearningHit:
    """A learning that a search found. Its text is marked when an attribute is first read."""

    learning: Learning
    #: Higher is better. By words: BM25, with words in the title weighted five times; by vectors: the cosine; hybrid: reciprocal
    #: rank fusion. 0.0 if the search had nothing to rank by.
    score: float
    _marked: Marked = attrs.field(eq=False, repr=False)

    @functools.cached_property
    def title(self) -> str:
        """The title, with marks around its matches."""
        return self._marked.whole(self.learning.title)

    @functools.cached_property
    def snippet(self) -> str:
        """The part of the content with the most distinct matches, with marks around them."""
        return self._marked.snippet(self.learning.content)

    @functools.cached_property
    def terms(self) -> tuple[str, ...]:
        """The parts of the query text that matched, as typed, in their order."""
        return self._marked.found(self.learning.title, self.learning.content)


@attrs.frozen(kw_only=True)
class MessageHit:
    """A message that a search found. Its text is marked when an attribute is first read."""

    message: Message
    #: Higher is better. By words: BM25; by vectors: the cosine; hybrid: reciprocal rank fusion. 0.0 if the search had nothing to
    #: rank by.
    score: float
    _marked: Marked = attrs.field(eq=False, repr=False)

    @functools.cached_property
    def snippet(self) -> str:
        """The part of the content with the most distinct matches, with marks around them."""
        return self._marked.snippet(self.message.content)

    @functools.cached_property
    def terms(self) -> tuple[str, ...]:
        """The parts of the query text that matched, as typed, in their order."""
        return self._marked.found(self.message.content)


@attrs.frozen(kw_only=True)
class SearchPage(Generic[Hit]):
    """A page of hits, best first; iterating yields them."""

    items: tuple[Hit, ...]
    #: True: these are the best of all matches, in order. False: there were too many matches, so only the most
    #: promising were ranked (docs/search.md); the hits are correct, but a better one may be missing.
    exact: bool
    #: How the hits were ranked: by words, by vectors, or (hybrid) by both.
    mode: Literal["words", "vectors", "hybrid"] = "words"
    #: If nothing was found: the text with its unknown words replaced by stored words, or None.
    did_you_mean: str | None = None
    #: The words that the text excluded, as typed: "-windows" excludes "windows".
    excluded: tuple[str, ...] = ()
    _cursor: Callable[[], str | None] = attrs.field(eq=False, repr=False)

    @functools.cached_property
    def next(self) -> str | None:
        """Pass it as ``after=`` to get the hits after this page in the same ranking; None: there are no more."""
        return self._cursor()

    def __reduce__(self) -> tuple[Any, ...]:
        return _page, (self.items, self.exact, self.mode, self.did_you_mean, self.excluded, self.next)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Hit:
        return self.items[index]


def _page(
    items: tuple[Hit, ...],
    exact: bool,
    mode: Literal["words", "vectors", "hybrid"],
    did_you_mean: str | None,
    excluded: tuple[str, ...],
    next: str | None,
) -> SearchPage[Hit]:
    return SearchPage(
        items=items,
        exact=exact,
        mode=mode,
        did_you_mean=did_you_mean,
        excluded=excluded,
        cursor=functools.partial(_same, next),
    )


def _same(next: str | None) -> str | None:
    return next


@attrs.frozen(kw_only=True)
class ConversationHits:
    """The hits of one conversation, in a grouped search."""

    conversation_id: str
    #: The best hit's score.
    score: float
    #: Best first.
    hits: tuple[MessageHit, ...]


@attrs.frozen(kw_only=True)
class Facets:
    """The number of a search's matches per category and per tag, the most frequent first."""

    categories: tuple[tuple[str, int], ...]
    tags: tuple[tuple[str, int], ...]
    #: Number of matches that were counted.
    counted: int
    #: False: there are more matches than *counted*.
    exact: bool


def by_conversation(page: SearchPage[MessageHit]) -> tuple[ConversationHits, ...]:
    """Group the hits of a page by conversation; the conversation with the best hit comes first."""
    groups: dict[str, list[MessageHit]] = {}
    for hit in page.items:
        groups.setdefault(hit.message.conversation_id, []).append(hit)
    return tuple(
        ConversationHits(conversation_id=id, score=hits[0].score, hits=tuple(hits)) for id, hits in groups.items()
    )
