"""SlidingWindow: at most so many accepted requests of a client in any
window (a sliding window log).

Rules: the window ``(now - window, now]`` is half-open: a request
exactly one window after another no longer counts it. Only accepted
requests count. ``now`` is passed in: nothing here reads a clock.
Notebook: 05-rate-limiting.
"""

import asyncio
import math
from collections import OrderedDict, deque
from ipaddress import IPv6Address
from typing import NamedTuple


class Decision(NamedTuple):
    """What the limiter says to one request, with r and t of
    draft-ietf-httpapi-ratelimit-headers.
    """

    allowed: bool
    remaining: int  # requests left
    # whole seconds, rounded up, until the oldest counted request
    # leaves: waiting that long is enough
    reset: int


class SlidingWindow:
    """Exact, at the price of ``limit`` floats a client: the times of
    its requests in the last ``window`` seconds.
    """

    def __init__(self, limit: int, window: int, max_clients: int) -> None:
        self.limit, self.window, self._max_clients = limit, window, max_clients
        # In the order of the last accepted request: whom to forget,
        # idle or beyond max_clients, is in front.
        self._accepted: OrderedDict[str, deque[float]] = OrderedDict()
        # What the lock protects, honestly: nothing today, since no
        # await stands between looking and counting, and the event loop
        # runs nothing else meanwhile. It keeps the two together once
        # somebody puts one between them.
        self._lock = asyncio.Lock()

    async def hit(self, client: str, now: float) -> Decision:
        """Decide on a request of ``client`` at ``now``, in monotonic
        seconds, and count it if it is allowed.
        """
        async with self._lock:
            clients, window = self._accepted, self.window
            if (times := clients.get(client)) is None:
                clients[client] = times = deque()
                if len(clients) > self._max_clients:
                    clients.popitem(last=False)
            while times and times[0] + window <= now:
                times.popleft()
            if allowed := len(times) < self.limit:
                times.append(now)
                clients.move_to_end(client)
            reset = math.ceil(window - (now - times[0]))
            # the difference was rounded down: waiting would not be
            # enough
            if times[0] + window > now + reset:
                reset += 1
            return Decision(allowed, self.limit - len(times), reset)

    def forget_idle(self, now: float, at_most: int) -> int:
        """Forget up to ``at_most`` clients whose requests have all left
        the window; says how many.
        """
        for forgotten in range(at_most):
            client = next(iter(self._accepted), None)
            if client is None or self._accepted[client][-1] + self.window > now:
                return forgotten
            del self._accepted[client]
        return at_most


def client_key(host: str | None) -> str:
    """Whom the peer address ``host`` counts as: IPv6 its /64, which any
    household has; no address as one client.
    """
    if host is None or ":" not in host:
        return host or ""
    try:
        address = IPv6Address(host)
    except ValueError:
        return host
    return str(address.ipv4_mapped or f"{IPv6Address(int(address) >> 64 << 64)}/64")
