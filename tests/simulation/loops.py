"""The background loops: which have died, and when they are started
again.

Rule: a loop dies only where the simulation kills it; it is started
again after 1 s, then 2, 4, ... 30 s, and after 1 s again once it has
lived for 30 s.
"""

from tests.simulation.journal import InvariantError


class Loops:
    """All loops of one engine, that began at ``now``."""

    def __init__(self, now: float) -> None:
        self._now = self._begun = now
        # when it is, or was, started again, and after what pause
        self._last: dict[str, tuple[float, float]] = {}
        self.dead: set[str] = set()
        self.restarts = 0
        self.excused = 0  # deaths to come that are nobody's fault but the simulation's

    def die(self, name: str, now: float) -> None:
        if self.excused == 0:
            raise InvariantError(f"{name} has died by itself")
        self.excused -= 1
        started, pause = self._last.get(name, (self._begun, 0.0))
        pause = 1.0 if now - started >= 30 or pause == 0 else min(2 * pause, 30.0)
        self._last[name] = (now + pause, pause)
        self.dead.add(name)

    def tick(self, now: float) -> None:
        """Time has moved on."""
        alive = {name for name in self.dead if self._last[name][0] <= now}
        self.dead -= alive
        self.restarts += len(alive)

    @property
    def dead_workers(self) -> bool:
        return any(name.startswith("worker") for name in self.dead)

    def cleanup_is_late(self, now: float, interval: float) -> bool:
        """Whether the cleanup has died and not come round since, so
        that nobody can hold it to its interval.
        """
        return "cleanup" in self._last and now <= self._last["cleanup"][0] + interval
