"""SlidingWindow: at most so many accepted requests of a client in any
window (a sliding window log).

Rules: the window ``(now - window, now]`` is half-open: a request
exactly one window after another no longer counts it. Only accepted
requests count. ``now`` is passed in: nothing here reads a clock.
Notebook: 06-rate-limiting.
"""

import asyncio
import math
import re
from collections import OrderedDict, deque
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network

# 10.0.0.7:80, [2001:db8::1]:80
WITH_PORT = re.compile(r"^(?:\[(.*)\](?::\d*)?|([^:]*):\d*)$")
# Where the last 32 bits are an IPv4 address: IPv4-mapped, and reached
# through NAT64.
MAPPED = IPv6Network("::ffff:0:0/96")
NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(slots=True)
class Decision:
    """What the limiter says to one request.

    ``remaining`` and ``reset`` are r and t of the RateLimit field
    (draft-ietf-httpapi-ratelimit-headers).
    """

    allowed: bool
    # Requests left.
    remaining: int
    # Whole seconds, rounded up, until the oldest counted request leaves
    # the window: waiting that long is enough.
    reset: int


class SlidingWindow:
    """At most ``limit`` requests of a client in any ``window`` seconds.

    It is exact, at the price of ``limit`` floats a client: the times of
    its requests in the last ``window`` seconds.
    """

    def __init__(self, limit: int, window: int, max_clients: int) -> None:
        self.limit = limit
        self.window = window
        self._max_clients = max_clients
        # Whoever was accepted least recently is in front. That is whom
        # to forget, when idle for a window or beyond max_clients.
        self._accepted: OrderedDict[str, deque[float]] = OrderedDict()
        # What the lock protects, honestly: nothing today, since no
        # await stands between looking and counting, and the event loop
        # runs nothing else meanwhile. It keeps the two together once
        # somebody puts one between them.
        self._lock = asyncio.Lock()

    async def hit(self, client: str, now: float, free: bool = False) -> Decision:
        """Decide on a request of ``client``; count it if it is allowed.

        ``now`` is in monotonic seconds. One that is ``free`` is allowed
        and not counted.
        """
        async with self._lock:
            times = self._accepted.get(client)
            if times is None:
                times = deque()
                self._accepted[client] = times
                if len(self._accepted) > self._max_clients:
                    self._accepted.popitem(last=False)

            while times and times[0] + self.window <= now:
                times.popleft()
            allowed = len(times) < self.limit
            if allowed:
                times.append(now)
                self._accepted.move_to_end(client)

            oldest = times[0]
            reset = math.ceil(self.window - (now - oldest))
            if oldest + self.window > now + reset:
                # The difference was rounded down: this is not enough.
                reset += 1
            if free and allowed:
                times.pop()
            allowed = allowed or free
            return Decision(allowed, self.limit - len(times), reset)

    def forget_idle(self, now: float, at_most: int) -> int:
        """Forget clients whose requests have all left the window.

        It forgets ``at_most`` of them at most; says how many.
        """
        for forgotten in range(at_most):
            client = next(iter(self._accepted), None)
            if client is None:
                return forgotten
            times = self._accepted[client]
            if times and times[-1] + self.window > now:
                return forgotten
            del self._accepted[client]

        return at_most


def client_key(host: str | None) -> str:
    """Whom the peer address ``host`` counts as.

    IPv6 counts by its /64, which any household has. An IPv4 address
    within it, mapped or behind NAT64, counts as that IPv4, and a
    link-local one, which a whole link shares the /64 of, for itself. A
    port is no part of an address. All requests without an address are
    one client.
    """
    if host is None:
        return ""
    if ":" not in host:
        return host

    host = WITH_PORT.sub(r"\1\2", host)
    try:
        address = IPv6Address(host)
    except ValueError:
        return host

    if address in MAPPED or address in NAT64:
        return str(IPv4Address(address.packed[-4:]))
    if address.is_link_local:
        return str(address)
    return str(IPv6Network((int(address), 64), strict=False))
