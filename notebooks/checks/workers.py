"""Checks for 03-queue-and-workers."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

from notebooks import lab
from notebooks.checks import exercise, numbers_of

SECONDS = [30, 5, 5, 5, 5, 5, 30, 5, 5, 5]
# Where each second one, or each half, is a worker's own, one has 21 s.
UNEVEN = [10, 1, 10, 1, 1, 1]
# Those below zero raise.
FAILING = [1, -1, 1, -1, 1]


@exercise(
    "Now put the two long tasks first: two workers then need only 30 s, since neither "
    "is idle at the end."
)
def makespans(answer: Any) -> None:
    batches, workers = numbers_of(answer, 2)

    assert (batches, workers) != (40, 45), "it is the other way round."
    assert batches == 45, (
        f"not {batches} s in batches of two: each takes as long as the slower of its "
        "tasks."
    )

    assert workers != 30, (
        "30 s would need both workers to be busy to the end; when does the last task "
        "begin?"
    )
    assert workers == 40, (
        f"not {workers} s on two workers: draw a row for each; the free one "
        "takes the next task."
    )


@exercise(
    "A worker that takes the next job when it is free is never idle while jobs wait, "
    "and a failure costs only its own job."
)
def run_all(answer: Any) -> None:
    found = _run(answer, SECONDS, 5)
    seconds = found.seconds
    assert found.most, "it runs no job at all."
    assert found.done == 10, (
        f"it returns after {seconds:.0f} s, when {found.done} of ten jobs are done."
    )
    assert found.most <= 5, f"it runs {found.most} jobs at once on 5 workers."
    assert found.most > 1, "it runs one job after the other."
    assert seconds < 60, (
        f"ten jobs take {seconds:.0f} s, as in batches: a free worker must take the "
        "next."
    )
    assert seconds < 35.1, f"ten jobs take {seconds:.0f} s on 5 workers, not 35."

    found = _run(answer, UNEVEN, 2)
    assert found.seconds < 12.1, (
        f"jobs of 10, 1, 10, 1, 1 and 1 s take {found.seconds:.0f} s on 2 workers, not "
        "12: a job is for the worker that is free first."
    )

    found = _run(answer, FAILING, 2)
    assert found.done == 5, f"a job raises, and only {found.done} of five jobs are run."
    assert found.seconds < 3.1, (
        f"five jobs of 1 s, two of which raise, take {found.seconds:.0f} s on 2 "
        "workers, not 3."
    )

    found = _run(answer, [3, 1, 2], 8)
    assert found.done == 3, (
        f"with three jobs and 8 workers, it returns when {found.done} are done."
    )
    assert found.seconds < 3.1, (
        f"with three jobs and 8 workers, it takes {found.seconds:.0f} s, not 3."
    )


@dataclass
class _Found:
    """What was seen of an answer to ``run_all``, until it returned."""

    done: int  # jobs
    most: int  # jobs at once
    seconds: float


def _run(answer: Any, lengths: list[int], workers: int) -> _Found:
    running = 0
    most = 0
    done = 0

    def job_of(length: int) -> Callable[[], Awaitable[None]]:
        async def job() -> None:
            nonlocal running, most, done
            running += 1
            most = max(most, running)
            try:
                await sleep(abs(length))
            finally:
                running -= 1
            done += 1
            if length < 0:
                raise ValueError("this job was made to fail")

        return job

    async def watch() -> _Found:
        begun = lab.now()
        before = asyncio.all_tasks()
        jobs = [job_of(length) for length in lengths]
        try:
            await answer(jobs, workers)
            found = _Found(done, most, lab.now() - begun)
            # What was cancelled ends.
            await sleep(0.1)
        finally:
            left = asyncio.all_tasks() - before
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

        assert done < len(jobs) or not left, (
            f"it leaves {len(left)} loops behind, which wait for ever."
        )
        return found

    sleep = asyncio.sleep

    # Else "while not finished: await asyncio.sleep(0)" would keep
    # virtual time from moving.
    def sleep_a_little(seconds: float, *result: Any) -> Any:
        return sleep(max(seconds, 0.001), *result)

    with mock.patch("asyncio.sleep", sleep_a_little):
        return lab.run(watch(), limit=200)


@exercise(
    "Little's law needs nothing but averages over a long time, so it holds for any "
    "order and any mix of lengths."
)
def wait_and_busy(answer: Any) -> None:
    wait, busy = numbers_of(answer, 2)

    assert wait != 0.5, (
        "24 a minute gives a wait in minutes; it is asked for in seconds."
    )
    assert wait == 30, f"not {wait} s: L = λ·W says 12 = 24/60 · W."

    assert busy == 4, (
        f"not {busy} busy: now L is the number of busy workers, and W the 10 s that a "
        "task is with one."
    )
