"""The rate limit, by counting.

How many of all requests that a client has ever been granted lie in the
last window?

Rule: nothing is thrown away and nothing remembered in a clever way, so
that this is right by looking at it.
"""

import math
from typing import NamedTuple


class Ruling(NamedTuple):
    """What is to be answered to a request."""

    granted: bool
    left: int
    # Whole seconds until the oldest granted request leaves the window.
    reset: int


class Quota:
    """At most ``limit`` granted requests of a client in any window.

    The window is half-open. There is no limit where ``limit`` is None.
    """

    def __init__(self, limit: int | None, window: int, max_clients: int) -> None:
        self._limit = limit
        self._window = window
        self._max_clients = max_clients
        # The clients in the order of their last granted request.
        self._granted: dict[str, list[float]] = {}

    def ask(self, client: str, now: float) -> Ruling | None:
        """Rule on a request, and remember it where it is granted."""
        if self._limit is None:
            return None

        counted = self.active(now)
        if client not in counted and len(counted) >= self._max_clients:
            least_recent = counted[0]
            del self._granted[least_recent]

        times = self._granted.get(client, [])
        inside = [time for time in times if time > now - self._window]
        granted = len(inside) < self._limit
        if granted:
            self._granted.pop(client, None)
            self._granted[client] = [*times, now]
            inside.append(now)

        left = self._limit - len(inside)
        reset = math.ceil(inside[0] + self._window - now)
        return Ruling(granted, left, reset)

    def active(self, now: float, grace: float = 0) -> list[str]:
        """The clients with a granted request in the last window.

        The window reaches back ``grace`` seconds more.
        """
        return [
            client
            for client, times in self._granted.items()
            if times[-1] > now - self._window - grace
        ]
