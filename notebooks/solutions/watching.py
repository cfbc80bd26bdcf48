"""Solutions for 13-watching-it."""

from datetime import datetime
from typing import Any


def moment(line: dict[str, Any]) -> float:
    """The time of a line, as in the lesson."""
    return datetime.strptime(line["time"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()


def queue_age(lines: list[dict[str, Any]], now: float) -> float:
    waiting: dict[str, float] = {}
    for line in lines:
        if line.get("to") == "queued":
            waiting[line["task_id"]] = moment(line)
        elif line.get("from") == "queued":
            # It has begun, or was cancelled.
            del waiting[line["task_id"]]
    return now - min(waiting.values(), default=now)


def trace_of(lines: list[dict[str, Any]], task_id: str) -> list[tuple[float, str]]:
    theirs = [
        line
        for line in lines
        if line.get("task_id") == task_id
        and "to" in line
        and "dropped" not in line["message"]
    ]
    return [(round(moment(line) - moment(theirs[0]), 3), line["to"]) for line in theirs]


# (97 · 2 + 3 · 102) / 100; half of them, and 99 of them, had at most
# that.
mean_p50_p99 = (5, 2, 102)
