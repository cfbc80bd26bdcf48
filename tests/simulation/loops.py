"""Which background loops have died, and when they start again.

Rule: a loop dies only where the simulation kills it; it is started
again after 1 s, then 2, 4, ... 30 s, and after 1 s again once it has
lived for 30 s.
"""

from typing import NamedTuple

from tests.simulation.journal import InvariantError


class Restart(NamedTuple):
    """When a loop is, or was, started again, and after what pause."""

    at: float
    pause: float


class Loops:
    """All loops of one engine, that began at ``now``."""

    def __init__(self, now: float) -> None:
        self._begun = now
        self._last: dict[str, Restart] = {}
        self.dead: set[str] = set()
        self.restarts = 0
        # Deaths to come that are nobody's fault but the simulation's.
        self.excused = 0

    def die(self, name: str, now: float) -> None:
        if self.excused == 0:
            raise InvariantError(f"{name} has died by itself")

        self.excused -= 1
        last = self._last.get(name, Restart(self._begun, 0.0))
        if now - last.at >= 30 or last.pause == 0:
            pause = 1.0
        else:
            pause = min(2 * last.pause, 30.0)

        self._last[name] = Restart(now + pause, pause)
        self.dead.add(name)

    def tick(self, now: float) -> None:
        """Time has moved on."""
        alive = {name for name in self.dead if self._last[name].at <= now}
        self.dead -= alive
        self.restarts += len(alive)

    @property
    def dead_workers(self) -> bool:
        return any(name.startswith("worker") for name in self.dead)

    def cleanup_is_late(self, now: float, interval: float) -> bool:
        """Whether the cleanup has died and not come round since.

        Then nobody can hold it to its interval.
        """
        last = self._last.get("cleanup")
        return last is not None and now <= last.at + interval
