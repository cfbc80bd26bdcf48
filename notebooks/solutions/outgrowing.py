"""Solutions for 15-outgrowing-one-machine."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import BrokenExecutor
from typing import Any

from taskmanager.ratelimit import client_key

# 2,000/s * 0.3 s, at half load; 2,000/s * 600 s * 2,000 bytes; and
# 2,000/s over 1,500/s, at half load, rounded up.
sizing = (1200, 2.4, 3)


def shard_of(address: str, shards: int) -> int:
    # The same in every process, unlike hash().
    client = client_key(address)
    return zlib.crc32(client.encode()) % shards


async def hand_out(
    pieces: Iterable[Any],
    attempt: Callable[[Any], Awaitable[Any]],
    allowed: int = 3,
) -> list[Any]:
    async def outcome(piece: Any) -> Any:
        deaths = 0
        while True:
            try:
                return await attempt(piece)
            except BrokenExecutor as error:
                deaths += 1
                if deaths > allowed:
                    return error
            except Exception as error:
                return error

    return await asyncio.gather(*map(outcome, pieces))
