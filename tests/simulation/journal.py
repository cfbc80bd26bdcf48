"""What has happened in a simulated day, in words and in numbers.

Rule: what is noted depends on the seed alone: tasks appear by their
number, never by their random id.
"""

import zlib
from collections import Counter, deque
from collections.abc import Callable

SHOWN = 16  # steps before a broken invariant


class InvariantError(AssertionError):
    """An invariant is broken; the text says which, in words."""


class Journal:
    """The steps of one day, each a line with its time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._start = clock()
        self._stopped: float | None = None
        self.last: deque[str] = deque(maxlen=SHOWN)
        self.counts: Counter[str] = Counter()
        # Of all that was noted. A sum, since Python versions differ in
        # the order of what happens at one moment.
        self.fingerprint = 0

    def note(self, text: str) -> None:
        if self._stopped is not None:
            return

        line = f"{self.time()} {text}"
        self.last.append(line)
        self.fingerprint = (self.fingerprint + zlib.crc32(line.encode())) % 2**32

    def stop(self) -> None:
        """Note nothing more: an invariant is broken.

        What follows is no part of its story.
        """
        self._stopped = self._stopped or self._clock()

    def time(self) -> str:
        """The time of day."""
        elapsed = (self._stopped or self._clock()) - self._start
        hours = int(elapsed // 3600)
        minutes = int(elapsed // 60 % 60)
        seconds = elapsed % 60
        return f"{hours:02}:{minutes:02}:{seconds:09.6f}"
