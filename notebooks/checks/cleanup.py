"""Checks for 09-cleanup-and-frozen-time."""

from collections import deque
from collections.abc import Iterator
from typing import Any, SupportsIndex

from notebooks.checks import exercise

Pair = tuple[float, str]
STAYING = 1000


class _Watched(deque[Pair]):
    """Counts how often it is looked at.

    It ends a loop that would not end.
    """

    looks = 0
    asked = 0

    def _look(self, looks: int = 1) -> None:
        self.looks += looks
        self.asked += 1
        assert self.asked < 20 * STAYING, (
            "it never ends: stop at the first one that is not due."
        )

    def __getitem__(self, index: SupportsIndex) -> Pair:  # type: ignore[override]
        self._look()
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[Pair]:
        for pair in super().__iter__():
            self._look()
            yield pair

    def __len__(self) -> int:
        # So that a loop that only asks whether there is more ends as
        # well.
        self._look(0)
        return super().__len__()

    def __bool__(self) -> bool:
        # Up to Python 3.10, a deque does not ask for its length here.
        return len(self) > 0

    def popleft(self) -> Pair:
        self._look()
        return super().popleft()

    def names(self) -> list[str]:
        """Those of its tasks, without a look that counts."""
        return [name for _, name in deque.__iter__(self)]


@exercise(
    "They stand in the order finished, so the first that stays ends the sweep, which "
    "costs only what it removes.",
    plain=True,
)
def forget(answer: Any) -> None:
    def left(now: float) -> set[str]:
        records = {
            "running": {"created_at": 0.0},
            "slow": {"created_at": 1.0},
            "quick": {"created_at": 2.0},
        }
        # In the order finished.
        finished = _Watched([(10.0, "quick"), (20.0, "slow")])

        answer(records, finished, now)
        assert "running" in records, (
            f"at {now:g} s it forgets a task that is not finished."
        )
        names = finished.names()
        listed = ", ".join(names) or "nothing"
        assert set(names) == {*records} - {"running"}, (
            f"at {now:g} s records has {', '.join(records)}, and finished has {listed}."
        )
        return set(names)

    assert left(1e9) == set(), "long after, something finished is still there."
    assert left(609.9) == {"quick", "slow"}, (
        "it forgets what finished 599.9 s ago: too early."
    )
    assert left(610) == {"slow"}, (
        "what finished exactly 600 s ago is due, and nothing else is."
    )

    due = [(0.0, f"due-{number}") for number in range(3)]
    staying = [(500.0, f"stays-{number}") for number in range(STAYING)]
    many = _Watched(due + staying)
    answer({name: {"created_at": 0.0} for name in many.names()}, many, 600.0)
    assert many.looks <= 50, (
        f"it looks at {many.looks:,} entries to find 3 that are due: stop at the first "
        "that stays."
    )


@exercise(
    "The clock jumps only where nothing is ready, and exactly to the next timer, so "
    "ten minutes cost nothing.",
    plain=True,
)
def select(answer: Any) -> None:
    def turn(
        ready: list[str], timeout: float | None
    ) -> tuple[float, list[float | None]]:
        """The jumped seconds, and how long each poll was to wait."""
        jumps: list[float] = []
        polls: list[float | None] = []

        def poll(seconds: float | None) -> list[str]:
            polls.append(seconds)
            if timeout is None and seconds == 0:
                return []
            assert len(polls) < 100, (
                "it polls again and again: nothing will come, so jump."
            )
            return ready

        returned: Any = answer(poll, timeout, jumps.append)
        assert timeout is not None or None in polls + jumps, (
            "without a timer only the network can bring news: wait for it, with "
            "poll(None)."
        )
        assert returned == ready, (
            f"what is ready is {ready}; it returns {returned!r:.60}."
        )
        assert polls, "it never polls: what comes from the network would not be seen."
        assert None not in jumps, (
            "without a timer there is nowhere to jump to: poll(None)."
        )
        return sum(jumps), polls

    jumped, polls = turn([], 600.0)
    assert polls == [0] * len(polls), (
        f"nothing is ready, a timer is 600 s away, and it waits: poll({polls[0]:g})."
    )
    assert jumped == 600, (
        f"nothing is ready, a timer is 600 s away, and it jumps by {jumped:g} s."
    )

    jumped, polls = turn(["socket"], 600.0)
    assert jumped == 0, (
        f"something is ready at once, and yet it jumps by {jumped:g} s, past it."
    )
    assert polls == [0], "something is ready: one poll(0) is enough."

    jumped, polls = turn([], 0)
    assert jumped == 0, "with timeout 0 something is to run now: no jump."

    jumped, polls = turn(["socket"], None)
    assert jumped == 0, "without a timer there is nowhere to jump to."
    # One that does not wait may come first.
    assert polls in ([None], [0, None]), (
        f"without a timer, one poll(None) is enough; it polls {len(polls)} times."
    )
