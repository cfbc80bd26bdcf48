"""Core functionality: workers, rate limit, cleanup, failures, stop."""

import asyncio
import gc
import sys
import uuid
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from tests.conformance.api import Api, NotGradedError, UnmetError, expect, texts_in
from tests.conformance.endpoints import NO_FAILURE, at_work, processing_for
from tests.conformance.requirement import Play, requirement


def core(text: str, learn: str, *, open: bool = False) -> Callable[[Play], Play]:
    return requirement("core functionality", text, learn, open=open)


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


@core("Five tasks are processed in parallel", "notebook 03-queue-and-workers")
async def five_in_parallel(api: Api) -> None:
    count = await at_work(api)
    expect(count == 5, "five of five tasks in process at a time", f"{count} were")


@core("Never more than five tasks are processed", "notebook 03-queue-and-workers")
async def never_more_than_five(api: Api) -> None:
    ids = []
    for _ in range(7):
        ids.append(await api.submit(api.solution.slow))
        ids.append(await api.submit(api.solution.quick))

    # Not at a moment at which tasks end and begin.
    await api.sleep(0.37)
    for _ in range(60):
        count = (await statuses(api, ids)).count(api.solution.processing)
        expect(count <= 5, "at most five in process", f"{count} were")
        await api.sleep(1)


@core("Tasks that are cancelled let no sixth one in", "taskmanager/workers.py")
async def cancel_lets_no_sixth_in(api: Api) -> None:
    ids = [await api.submit(api.solution.slow) for _ in range(20)]
    cancelled = 0

    # Not at a moment at which tasks end and begin.
    await api.sleep(0.37)
    for _ in range(4):
        running = [
            task_id
            for task_id in ids
            if await api.status_if_any(task_id) == api.solution.processing
        ]
        if len(running) > 5:
            if not cancelled:
                raise NotGradedError(
                    "more than five were in process anyway: see the line on that"
                )
            raise UnmetError(
                "at most five in process, whatever was cancelled",
                f"{len(running)} were after {cancelled} were cancelled",
            )

        for task_id in running[:2]:
            await api.cancelled(task_id)
        # Once more, and one that is still queued.
        for task_id in (*running[:2], ids.pop()):
            await api.cancel(task_id)
        cancelled += 3
        await api.sleep(1)


@core(
    "A free worker takes the next task, without waiting for the other four",
    "notebook 03-queue-and-workers",
)
async def no_head_of_line_blocking(api: Api) -> None:
    quick = await quick_seconds(api)
    first = [await api.submit(api.solution.slow)]
    first += [await api.submit(api.solution.quick) for _ in range(4)]
    sixth = await api.submit(api.solution.quick)

    await api.sleep(quick + 1)
    status = await api.status(sixth)
    if status == api.solution.queued:
        still = (await statuses(api, first)).count(api.solution.processing)
        if still > 1:
            raise NotGradedError(
                "fewer than five were in process at a time: see the line on that"
            )

    expect(
        status in (api.solution.processing, api.solution.completed),
        "the sixth task taken when the quick ones are done, "
        "though a batch of five may not be over",
        f"it was {status!r} while a slow task was still in process",
    )


@core("All that was accepted is completed in the end", "taskmanager/workers.py")
async def nothing_is_lost(api: Api) -> None:
    ids = [await api.submit(api.solution.quick) for _ in range(23)]
    # Five rounds of the longest that work may take.
    await api.sleep(5 * 31 + 10)

    unfinished = [status for status in await statuses(api, ids) if not api.done(status)]
    others = " or ".join(sorted({repr(status) for status in unfinished}))
    expect(
        not unfinished,
        "23 of 23 quick tasks at their end, whether completed or failed",
        f"{23 - len(unfinished)} were; the others are {others}",
    )


# Failures


@core(
    "A task that fails shows the status failed, and an error",
    "notebook 07-cancellation-and-failure",
)
async def failure_is_shown(api: Api) -> None:
    task_id = await failed_task(api)
    task = await api.get(task_id)

    error = task.get(api.solution.error)
    expect(any(texts_in(error)), "an error that says something", f"it was {error!r}")

    result = task.get(api.solution.result_field)
    expect(not result, "no result", f"it was {result!r:.100}")


@core("After failures, all five workers go on", "notebook 11-shutdown-and-faults")
async def workers_survive_failures(api: Api) -> None:
    for _ in range(7):
        await failed_task(api)

    count = await at_work(api)
    expect(
        count == 5,
        "five tasks in process at a time after seven failures",
        f"{count} were",
    )


async def failed_task(api: Api) -> str:
    """Hand in a task that fails; its id, once it has failed.

    Raises NotGradedError where there is none.
    """
    if api.solution.failing is None:
        raise NotGradedError(NO_FAILURE)
    answer = await api.post(api.solution.failing)
    if answer.status in (400, 404, 422):
        raise NotGradedError(NO_FAILURE)

    expect(answer.accepted, "202", str(answer))
    task_id = api.id_of(answer)
    try:
        await api.until(task_id, api.solution.failed)
    except UnmetError as error:
        raise UnmetError(
            f"{error.expected} (another one fails? set `failing` in a TOML file)",
            error.happened,
        ) from None
    return task_id


# Rate limit


async def ask(api: Api, count: int, address: str, **options: Any) -> list[int]:
    """The statuses of so many requests from one address."""
    listing = await api.request("GET", "/tasks")
    path = "/tasks" if listing.status not in (404, 405) else "/tasks/none"
    answers = [
        await api.request("GET", path, address=address, **options) for _ in range(count)
    ]
    return [answer.status for answer in answers]


@core(
    "Ten requests a minute are accepted, and the eleventh is answered 429",
    "notebook 06-rate-limiting",
)
async def eleventh_is_429(api: Api) -> None:
    seen = await ask(api, 12, "192.0.2.1")
    refused = [number for number, status in enumerate(seen, 1) if status == 429]

    happened = f"they were answered {seen}"
    if not refused and 429 in await ask(api, 12, "192.0.2.2", port=50_000):
        happened = (
            "none was refused, but for those from one and the same port: "
            "the limit is to be by address alone"
        )
    expect(
        refused == [11, 12],
        "the first ten of twelve requests accepted, the others answered 429",
        happened,
    )


@core(
    "Of thirty requests at the same moment, ten are accepted",
    "taskmanager/ratelimit.py, on its lock",
)
async def burst_is_limited(api: Api) -> None:
    requests = [api.request("GET", "/tasks", address="192.0.2.1") for _ in range(30)]
    seen = [answer.status for answer in await asyncio.gather(*requests)]
    expect(
        seen.count(429) == 20,
        "ten of thirty accepted, and 429 for twenty",
        f"429 came {seen.count(429)} times",
    )


async def use_up(api: Api, address: str) -> None:
    """Ask until refused.

    Raises NotGradedError where that does not happen.
    """
    if 429 not in await ask(api, 12, address):
        raise NotGradedError(
            "twelve requests in a row were accepted: see the line on the eleventh"
        )


@core("Each client address has its own limit", "taskmanager/ratelimit.py")
async def limit_is_per_address(api: Api) -> None:
    await use_up(api, "192.0.2.1")
    seen = await ask(api, 10, "192.0.2.2")
    expect(429 not in seen, "another address unaffected", f"it was answered {seen}")


@core("All four routes share the limit", "taskmanager/middleware.py")
async def limit_covers_all_routes(api: Api) -> None:
    address = "192.0.2.1"
    task_id = await api.submit(api.solution.slow)
    one = f"/tasks/{task_id}"
    unknown = f"/tasks/{api.unlike(task_id)}"

    for _ in range(3):
        await api.post(api.solution.quick, address=address)
        await api.request("GET", "/tasks", address=address)
    await api.request("GET", one, address=address)
    await api.request("GET", one, address=address, wait="true", hang_up=0.5)
    # That there is no such task makes it no less of a request.
    await api.request("GET", unknown, address=address)
    await api.request("DELETE", one, address=address)

    answers = [
        await api.request("GET", "/tasks", address=address),
        await api.request("GET", one, address=address),
        await api.request("DELETE", one, address=address),
        await api.post(api.solution.quick, address=address),
        await api.request("GET", one, address=address, wait="true", hang_up=5),
    ]
    for answer in answers:
        expect(
            answer.status == 429,
            "429 after three POSTs, three lists, a GET, a long poll, "
            "a GET of no such task, and a DELETE",
            str(answer),
        )


@core(
    "The limit is of any 60 s, not of each minute on the clock",
    "notebook 06-rate-limiting, on the double burst",
)
async def window_slides(api: Api) -> None:
    address = "192.0.2.1"
    # The second of each minute at which it begins is another one each
    # time.
    for _ in range(6):
        begun = api.now()
        first = await ask(api, 10, address)
        await api.sleep(10.5)
        second = await ask(api, 1, address)

        expect(
            429 not in first,
            "ten accepted after a quiet time",
            f"they were answered {first}",
        )
        expect(
            second == [429],
            "an eleventh within 11 s refused, whatever the clock shows",
            f"it was answered {second[0]}",
        )
        await api.sleep(190 - (api.now() - begun))


@core(
    "Requests leave the window one by one, 60 s after each was made",
    "notebook 06-rate-limiting",
)
async def window_is_a_log(api: Api) -> None:
    address = "192.0.2.1"
    await ask(api, 5, address)
    await api.sleep(50)
    await ask(api, 5, address)
    await api.sleep(11)

    seen = await ask(api, 6, address)
    expect(
        seen.count(429) == 1,
        "at 61 s, five accepted again and the sixth refused",
        f"they were answered {seen}",
    )


@core(
    "For a whole minute, a client that has used up its requests is refused",
    "taskmanager/ratelimit.py",
)
async def limit_lasts_a_minute(api: Api) -> None:
    for number, silence in enumerate((31, 45, 59), 1):
        address = f"192.0.2.{number}"
        first = await ask(api, 10, address)
        expect(
            429 not in first,
            "ten accepted from a new address",
            f"they were answered {first}",
        )

        await api.sleep(silence)
        [seen] = await ask(api, 1, address)
        expect(
            seen == 429,
            f"an eleventh refused after {silence} s without any request",
            f"it was answered {seen}",
        )


@core("A minute later, a client is accepted again", "taskmanager/ratelimit.py")
async def limit_ends(api: Api) -> None:
    await use_up(api, "192.0.2.1")
    await api.sleep(61)

    seen = await ask(api, 10, "192.0.2.1")
    expect(
        429 not in seen, "ten accepted again after 61 s", f"they were answered {seen}"
    )


@core(
    "A client that keeps asking while it is refused is accepted again",
    "taskmanager/ratelimit.py",
    open=True,
)
async def refusals_do_not_count(api: Api) -> None:
    await use_up(api, "192.0.2.1")

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
        seen != [429] or len(recent) >= 10,
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
    for place, name in enumerate(FORWARDING, 1):
        prefix = "for=" if name == "Forwarded" else ""
        seen = []
        for number in range(12):
            forged = {name: f"{prefix}203.0.113.{number}"}
            seen += await ask(api, 1, f"192.0.2.{place}", headers=forged)
        expect(
            seen.count(429) == 2,
            f"the last two of twelve refused, whatever {name} says",
            f"they were answered {seen}",
        )


@core(
    "Malformed requests count as well: the limit comes before the body",
    "taskmanager/middleware.py",
    open=True,
)
async def limit_comes_before_the_body(api: Api) -> None:
    answers = [
        await api.request("POST", "/tasks", raw=b"{", address="192.0.2.1")
        for _ in range(12)
    ]
    seen = [answer.status for answer in answers]
    expect(
        seen.count(429) == 2,
        "the last two of twelve malformed requests answered 429",
        f"they were answered {seen}",
    )


# Cleanup


async def exists(api: Api, task_id: str) -> bool:
    answer = await api.request("GET", f"/tasks/{task_id}")
    return answer.status == 200


@core(
    "A completed task can be read for ten minutes after its end",
    "notebook 08-cleanup-and-frozen-time",
)
async def kept_for_ten_minutes(api: Api) -> None:
    await api.sleep(7)
    # The last one waits for thirteen others, or for all if they are
    # processed one after another.
    ids = [await api.submit(api.solution.slow) for _ in range(70)]
    last = ids[-1]
    await api.until_over(last, within=71 * 31.0)

    begun = api.now()
    while api.now() - begun < 595:
        expect(
            await exists(api, last),
            "the task for ten minutes after its end",
            f"it was gone after {api.now() - begun:.0f} s",
        )
        await api.sleep(5)

    # It ended up to a second before that was seen.
    await api.sleep(598.5 - (api.now() - begun))
    expect(
        await exists(api, last),
        "the task for ten minutes after its end",
        "it was gone after less than 600 s",
    )


@core(
    "A completed task is removed after ten minutes",
    "notebook 08-cleanup-and-frozen-time",
)
async def removed_after_ten_minutes(api: Api) -> None:
    # A cleanup may not survive its first find.
    for nth in ("first", "second"):
        task_id = await api.submit(api.solution.quick)
        await api.until(task_id, api.solution.completed)
        await api.sleep(725)

        expect(
            not await exists(api, task_id),
            f"404 for the {nth} task twelve minutes after its end",
            "it was still there",
        )
        expect(
            not await api.list_tasks(),
            "an empty list",
            f"the {nth} task was still in the list",
        )


@core(
    "The removal comes within half a minute of its time",
    "taskmanager/cleanup.py",
    open=True,
)
async def removal_is_punctual(api: Api) -> None:
    task_id = await api.submit(api.solution.quick)
    await api.until(task_id, api.solution.completed)
    await api.sleep(631)
    expect(
        not await exists(api, task_id),
        "404 after ten and a half minutes",
        "it was still there",
    )


@core("A failed task is removed as well", "taskmanager/cleanup.py")
async def failed_is_removed(api: Api) -> None:
    task_id = await failed_task(api)
    await api.sleep(725)
    expect(
        not await exists(api, task_id),
        "404 twelve minutes after the failure",
        "it was still there",
    )


@core("A cancelled task is removed as well", "README, on assumptions", open=True)
async def cancelled_is_removed(api: Api) -> None:
    task_id = await processing_for(api, 1)
    await api.cancelled(task_id)

    await api.sleep(300)
    # Once more, which is to change nothing.
    await api.cancel(task_id)

    await api.sleep(425)
    expect(
        not await exists(api, task_id),
        "404 twelve minutes after it was cancelled",
        "it was still there",
    )


@core(
    "A task that is queued or in process is never removed",
    "notebook 08-cleanup-and-frozen-time",
)
async def unfinished_is_not_removed(api: Api) -> None:
    accepted = 0
    # By id, when each was last known to be unfinished.
    unfinished: dict[str, float] = {}
    begun = api.now()

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

    expect(
        accepted > 125,
        "tasks to be completed, and others accepted in their place",
        f"{accepted} were accepted in all",
    )


# Stop


@core(
    "The application stops within seconds, with work under way",
    "notebook 11-shutdown-and-faults",
)
async def stops_with_work_under_way(api: Api) -> None:
    for _ in range(60):
        await api.post(api.solution.slow)
    await api.sleep(2)
    await api.lifespan.stop(within=5)


@core(
    "The application stops within seconds after tasks in process were cancelled",
    "notebook 07-cancellation-and-failure",
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
)
async def nothing_runs_after_the_stop(api: Api) -> None:
    for _ in range(8):
        await api.submit(api.solution.slow)
    await api.sleep(2)
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


@core("Nothing of a removed task stays in memory", "taskmanager/store.py")
async def store_forgets(api: Api) -> None:
    before = census(api)
    large = {id(each) for each in containers() if len(each) > 9}

    wanted = {await api.submit(api.solution.quick) for _ in range(60)}
    polls = [asyncio.create_task(api.wait(task_id)) for task_id in wanted]
    await api.until_over(*wanted, within=31.0 * 60)
    await asyncio.gather(*polls)
    del polls

    await api.sleep(800)
    expect(
        not await api.list_tasks(),
        "an empty list a quarter of an hour later",
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
