"""The rate limit, by counting: how many of all requests that a client
has ever been granted lie in the last window?

Rule: nothing is thrown away and nothing remembered in a clever way, so
that this is right by looking at it.
"""

import math
from typing import NamedTuple


class Ruling(NamedTuple):
    """What is to be answered to a request."""

    granted: bool
    left: int
    reset: int  # whole seconds until the oldest granted request has left the window


class Quota:
    """At most ``limit`` granted requests of a client in any half-open
    window; no limit where that is None.
    """

    def __init__(self, limit: int | None, window: int, max_clients: int) -> None:
        self._limit, self._window, self._max_clients = limit, window, max_clients
        # the clients in the order of their last granted request
        self._granted: dict[str, list[float]] = {}

    def ask(self, client: str, now: float) -> Ruling | None:
        """Rule on a request, and remember it where it is granted."""
        if self._limit is None:
            return None
        counted = self.active(now)
        if client not in counted and len(counted) >= self._max_clients:
            # the least recently granted client is forgotten
            del self._granted[counted[0]]
        times = self._granted.get(client, [])
        inside = [time for time in times if time > now - self._window]
        granted = len(inside) < self._limit
        if granted:
            self._granted.pop(client, None)
            self._granted[client] = [*times, now]
            inside.append(now)
        return Ruling(
            granted,
            self._limit - len(inside),
            math.ceil(inside[0] + self._window - now),
        )

    def active(self, now: float, grace: float = 0) -> list[str]:
        """The clients with a granted request in the last window, and
        ``grace`` seconds before.
        """
        return [
            client
            for client, times in self._granted.items()
            if times[-1] > now - self._window - grace
        ]
