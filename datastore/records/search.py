"""What a search gives: hits, pages of them, and counts of what they have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

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
    """A learning and its number, which the full-text index refers to."""

    seq: int
    learning: Learning


@attrs.frozen(kw_only=True)
class FoundMessage:
    """A message and its number, which the full-text index refers to."""

    seq: int
    message: Message


@attrs.frozen(kw_only=True)
class LearningHit:
    """A learning that a search found. What is marked is marked when it is read."""

    learning: Learning
    #: BM25, a title's words five times; higher is better; 0.0 where there was no text to rank by.
    score: float
    _marked: Marked = attrs.field(eq=False, repr=False)

    @functools.cached_property
    def title(self) -> str:
        """The title with its matches between the marks."""
        return self._marked.whole(self.learning.title)

    @functools.cached_property
    def snippet(self) -> str:
        """The part of the content with the most different matches, between the marks."""
        return self._marked.snippet(self.learning.content)

    @functools.cached_property
    def terms(self) -> tuple[str, ...]:
        """What of the text matched, as it was typed, in its order."""
        return self._marked.found(self.learning.title, self.learning.content)


@attrs.frozen(kw_only=True)
class MessageHit:
    """A message that a search found. What is marked is marked when it is read."""

    message: Message
    #: BM25, higher is better; 0.0 where there was no text to rank by.
    score: float
    _marked: Marked = attrs.field(eq=False, repr=False)

    @functools.cached_property
    def snippet(self) -> str:
        """The part of the content with the most different matches, between the marks."""
        return self._marked.snippet(self.message.content)

    @functools.cached_property
    def terms(self) -> tuple[str, ...]:
        """What of the text matched, as it was typed, in its order."""
        return self._marked.found(self.message.content)


@attrs.frozen(kw_only=True)
class SearchPage(Generic[Hit]):
    """Some hits, best first; iterating gives them."""

    items: tuple[Hit, ...]
    #: True: these are the best of all matches, in their order. False: so many match that only the
    #: likeliest were ranked (docs/search.md); the hits are right, a better one may be missing.
    exact: bool
    #: Where nothing was found: the text with its unknown words replaced by words that are stored, or None.
    did_you_mean: str | None = None
    #: What the text excluded, as it was typed: "-windows" excludes "windows".
    excluded: tuple[str, ...] = ()
    _cursor: Callable[[], str | None] = attrs.field(eq=False, repr=False)

    @functools.cached_property
    def next(self) -> str | None:
        """Give it as ``after=`` for the hits after this page, in the ranking that this one began; None: there are no more."""
        return self._cursor()

    def __reduce__(self) -> tuple[Any, ...]:
        return _page, (self.items, self.exact, self.did_you_mean, self.excluded, self.next)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Hit:
        return self.items[index]


def _page(
    items: tuple[Hit, ...], exact: bool, did_you_mean: str | None, excluded: tuple[str, ...], next: str | None
) -> SearchPage[Hit]:
    return SearchPage(
        items=items, exact=exact, did_you_mean=did_you_mean, excluded=excluded, cursor=functools.partial(_same, next)
    )


def _same(next: str | None) -> str | None:
    return next


@attrs.frozen(kw_only=True)
class ConversationHits:
    """The hits of one conversation, where a search grouped them."""

    conversation_id: str
    #: The best hit's.
    score: float
    #: Best first.
    hits: tuple[MessageHit, ...]


@attrs.frozen(kw_only=True)
class Facets:
    """How many of a search's matches have which category and which tag, the most frequent first."""

    categories: tuple[tuple[str, int], ...]
    tags: tuple[tuple[str, int], ...]
    #: How many matches were counted.
    counted: int
    #: False: there are more matches than were counted.
    exact: bool


def by_conversation(page: SearchPage[MessageHit]) -> tuple[ConversationHits, ...]:
    """The hits of a page grouped by conversation; the conversation with the best hit first."""
    groups: dict[str, list[MessageHit]] = {}
    for hit in page.items:
        groups.setdefault(hit.message.conversation_id, []).append(hit)
    return tuple(
        ConversationHits(conversation_id=id, score=hits[0].score, hits=tuple(hits)) for id, hits in groups.items()
    )
