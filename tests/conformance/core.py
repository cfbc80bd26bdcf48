"""Core functionality: workers, rate limit, cleanup, failures, stop."""

import asyncio
import contextlib
import gc
import os
import sys
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from tests.conformance.api import (
    BLOCKS,
    Answer,
    Api,
    NotGradedError,
    UnmetError,
    expect,
    hint,
    texts_in,
)
from tests.conformance.endpoints import (
    at_work,
    failing_task,
    processing_for,
    workers_are_left,
    workers_before,
)
from tests.conformance.requirement import Play, requirement
from tests.conformance.work import UNFORESEEN, Work


def core(
    text: str, learn: str, *, open: bool = False, needs: tuple[str, ...] = ()
) -> Callable[[Play], Play]:
    return requirement("core functionality", text, learn, open=open, needs=needs)


async def statuses(api: Api, ids: list[str]) -> list[Any]:
    return [await api.status(task_id) for task_id in ids]


async def quick_seconds(api: Api) -> float:
    task_id = await api.submit(api.solution.quick)
    return await api.until(task_id, api.solution.completed)


# Queue and workers


@core(
    "Tasks are processed in the background, with nobody asking",
    "taskmanager/manager.py",
)
async def works_unasked(api: Api) -> None:
    task_id = await api.submit(api.solution.quick)
    await api.sleep(40)

    status = await api.status(task_id)
    expect(
        status == api.solution.completed,
        "a task completed after 40 s in which nobody asked",
        f"its status was {status!r}",
    )


@core("Simulated work takes 5 to 30 s, by task type", "taskmanager/task_types.py")
async def work_takes_its_time(api: Api) -> None:
    for name, body in (("quick", api.solution.quick), ("slow", api.solution.slow)):
        task_id = await api.submit(body)
        seconds = await api.until(task_id, api.solution.completed)
        expect(
            4.5 <= seconds <= 31,
            f"the {name} task to take 5 to 30 s",
            f"it took {seconds:.1f} s",
        )


@core(
    "Five tasks are processed in parallel",
    "notebook 03-queue-and-workers",
    needs=("works_unasked", "nothing_is_lost"),
)
async def five_in_parallel(api: Api) -> None:
    workers = api.solution.workers
    count = await at_work(api)
    expect(
        count >= workers,
        f"{workers} of {2 * workers} tasks in process at a time",
        f"{count} were",
    )


@core("Never more than five tasks are processed", "notebook 03-queue-and-workers")
async def never_more_than_five(api: Api) -> None:
    workers = api.solution.workers
    ids = []
    for _ in range(workers + 2):
        ids.append(await api.submit(api.solution.slow))
        ids.append(await api.submit(api.solution.quick))

    # Not at a moment at which tasks end and begin.
    await api.sleep(0.37)
    most = 0
    for _ in range(60):
        count = (await statuses(api, ids)).count(api.solution.processing)
        expect(count <= workers, f"at most {workers} in process", f"{count} were")
        most = max(most, count)
        await api.sleep(1)

    if not most:
        raise NotGradedError("no task was ever in process", cause="works_unasked")


@core(
    "Tasks that are cancelled let no sixth one in",
    "taskmanager/workers.py",
    needs=("never_more_than_five",),
)
async def cancel_lets_no_sixth_in(api: Api) -> None:
    workers = api.solution.workers
    ids = [await api.submit(api.solution.slow) for _ in range(4 * workers)]
    cancelled = 0

    # Not at a moment at which tasks end and begin.
    await api.sleep(0.37)
    for _ in range(4):
        running = [
            task_id
            for task_id in ids
            if await api.status_if_any(task_id) == api.solution.processing
        ]
        expect(
            len(running) <= workers,
            f"at most {workers} in process, whatever was cancelled",
            f"{len(running)} were after {cancelled} were cancelled",
        )

        for task_id in running[:2]:
            await api.cancelled(task_id)
        cancelled += len(running[:2])
        # Once more, and one that is still queued.
        for task_id in (*running[:2], ids.pop()):
            await api.cancel(task_id)
        await api.sleep(1)

    if not cancelled:
        raise NotGradedError("no task was ever in process", cause="works_unasked")


@core(
    "A free worker takes the next task, without waiting for the other four",
    "notebook 03-queue-and-workers",
    needs=("five_in_parallel", "nothing_is_lost"),
)
async def no_head_of_line_blocking(api: Api) -> None:
    quick = await quick_seconds(api)
    first = [await api.submit(api.solution.slow)]
    first += [
        await api.submit(api.solution.quick) for _ in range(api.solution.workers - 1)
    ]
    sixth = await api.submit(api.solution.quick)

    await api.sleep(quick + 1)
    if api.done(await api.status(first[0])):
        raise NotGradedError(
            f"the slow task takes no longer than the quick one; {api.longer}"
        )
    status = await api.status(sixth)
    if status == api.solution.queued:
        still = (await statuses(api, first)).count(api.solution.processing)
        if still > 1:
            raise NotGradedError(
                "fewer than five were in process at a time", cause="five_in_parallel"
            )

    expect(
        status in (api.solution.processing, api.solution.completed),
        "the sixth task taken when the quick ones are done, "
        "though a batch of five may not be over",
        f"it was {status!r} while a slow task was still in process",
    )


@core(
    "All that was accepted is completed in the end",
    "taskmanager/workers.py",
    needs=("works_unasked",),
)
async def nothing_is_lost(api: Api) -> None:
    ids = [await api.submit(api.solution.quick) for _ in range(23)]
    # As long as the longest work takes, one by one: how many at a time
    # is another line's business.
    begun = api.now()
    while api.now() - begun < 23 * 31:
        await api.sleep(31)
        if all(map(api.done, await statuses(api, ids))):
            return

    unfinished = [status for status in await statuses(api, ids) if not api.done(status)]
    others = " or ".join(sorted({repr(status) for status in unfinished}))
    expect(
        not unfinished,
        "23 of 23 quick tasks at their end, whether completed or failed",
        f"{23 - len(unfinished)} were; the others are {others}",
    )


@core(
    "Nothing blocks the event loop while tasks are in process",
    "notebook 01-event-loop",
    needs=("submit_answers_202",),
)
async def nothing_blocks(api: Api) -> None:
    ended = 0
    for body in (api.solution.quick, api.solution.slow):
        task_id = await api.submit(body)
        with contextlib.suppress(UnmetError):
            await api.until_over(task_id, within=31)
            ended += 1
    if not ended:
        raise NotGradedError("no task was ever in process", cause="works_unasked")

    threads = api.loop.threads
    places = [
        f"{os.path.basename(file)}:{line}"
        for file, line in threads.blocked_at
        if api.solution.owns(file)
    ]
    expect(
        threads.blocked < BLOCKS,
        "an event loop that goes on, as with await asyncio.sleep",
        f"it stood still for {threads.blocked:.1f} s"
        + "".join(f", first at {place}" for place in places[:1]),
    )


# Failures


@core(
    "A task that fails shows the status failed, and an error",
    "notebook 08-cancellation-and-failure",
)
async def failure_is_shown(api: Api) -> None:
    task_id = await failed_task(api)
    task = await api.get(task_id)

    name = api.solution.error
    expect(
        name in task,
        f"a field {name!r} of a failed task {hint('error')}",
        f"there are {', '.join(map(str, task))}",
    )
    error = task[name]
    expect(any(texts_in(error)), "an error that says something", f"it was {error!r}")

    result = task.get(api.solution.result_field)
    expect(not result, "no result", f"it was {result!r:.100}")


@core(
    "After failures, all five workers go on",
    "notebook 12-shutdown-and-faults",
    needs=("cancel_frees_worker",),
)
async def workers_survive_failures(api: Api) -> None:
    before = await workers_before(api)
    failures = api.solution.workers + 2
    for _ in range(failures):
        task_id = await failing_task(api)
        # That it is shown as failed is another line's business.
        with contextlib.suppress(UnmetError):
            await api.until_over(task_id, within=31)

    await workers_are_left(api, before, f"{failures} failures")


@core(
    "After an error that nobody expected, all five workers go on",
    "notebook 12-shutdown-and-faults",
    needs=("workers_survive_failures", "failure_is_shown"),
)
async def workers_survive_unexpected_errors(api: Api) -> None:
    before = await workers_before(api)
    work, task_id = await Work.watched(api)
    await api.cancel(task_id)

    # One after the other, so that each of the workers may have met it.
    tasks = api.solution.workers + 2
    for _ in range(tasks):
        work.fail_next()
        task_id = await api.submit(api.solution.slow)
        await api.sleep(2)
    if not work.failed:
        raise NotGradedError(
            "no error could be put into the work: no asyncio.sleep was seen in it"
        )

    await workers_are_left(
        api, before, f"the work of {tasks} raised an error of another kind"
    )
    await api.sleep(60)
    status = await api.status(task_id)
    expect(
        api.done(status),
        "a task to end whose work raised an error of another kind",
        f"a minute later it is still {status!r}",
    )


@core(
    "What an unexpected error says stands in the log, and is shown to no client",
    "notebook 08-cancellation-and-failure",
    open=True,
    needs=("workers_survive_unexpected_errors", "failure_is_shown"),
)
async def unexpected_error_is_not_shown(api: Api) -> None:
    work, task_id = await Work.watched(api)
    await api.cancel(task_id)
    work.fail_next()
    task_id = await api.submit(api.solution.slow)
    await api.sleep(60)
    if not work.failed:
        raise NotGradedError(
            "no error could be put into the work: no asyncio.sleep was seen in it"
        )

    error = (await api.get(task_id)).get(api.solution.error)
    shown = [text for text in texts_in(error) if UNFORESEEN in text]
    expect(
        not shown,
        "an error that says nothing of an exception that nobody expected",
        f"it was {error!r:.160}",
    )


@core(
    "The work of a task that is cancelled ends",
    "notebook 08-cancellation-and-failure",
    needs=("cancel_processing", "cancelled_stays_cancelled", "cancel_frees_worker"),
)
async def cancelled_work_ends(api: Api) -> None:
    work, task_id = await Work.watched(api)
    if not work.goes_on():
        raise NotGradedError(
            "its work was not seen: there is no asyncio.sleep in it that takes time"
        )

    await api.cancelled(task_id)
    # Some look only between two steps of the work.
    await api.sleep(2.2)
    where = work.goes_on()
    expect(
        not where,
        "the work of a cancelled task to end",
        f"2 s after the DELETE it still sleeps at {where}",
    )


async def failed_task(api: Api) -> str:
    """Hand in a task that fails; its id, once it has failed.

    Raises NotGradedError where there is none.
    """
    task_id = await failing_task(api)
    try:
        await api.until(task_id, api.solution.failed)
    except UnmetError as error:
        raise UnmetError(
            f"{error.expected} (another one fails? set `failing` in a TOML file)",
            error.happened,
            needs=(*error.needs, "failure_is_shown"),
        ) from None
    return task_id


# Rate limit


async def ask(api: Api, count: int, address: str, **options: Any) -> list[int]:
    """The statuses of so many requests from one address.

    They come from one port, unless told otherwise: that ports make no
    difference is one requirement of its own.
    """
    options.setdefault("port", 50_000)
    listing = await api.request("GET", "/tasks")
    path = "/tasks" if listing.status not in (404, 405) else "/tasks/none"
    answers = [
        await api.request("GET", path, address=address, **options) for _ in range(count)
    ]
    return [answer.status for answer in answers]


async def limit_of(api: Api) -> int:
    """How many requests are accepted in a row from one address.

    That it is ten is one requirement of its own. Raises NotGradedError
    where there is no limit.
    """
    most = 3 * api.solution.rate_limit
    seen = await ask(api, most, "192.0.2.254")
    if 429 not in seen:
        raise NotGradedError(
            f"{most} requests in a row were accepted", cause="eleventh_is_429"
        )

    limit = seen.index(429)
    if not limit:
        raise NotGradedError("the very first was refused", cause="eleventh_is_429")
    return limit


@core(
    "Ten requests a minute are accepted, and the eleventh is answered 429",
    "notebook 06-rate-limiting",
)
async def eleventh_is_429(api: Api) -> None:
    limit = api.solution.rate_limit
    # Each from another port.
    seen = await ask(api, limit + 2, "192.0.2.1", port=None)
    refused = [number for number, status in enumerate(seen, 1) if status == 429]

    happened = f"they were answered {seen}"
    if not refused and 429 in await ask(api, limit + 2, "192.0.2.2"):
        happened = (
            "none was refused, but for those from one and the same port: "
            "the limit is to be by address alone"
        )
    expect(
        refused == [limit + 1, limit + 2],
        f"the first {limit} of {limit + 2} requests accepted, the others answered 429",
        happened,
    )


@core(
    "Of thirty requests at the same moment, ten are accepted",
    "taskmanager/ratelimit.py, on its lock",
)
async def burst_is_limited(api: Api) -> None:
    limit = await limit_of(api)
    requests = [
        api.request("GET", "/tasks", address="192.0.2.1", port=50_000)
        for _ in range(3 * limit)
    ]
    seen = [answer.status for answer in await asyncio.gather(*requests)]
    expect(
        seen.count(429) == 2 * limit,
        f"{limit} of {3 * limit} accepted, and 429 for {2 * limit}",
        f"429 came {seen.count(429)} times",
    )


@core("Each client address has its own limit", "taskmanager/ratelimit.py")
async def limit_is_per_address(api: Api) -> None:
    limit = await limit_of(api)
    seen = await ask(api, limit, "192.0.2.2")
    expect(429 not in seen, "another address unaffected", f"it was answered {seen}")


@core("All four routes share the limit", "taskmanager/middleware.py")
async def limit_covers_all_routes(api: Api) -> None:
    limit = await limit_of(api)
    task_id = await api.submit(api.solution.slow)
    one = f"/tasks/{task_id}"
    # That there is no such task makes it no less of a request.
    unknown = f"/tasks/{api.unlike(task_id)}"

    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/tasks", {"body": api.solution.quick}),
        ("GET", "/tasks", {}),
        ("GET", one, {}),
        ("GET", one, {"wait": "true", "hang_up": 0.5}),
        ("GET", unknown, {}),
        ("DELETE", one, {}),
    ]

    async def ask_for(number: int, address: str) -> Answer:
        method, path, options = requests[number % len(requests)]
        return await api.request(method, path, address=address, port=50_000, **options)

    mixed = "192.0.2.1"
    for number in range(limit):
        await ask_for(number, mixed)
    refused = [await ask_for(number, mixed) for number in range(len(requests))]
    if all(answer.status == 429 for answer in refused):
        return

    # Which of them is not counted, or not refused?
    for number in range(len(requests)):
        address = f"192.0.2.{10 + number}"
        answers = [await ask_for(number, address) for _ in range(limit + 1)]
        *_, last = answers
        expect(last.status == 429, f"429 after {limit} requests of one kind", str(last))

    statuses_of_all = [answer.status for answer in refused]
    raise UnmetError(
        f"429 for each of six kinds of requests after {limit} of all kinds",
        f"they were answered {statuses_of_all}",
    )


@core(
    "The limit is of any 60 s, not of each minute on the clock",
    "notebook 06-rate-limiting, on the double burst",
)
async def window_slides(api: Api) -> None:
    limit = await limit_of(api)
    address = "192.0.2.1"
    # The second of each minute at which it begins is another one each
    # time.
    for _ in range(6):
        begun = api.now()
        first = await ask(api, limit, address)
        await api.sleep(10.5)
        second = await ask(api, 1, address)

        expect(
            429 not in first,
            f"{limit} accepted after a quiet time",
            f"they were answered {first}",
        )
        expect(
            second == [429],
            "one more within 11 s refused, whatever the clock shows",
            f"it was answered {second[0]}",
        )
        await api.sleep(190 - (api.now() - begun))


@core(
    "Requests leave the window one by one, 60 s after each was made",
    "notebook 06-rate-limiting",
)
async def window_is_a_log(api: Api) -> None:
    limit = await limit_of(api)
    address = "192.0.2.1"
    early = limit // 2
    await ask(api, early, address)
    await api.sleep(50)
    await ask(api, limit - early, address)
    await api.sleep(11)

    seen = await ask(api, early + 1, address)
    expect(
        seen.count(429) == 1,
        f"at 61 s, {early} accepted again and one more refused",
        f"they were answered {seen}",
    )


@core(
    "For a whole minute, a client that has used up its requests is refused",
    "taskmanager/ratelimit.py",
    needs=("window_slides",),
)
async def limit_lasts_a_minute(api: Api) -> None:
    limit = await limit_of(api)
    for number, silence in enumerate((31, 45, 59), 1):
        address = f"192.0.2.{number}"
        first = await ask(api, limit, address)
        expect(
            429 not in first,
            f"{limit} accepted from a new address",
            f"they were answered {first}",
        )

        await api.sleep(silence)
        [seen] = await ask(api, 1, address)
        expect(
            seen == 429,
            f"one more refused after {silence} s without any request",
            f"it was answered {seen}",
        )


@core("A minute later, a client is accepted again", "taskmanager/ratelimit.py")
async def limit_ends(api: Api) -> None:
    limit = await limit_of(api)
    address = "192.0.2.1"
    await ask(api, limit + 2, address)
    await api.sleep(61)

    seen = await ask(api, limit, address)
    expect(
        429 not in seen,
        f"{limit} accepted again after 61 s",
        f"they were answered {seen}",
    )


@core(
    "A client that keeps asking while it is refused is accepted again",
    "taskmanager/ratelimit.py",
    open=True,
    needs=("limit_ends",),
)
async def refusals_do_not_count(api: Api) -> None:
    limit = await limit_of(api)
    await ask(api, limit + 2, "192.0.2.1")

    accepted = []
    for _ in range(31):
        await api.sleep(2)
        seen = await ask(api, 1, "192.0.2.1")
        if seen != [429]:
            accepted.append(api.now())

    # A window that does not slide accepts more, too early, and then has
    # to refuse.
    recent = [at for at in accepted if at > api.now() - 60]
    expect(
        seen != [429] or len(recent) >= limit,
        "a request accepted once the ten accepted ones are over a minute old",
        "it was still refused: refusals count",
    )


# By which a client might pretend to be another.
FORWARDING = (
    "X-Forwarded-For",
    "X-Real-IP",
    "Forwarded",
    "X-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
)


@core("A client cannot choose its address by a header", "taskmanager/middleware.py")
async def header_is_not_trusted(api: Api) -> None:
    limit = await limit_of(api)
    for place, name in enumerate(FORWARDING, 1):
        prefix = "for=" if name == "Forwarded" else ""
        seen = []
        for number in range(limit + 2):
            forged = {name: f"{prefix}203.0.113.{number}"}
            seen += await ask(api, 1, f"192.0.2.{place}", headers=forged)
        expect(
            seen.count(429) == 2,
            f"the last two of {limit + 2} refused, whatever {name} says",
            f"they were answered {seen}",
        )


@core(
    "Malformed requests count as well: the limit comes before the body",
    "taskmanager/middleware.py",
    open=True,
)
async def limit_comes_before_the_body(api: Api) -> None:
    limit = await limit_of(api)
    answers = [
        await api.request("POST", "/tasks", raw=b"{", address="192.0.2.1", port=50_000)
        for _ in range(limit + 2)
    ]
    seen = [answer.status for answer in answers]
    expect(
        seen.count(429) == 2,
        f"the last two of {limit + 2} malformed requests answered 429",
        f"they were answered {seen}",
    )


# Cleanup


async def exists(api: Api, task_id: str) -> bool:
    answer = await api.request("GET", f"/tasks/{task_id}")
    return answer.status == 200


@core(
    "A completed task can be read for ten minutes after its end",
    "notebook 09-cleanup-and-frozen-time",
    needs=("unfinished_is_not_removed", "nothing_is_lost"),
)
async def kept_for_ten_minutes(api: Api) -> None:
    retention = api.solution.retention
    await api.sleep(7)
    # The last one waits for thirteen others, or for all if they are
    # processed one after another.
    submitted = api.now()
    ids = [await api.submit(api.solution.slow) for _ in range(70)]
    last = ids[-1]
    await api.until_over(last, within=71 * 31.0)

    # However many have ended: none of them did before it was submitted.
    begun = api.now()
    age = begun - submitted
    recent = ids if age < retention - 5 else []
    for task_id in recent:
        expect(
            await exists(api, task_id),
            f"each of {len(ids)} tasks for {retention} s after its end",
            f"one was gone after less than {age:.0f} s",
        )

    while api.now() - begun < retention - 5:
        expect(
            await exists(api, last),
            f"the task for {retention} s after its end",
            f"it was gone after {api.now() - begun:.0f} s",
        )
        await api.sleep(5)

    # It ended up to a second before that was seen.
    await api.sleep(retention - 1.5 - (api.now() - begun))
    expect(
        await exists(api, last),
        f"the task for {retention} s after its end",
        f"it was gone after less than {retention} s",
    )


@core(
    "A completed task is removed after ten minutes",
    "notebook 09-cleanup-and-frozen-time",
)
async def removed_after_ten_minutes(api: Api) -> None:
    # A cleanup may not survive its first find.
    for nth in ("first", "second"):
        task_id = await api.submit(api.solution.quick)
        await api.until(task_id, api.solution.completed)
        await api.sleep(api.solution.retention + 125)

        for answer in (
            await api.request("GET", f"/tasks/{task_id}"),
            await api.wait(task_id),
            await api.cancel(task_id),
        ):
            # Where there is no DELETE, another line says so.
            expect(
                answer.status in (404, 405),
                f"404 for the {nth} task two minutes after its time",
                str(answer),
            )
        expect(
            not await api.everything(),
            "an empty list",
            f"the {nth} task was still in the list",
        )


@core(
    "The removal comes within half a minute of its time",
    "taskmanager/cleanup.py",
    open=True,
    needs=("removed_after_ten_minutes",),
)
async def removal_is_punctual(api: Api) -> None:
    task_id = await api.submit(api.solution.quick)
    await api.until(task_id, api.solution.completed)
    await api.sleep(api.solution.retention + 31)
    expect(
        not await exists(api, task_id),
        "404 half a minute after its time",
        "it was still there",
    )


# So many seconds after a task's time, it is gone even where the cleanup
# is late. That it is to be sooner is a requirement of its own.
LATE = 610
# A zone by its distance from UTC, with the sign of POSIX.
ZONES = {
    "east": "EAST-05:30",
    "west": "WEST+08:00",
}


@core(
    "A task is kept, and removed, at its time in any time zone",
    "taskmanager/cleanup.py",
    needs=("kept_for_ten_minutes", "removed_after_ten_minutes"),
)
async def removal_knows_no_zone(api: Api) -> None:
    for side, zone in ZONES.items():
        os.environ["TZ"] = zone
        time.tzset()
        task_id = await api.submit(api.solution.quick)
        await api.until(task_id, api.solution.completed)

        where = f"{side} of Greenwich, where local time is not UTC"
        await api.sleep(api.solution.retention / 2)
        expect(
            await exists(api, task_id),
            f"a task to be kept {where}",
            "it was gone after half of its time",
        )
        await api.sleep(api.solution.retention / 2 + LATE)
        expect(
            not await exists(api, task_id),
            f"a task to be removed {where}",
            "it was still there ten minutes after its time",
        )


@core(
    "A failed task is removed as well",
    "taskmanager/cleanup.py",
    needs=("removed_after_ten_minutes",),
)
async def failed_is_removed(api: Api) -> None:
    task_id = await failed_task(api)
    await api.sleep(api.solution.retention + LATE)
    expect(
        not await exists(api, task_id),
        "404 ten minutes after its time",
        "it was still there",
    )


@core(
    "A cancelled task is removed as well",
    "README, on assumptions",
    open=True,
    needs=("removed_after_ten_minutes", "store_forgets", "failed_is_removed"),
)
async def cancelled_is_removed(api: Api) -> None:
    running = await processing_for(api, 1)
    others = [await api.submit(api.solution.slow) for _ in range(api.solution.workers)]
    # The queued one first: a worker that is free would take it.
    ids = {"queued": others[-1], "in process": running}
    for task_id in ids.values():
        await api.cancelled(task_id)

    await api.sleep(api.solution.retention - 5)
    # Once more, which is to change nothing.
    for task_id in ids.values():
        await api.cancel(task_id)

    # Before it would be over if that had begun their time anew, and as
    # late as that allows: whoever cleans seldom has done so, too.
    await api.sleep(max(api.solution.retention - 15, 130))
    for what, task_id in ids.items():
        expect(
            not await exists(api, task_id),
            f"404 some minutes after its time for one cancelled while {what}",
            "it was still there",
        )


@core(
    "A task that is queued or in process is never removed",
    "notebook 09-cleanup-and-frozen-time",
)
async def unfinished_is_not_removed(api: Api) -> None:
    accepted = 0
    # By id, when each was last known to be unfinished.
    unfinished: dict[str, float] = {}
    begun = api.now()

    for _ in range(api.solution.workers):
        unfinished[await api.submit(api.solution.slow)] = api.now()
    # One that others overtake for as long as that goes.
    answer = await api.post(api.solution.slow, priority=api.solution.low)
    if answer.accepted:
        unfinished[api.id_of(answer)] = api.now()

    while api.now() - begun < 1000:
        while accepted < 500:
            answer = await api.post(api.solution.slow)
            if not answer.accepted:
                break
            accepted += 1
            unfinished[api.id_of(answer)] = api.now()

        await api.sleep(100)
        for task_id, known in list(unfinished.items()):
            answer = await api.request("GET", f"/tasks/{task_id}")
            is_there = answer.status == 200
            expect(
                is_there or api.now() - known > 500,
                "no unfinished task removed",
                f"after {api.now() - begun:.0f} s one was answered {answer.status}",
            )
            if is_there and not api.done(api.status_in(answer)):
                unfinished[task_id] = api.now()
            else:
                del unfinished[task_id]

    # The queue takes so many if nothing ever leaves it.
    most = api.solution.queue_size + api.solution.workers
    expect(
        accepted > most + 20,
        "tasks to be completed, and others accepted in their place",
        f"{accepted} were accepted in all",
        needs=("submit_answers_202", "works_unasked", "full_recovers"),
    )


# Stop


@core(
    "The application stops within seconds, with work under way",
    "notebook 12-shutdown-and-faults",
)
async def stops_with_work_under_way(api: Api) -> None:
    await fill_the_workers(api, 60)
    await api.lifespan.stop(within=5)


async def fill_the_workers(api: Api, count: int) -> None:
    """Hand in so many slow tasks, of which some are then in process.

    Raises NotGradedError where none is.
    """
    ids = [await api.submit(api.solution.slow) for _ in range(count)]
    await api.sleep(2)
    if api.solution.processing not in await statuses(api, ids):
        raise NotGradedError("no task was in process", cause="works_unasked")


@core(
    "The application stops within seconds after tasks in process were cancelled",
    "notebook 08-cancellation-and-failure",
    needs=("stops_with_work_under_way",),
)
async def stops_after_cancellations(api: Api) -> None:
    for _ in range(3):
        task_id = await processing_for(api, 1)
        await api.cancelled(task_id)
    await api.lifespan.stop(within=5)


@core(
    "After the stop, no task of asyncio is left behind",
    "taskmanager/manager.py",
    open=True,
    needs=("stops_with_work_under_way", "cancelled_work_ends"),
)
async def nothing_runs_after_the_stop(api: Api) -> None:
    await fill_the_workers(api, 8)
    await api.lifespan.stop(within=60)
    await api.sleep(2)

    left = []
    for task in asyncio.all_tasks():
        coroutine = task.get_coro()
        code = getattr(coroutine, "cr_code", None)
        if not task.done() and api.solution.owns(getattr(code, "co_filename", "")):
            left.append(getattr(coroutine, "__qualname__", "?"))
    names = ", ".join(sorted(left))
    expect(not left, "every background task ended", f"still there: {names}")


# Memory


def dicts_in_memory() -> list[dict[Any, Any]]:
    """Every dict.

    CPython's collector does not know one that holds nothing but texts
    and numbers, but its owner.
    """
    gc.collect()
    known = gc.get_objects()
    found = [each for each in known if isinstance(each, dict)]
    for owner in known:
        found += [each for each in gc.get_referents(owner) if isinstance(each, dict)]
    return list({id(each): each for each in found}.values())


def keys_with(prefix: str) -> int:
    """How many keys that begin so are in dicts.

    They are texts, or first in tuples.
    """
    count = 0
    for found in dicts_in_memory():
        for key in list(found):
            text = key[0] if isinstance(key, tuple) and key else key
            if isinstance(text, str) and text.startswith(prefix):
                count += 1
    return count


@core(
    "The limiter forgets clients that have gone",
    "taskmanager/ratelimit.py: forget_idle",
    open=True,
)
async def limiter_forgets(api: Api) -> None:
    await limit_of(api)
    for number in range(400):
        address = f"172.30.{number >> 8}.{number & 255}"
        await api.request("GET", "/tasks", address=address)
    if not keys_with("172.30."):
        raise NotGradedError("no dict with client addresses was found in memory")

    await api.sleep(800)
    for _ in range(20):
        await api.request("GET", "/tasks")
    await api.sleep(100)

    left = keys_with("172.30.")
    expect(
        left <= 40,
        "most of 400 clients forgotten a quarter of an hour after their only request",
        f"{left} are still held",
    )


def census(api: Api) -> Counter[str]:
    """How many objects there are of each class of the solution.

    Those of asyncio.Event are counted as well.
    """
    gc.collect()
    kinds = Counter(type(each) for each in gc.get_objects())
    counted: Counter[str] = Counter()
    for kind, count in kinds.items():
        module = sys.modules.get(kind.__module__)
        file = getattr(module, "__file__", None) or ""
        if kind is asyncio.Event or api.solution.owns(file):
            counted[kind.__qualname__] = count
    return counted


def containers() -> list[Any]:
    """Every dict, set and list, and every deque without a bound."""
    found: list[Any] = list(dicts_in_memory())
    for each in gc.get_objects():
        unbounded = isinstance(each, deque) and each.maxlen is None
        if unbounded or isinstance(each, set | frozenset | list):
            found.append(each)
    return found


def ids_in_memory(wanted: set[str], before: set[int]) -> int:
    """How many of these ids a container holds at most.

    Of numbers, containers that held much before do not count.
    """
    most = 0
    for found in containers():
        if found is wanted:
            continue

        texts = {
            str(key) for key in list(found) if isinstance(key, str | int | uuid.UUID)
        }
        held = texts & wanted
        numbers = any(each.isdigit() for each in held)
        if not numbers or id(found) not in before:
            most = max(most, len(held))
    return most


@core(
    "Nothing of a removed task stays in memory",
    "taskmanager/store.py",
    needs=("removed_after_ten_minutes",),
)
async def store_forgets(api: Api) -> None:
    before = census(api)
    large = {id(each) for each in containers() if len(each) > 9}

    wanted = {await api.submit(api.solution.quick) for _ in range(60)}
    polls = [asyncio.create_task(api.wait(task_id)) for task_id in wanted]
    await api.until_over(*wanted, within=31.0 * 60)
    await asyncio.gather(*polls)
    del polls

    await api.sleep(api.solution.retention + LATE)
    expect(
        not await api.everything(),
        "an empty list ten minutes after their time",
        "there are still tasks in it",
    )
    left = ids_in_memory(wanted, large)
    expect(
        left < 20,
        f"none of {len(wanted)} removed tasks in any dict, set or list",
        f"{left} of the ids are still there",
    )

    more = [
        f"{count} of {name}"
        for name, count in (census(api) - before).items()
        if count >= 20
    ]
    expect(
        not more,
        f"nothing of {len(wanted)} removed tasks in memory",
        f"still there: {', '.join(more)}",
    )


# The event loop


@core("With nothing to do, the application rests", "taskmanager/workers.py")
async def rests_when_idle(api: Api) -> None:
    wanted = "an event loop that sleeps while there is nothing to do"
    # What never works rests as well.
    await quick_seconds(api)
    await api.sleep(5)

    before = api.loop.wakes
    await api.sleep(60)
    wakes = api.loop.wakes - before
    expect(not api.loop.spun, wanted, "it waits busily: something is always ready")
    # A cleanup that looks around twice a second is not elegant, but no
    # worker that polls its queue.
    expect(
        wakes < 300,
        wanted,
        f"it woke {wakes} times in a minute, to look whether there is something",
    )
