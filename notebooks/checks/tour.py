"""Checks for 00-tour."""

from typing import Any

from notebooks import lab
from notebooks.checks import exercise

# 15 s
SUBMISSION = {
    "task_type": "generate_report",
    "parameters": {"title": "Checked", "sections": 5},
}


@exercise
def requests(answer: Any) -> None:
    assert ... not in answer, "put two numbers in place of the dots."
    polled, long_polled = answer
    assert polled != 15, "that leaves out the submission itself."
    assert polled == 16, (
        f"not {polled} by polling: one submission, and a poll at each of 15 seconds."
    )
    assert long_polled == 3, (
        f"not {long_polled} with long polls: one to submit, one held for 10 s, one for the last 5 s."
    )


@exercise
def run_task(answer: Any) -> None:
    app = lab.start()
    try:
        task: Any = lab.run(answer(lab.client(app), SUBMISSION))
        stats = app.state.manager.stats()
        remaining = int(
            lab.run(lab.client(app).get("/tasks"))
            .headers["ratelimit"]
            .split(";")[1]
            .removeprefix("r=")
        )
    finally:
        lab.stop(app)
    assert isinstance(task, dict), f"it returns {task!r:.60}, not the task as a dict."
    assert stats["tasks"] == 1, f"it submits {stats['tasks']} tasks."
    assert task.get("status") == "completed", (
        f"the task that it returns is still {task.get('status')!r}: ask again."
    )
    used = 10 - remaining - 1
    assert used <= 4, (
        f"it takes {used} requests; let the server wait with wait=true and since."
    )
