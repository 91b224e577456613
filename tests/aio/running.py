"""What the tests of the asynchronous store share: they run in a loop that notices when it is blocked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from datastore import AsyncDatastore, Datastore

#: Nothing here takes as long, unless it hangs.
PATIENCE = 60.0


def play(store: Datastore, body: Callable[[AsyncDatastore], Awaitable[None]], **options: Any) -> None:
    """Run *body* with an asynchronous store on *store*."""

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), AsyncDatastore(store, **options) as opened:
            await body(opened)

    asyncio.run(main())


async def add(store: AsyncDatastore, **values: Any) -> str:
    """Add a conversation; gives its id."""
    return (await store.conversations.add(sanitization_version="1", **values)).id


async def until(true: Callable[[], Any]) -> None:
    while not true():
        await asyncio.sleep(0.001)


class Stalls:
    """The longest time for which the loop did nothing else, in seconds."""

    longest = 0.0


@asynccontextmanager
async def watched() -> AsyncIterator[Stalls]:
    """Watch the running loop."""
    stalls = Stalls()

    async def tick() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            stalls.longest = max(stalls.longest, time.perf_counter() - before - 0.001)

    ticking = asyncio.create_task(tick())
    try:
        yield stalls
    finally:
        ticking.cancel()
