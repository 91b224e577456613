"""What a search gives: hits, pages of them, and counts of what they have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

import attrs

from datastore.records.learnings import Learning
from datastore.records.messages import Message

Hit = TypeVar("Hit")


@attrs.frozen(kw_only=True)
class FoundLearning:
    """A learning and its place on disk, which the full-text index refers to."""

    seq: int
    learning: Learning


@attrs.frozen(kw_only=True)
class FoundMessage:
    """A message and its place on disk, which the full-text index refers to."""

    seq: int
    message: Message


@attrs.frozen(kw_only=True)
class LearningHit:
    """A learning that a search found."""

    learning: Learning
    #: BM25, a title's words five times; higher is better; 0.0 where there was no text to rank by.
    score: float
    #: The title with its matches between the marks.
    title: str
    #: The part of the content with the most different matches, between the marks.
    snippet: str
    #: What of the text matched, as it was typed, in its order.
    terms: tuple[str, ...]


@attrs.frozen(kw_only=True)
class MessageHit:
    """A message that a search found."""

    message: Message
    #: BM25, higher is better; 0.0 where there was no text to rank by.
    score: float
    #: The part of the content with the most different matches, between the marks.
    snippet: str
    #: What of the text matched, as it was typed, in its order.
    terms: tuple[str, ...]


@attrs.frozen(kw_only=True)
class SearchPage(Generic[Hit]):
    """Some hits, best first; iterating gives them."""

    items: tuple[Hit, ...]
    #: Give it as ``after=`` for the hits behind this page; None: there are no more, or none that were ranked.
    next: str | None
    #: True: these are the best of all matches, in their order. False: the words are so common that only the
    #: likeliest matches were ranked (docs/search.md); the hits are right, a better one may be missing.
    exact: bool
    #: Where nothing was found: the text with its unknown words replaced by words that are stored, or None.
    did_you_mean: str | None = None

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Hit:
        return self.items[index]


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
