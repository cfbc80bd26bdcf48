"""The simulation's event loop, on virtual time that is exact.

It is orderly too, and cannot hang.

Rule: what is due at the same moment runs in the order in which it was
asked for. A heap of timers alone leaves that open, and a seed would not
play the same day on every Python version.
"""

from typing import Any

from taskmanager.testing import VirtualLoop
from tests.simulation.journal import InvariantError

# The day begins here: from here to 2**21 all floats are equally spaced,
# so that sums are exact.
START = 2.0**20
# Whoever sleeps for this microsecond lets all run that is ready.
INSTANT = 2.0**-20
DAY = 86_400.0
LONGEST = 3 * DAY  # of virtual time
BUSIEST = 1_000_000  # looks without a move


class Moment(float):
    """A time: of two equal ones, the one asked for first is less."""

    turn: int

    def __lt__(self, other: Any) -> bool:
        if isinstance(other, Moment) and float.__eq__(self, other):
            return self.turn < other.turn
        return float.__lt__(self, other)


class SimulatedLoop(VirtualLoop):
    """An event loop for one simulated day, which begins at START."""

    def __init__(self) -> None:
        self._turns = 0
        self._looks = 0
        self._end = START + LONGEST
        super().__init__()

        super().jump(START)
        # Debug mode would record a traceback for each timer.
        self.set_debug(False)

    def call_at(  # type: ignore[override]
        self, when: float, *args: Any, **kwargs: Any
    ) -> Any:
        self._turns += 1
        moment = Moment(when)
        moment.turn = self._turns
        return super().call_at(moment, *args, **kwargs)

    def time(self) -> float:
        self._looks += 1
        if self._looks > BUSIEST:
            self._looks = 0
            raise InvariantError(
                "time stands still: something runs again and again without waiting"
            )
        return super().time()

    def jump(self, seconds: float) -> None:
        self._looks = 0
        super().jump(seconds)

        if super().time() > self._end:
            self._end += DAY
            raise InvariantError(
                "the day does not end: something is waited for that never comes"
            )
