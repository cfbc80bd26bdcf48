"""Checks for 13-watching-it."""

from typing import Any

from notebooks.checks import exercise, numbers_of
from taskmanager.task import timestamp
from taskmanager.testing import EPOCH

Line = dict[str, Any]


def _line(at: float, task_id: str, before: str, after: str, since: float = 0) -> Line:
    """A line of the log, ``at`` so many seconds.

    The task has been in the status before ``since`` then.
    """
    change: Line = {"from": before, "seconds": round(at - since, 3)} if before else {}
    said = f"{before} -> {after}" if before else "submitted"
    return {
        "time": timestamp(EPOCH + at + 0.0005),
        "level": "info",
        "logger": "taskmanager.manager",
        "message": f"task {task_id}: {said}",
        "task_id": task_id,
        "task_type": "compute_sum",
        **change,
        "to": after,
    }


def _death(at: float) -> Line:
    return {
        "time": timestamp(EPOCH + at + 0.0005),
        "level": "error",
        "logger": "taskmanager.supervisor",
        "message": "worker-1 has died",
        "loop": "worker-1",
    }


# Two tasks that end, one that is cancelled in the queue, and one whose
# result comes too late.
LINES = [
    _line(0, "a", "", "queued"),
    _line(0, "a", "queued", "processing", 0),
    _line(1, "b", "", "queued"),
    _line(2, "c", "", "queued"),
    _line(4, "d", "", "queued"),
    _line(6, "b", "queued", "cancelled", 1),
    _death(7),
    _line(8, "a", "processing", "failed", 0),
    _line(9, "c", "queued", "processing", 2),
    _line(12, "d", "queued", "processing", 4),
    _line(14, "c", "processing", "completed", 9),
    _line(15, "e", "", "queued"),
    _line(16.123, "e", "queued", "processing", 15),
    _line(17, "d", "processing", "cancelled", 12),
    _line(18, "d", "cancelled", "completed", 17)
    | {"message": "task d is cancelled already: completed is dropped"},
]


def _told(answer: Any, lines: list[Line], argument: Any) -> Any:
    try:
        return answer(lines, argument)
    except KeyError as error:
        raise AssertionError(
            f"it raises KeyError: {error}. Not every line is about a task."
        ) from None


def _until(now: float) -> list[Line]:
    """The lines of the log up to then."""
    last = timestamp(EPOCH + now + 0.0005)
    return [line for line in LINES if line["time"] <= last]


@exercise(
    "Only the tasks that wait are kept, so it can run beside the log for ever, one "
    "line after the other.",
    plain=True,
)
def queue_age(answer: Any) -> None:
    def age(now: float) -> float:
        told = _told(answer, _until(now), EPOCH + now)
        assert isinstance(told, int | float), (
            f"it returns {told!r:.40}, not a number of seconds."
        )
        return round(told, 1)

    assert age(3) == 2, (
        f"a task has waited since 1 s; at 3 s it says {age(3):g}, not 2: the oldest "
        "counts, and only what still waits."
    )
    assert age(5) == 4, (
        f"at 5 s three wait, since 1, 2 and 4 s: it says {age(5):g}, not 4."
    )
    assert age(6.5) == 4.5, (
        f"at 6 s the oldest is cancelled, and the next has waited since 2 s; at 6.5 s "
        f"it says {age(6.5):g}, not 4.5."
    )
    assert age(11) == 7, f"at 11 s one waits, since 4 s: it says {age(11):g}, not 7."
    assert age(13) == 0, f"at 13 s nothing waits: it says {age(13):g}, not 0."
    assert answer([], EPOCH) == 0, "of an empty log it does not say 0."


@exercise(
    "A trace shows where the time went. With it, nobody has to guess whether a task "
    "was slow, or only late.",
    plain=True,
)
def trace_of(answer: Any) -> None:
    def trace(task_id: str) -> list[tuple[float, str]]:
        told = _told(answer, LINES, task_id)
        assert isinstance(told, list), f"it returns {told!r:.40}, not a list."
        assert all(isinstance(pair, tuple | list) for pair in told), (
            f"its list begins with {told[0]!r:.40}, not with a pair."
        )
        assert all(len(pair) == 2 for pair in told), (
            f"it returns {told!r:.60}, not a list of pairs."
        )
        return [(seconds, status) for seconds, status in told]

    told = trace("c")
    assert told, "it returns an empty list."
    assert [status for _, status in told] == ["queued", "processing", "completed"], (
        f"a task that completed had these statuses: {[status for _, status in told]}?"
    )
    assert [seconds for seconds, _ in told] != [2, 9, 14], (
        "those are seconds since midnight; give those since the task's submission."
    )
    assert [seconds for seconds, _ in told] == [0, 7, 12], (
        f"submitted at 2 s, begun at 9 s, done at 14 s: {told} is not that."
    )
    told = trace("b")
    assert told == [(0, "queued"), (5, "cancelled")], (
        f"a task that was cancelled while it waited: {told}?"
    )
    told = trace("e")
    assert told == [(0, "queued"), (1.123, "processing")], (
        f"submitted at 15 s, begun at 16.123 s, rounded to a thousandth: {told}?"
    )
    told = trace("d")
    assert told == [(0, "queued"), (8, "processing"), (13, "cancelled")], (
        f"a result came when the task was cancelled already: {told}?"
    )


@exercise(
    "The median says that all is well, the p99 that it is not, and the mean says "
    "nothing that anybody has met."
)
def mean_p50_p99(answer: Any) -> None:
    mean, p50, p99 = numbers_of(answer, 3)
    assert mean != 52, "each task counts: 97 of them took 2 s."
    assert mean == 5, f"not {mean:g}: 97 times 2 s and 3 times 102 s, divided by 100."
    assert p50 == 2, f"the p50 is not {p50:g}: half of them were done within that time."
    assert p99 != 2, "within 2 s, only 97 of 100 were done."
    assert p99 == 102, f"the p99 is not {p99:g}: it is the time of one of the tasks."
