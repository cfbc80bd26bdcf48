"""Checks for 00-tour."""

from typing import Any

import httpx

from notebooks import lab
from notebooks.checks import exercise, numbers_of

# A task of 15 s.
SUBMISSION = {
    "task_type": "generate_report",
    "parameters": {"title": "Checked", "sections": 5},
}


@exercise("Polling pays for every second of the wait, long polls only for every ten.")
def requests(answer: Any) -> None:
    polled, long_polled = numbers_of(answer, 2)
    assert polled != 15, "that leaves out the submission itself."
    assert polled == 16, (
        f"not {polled} by polling: one submission, and a poll at each of 15 seconds."
    )
    assert long_polled == 3, (
        f"not {long_polled} with long polls: one to submit, one held for 10 s, one for "
        "the last 5 s."
    )


@exercise(
    "With since, a change that happened between two polls is answered at once, so "
    "none gets lost."
)
def run_task(answer: Any) -> None:
    app = lab.start()
    client = lab.client(app)
    asked: list[httpx.QueryParams] = []

    async def note(request: httpx.Request) -> None:
        asked.append(request.url.params)

    client.event_hooks["request"].append(note)
    try:
        task: Any = lab.run(answer(client, SUBMISSION))
        tasks = app.state.manager.stats()["tasks"]
        last = lab.run(lab.client(app).get("/tasks"))
    finally:
        lab.stop(app)
    assert isinstance(task, dict), f"it returns {task!r:.60}, not the task as a dict."
    assert tasks == 1, f"it submits {tasks} tasks."
    status = task.get("status")
    assert status == "completed", (
        f"the task that it returns is still {status!r}: ask again."
    )

    # Such as "default";r=7;t=60, where the last one has been counted.
    _, remaining, _ = last.headers["ratelimit"].split(";")
    used = 10 - int(remaining.removeprefix("r=")) - 1
    assert used <= 4, (
        f"it takes {used} requests; let the server wait with wait=true and since."
    )
    waits = [each for each in asked if "wait" in each]
    assert waits, "it never lets the server wait: ask with wait=true and since."
    assert all("since" in each for each in waits), (
        "a change between two of its questions would get lost: say with since which "
        "version it has seen."
    )
