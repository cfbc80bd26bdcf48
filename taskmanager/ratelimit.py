"""SlidingWindow: at most so many accepted requests of a client in any window (a sliding window log).

Rules: the window ``(now - window, now]`` is half-open: a request exactly one window after another no longer counts
it. Only accepted requests count. ``now`` is passed in: nothing here reads a clock. Notebook: 05-rate-limiting.
"""

import asyncio
import math
from collections import OrderedDict, deque
from ipaddress import IPv6Address
from typing import NamedTuple


class Decision(NamedTuple):
    """What the limiter says to one request; the last two are r and t of draft-ietf-httpapi-ratelimit-headers.

    In ``reset`` whole seconds, rounded up, the oldest counted request leaves the window: who waits that long is
    accepted.
    """

    allowed: bool
    remaining: int
    reset: int


class SlidingWindow:
    """For each client, a deque of the times of its accepted requests: exact, at the price of ``limit`` floats.

    ``window`` is in whole seconds. Beyond ``max_clients``, the least recently accepted client is forgotten.
    """

    def __init__(self, limit: int, window: int, max_clients: int) -> None:
        self.limit = limit
        self.window = window
        self._max_clients = max_clients
        # In the order of the last accepted request: whom to forget is in front.
        self._accepted: OrderedDict[str, deque[float]] = OrderedDict()
        # What the lock protects, honestly: nothing today, since no await stands between looking and counting and
        # one event loop runs nothing else meanwhile. The exercise asks for it, and it keeps the two together on
        # the day when somebody puts an await between them, as a shared store would.
        self._lock = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._accepted)

    async def hit(self, client: str, now: float) -> Decision:
        """Decide on a request of ``client`` at ``now``, in monotonic seconds, and count it if it is allowed."""
        async with self._lock:
            times = self._accepted.get(client, deque())
            while times and times[0] + self.window <= now:
                times.popleft()
            allowed = len(times) < self.limit
            if allowed:
                times.append(now)
                self._accepted[client] = times
                self._accepted.move_to_end(client)
                if len(self._accepted) > self._max_clients:
                    self._accepted.popitem(last=False)
            return Decision(allowed, self.limit - len(times), self._reset(times[0], now))

    def _reset(self, oldest: float, now: float) -> int:
        seconds = math.ceil(self.window - (now - oldest))
        # Where floating point rounded the difference down, waiting that long would not be enough.
        return seconds if oldest + self.window <= now + seconds else seconds + 1

    def forget_idle(self, now: float, at_most: int) -> int:
        """Forget up to ``at_most`` clients whose requests have all left the window; says how many."""
        forgotten = 0
        while self._accepted and forgotten < at_most:
            client, times = next(iter(self._accepted.items()))
            if times[-1] + self.window > now:
                break
            del self._accepted[client]
            forgotten += 1
        return forgotten


def client_key(host: str | None) -> str:
    """The client that the peer address ``host`` counts as; all without an address are one, the empty string.

    IPv6 counts by its /64, since every household has that many addresses; IPv4-mapped IPv6 counts as IPv4.
    """
    if host is None or ":" not in host:
        return host or ""
    try:
        address = IPv6Address(host)
    except ValueError:
        return host
    return str(address.ipv4_mapped or f"{IPv6Address(int(address) >> 64 << 64)}/64")
