"""Additional features: progress, priorities, errors, documentation."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.conformance.api import (
    Answer,
    Api,
    NotGradedError,
    UnmetError,
    expect,
    hint,
    texts_in,
)
from tests.conformance.bodies import bounds_of, listed_in
from tests.conformance.core import limit_of
from tests.conformance.endpoints import is_no_crash, list_shows_some
from tests.conformance.requirement import Play, requirement

# Whose logs are not the solution's.
FRAMEWORKS = (
    "asyncio",
    "uvicorn",
    "httpx",
    "fastapi",
    "starlette",
    "concurrent",
)


def feature(
    text: str, learn: str, *, open: bool = False, needs: tuple[str, ...] = ()
) -> Callable[[Play], Play]:
    return requirement("additional features", text, learn, open=open, needs=needs)


# Progress


@feature("A task in process shows its progress", "taskmanager/task_types.py: run")
async def progress_is_shown(api: Api) -> None:
    name = api.solution.progress
    task_id = await api.submit(api.solution.slow)
    await api.until(task_id, api.solution.processing)

    seen = []
    task = await api.get(task_id)
    while task.get(api.solution.status) == api.solution.processing:
        expect(
            name in task,
            f"a field {name!r} {hint('progress')}",
            f"there are {', '.join(map(str, task))}",
        )
        seen.append(task[name])
        await api.sleep(1)
        task = await api.get(task_id)

    distinct = sorted({repr(value) for value in seen})
    expect(
        len(distinct) >= 3,
        "several steps of progress on the way",
        f"it showed {', '.join(distinct)}",
    )

    numbers = [value for value in seen if isinstance(value, int | float)]
    went = f"it went {numbers}"
    expect(numbers == sorted(numbers), "progress that never goes back", went)
    expect(max(numbers, default=0) <= 100, "progress of at most 100 %", went)


@feature(
    "A completed task shows a progress of 100 %",
    "taskmanager/task.py: change_status",
    open=True,
)
async def progress_ends_at_100(api: Api) -> None:
    name = api.solution.progress
    task_id = await api.submit(api.solution.slow)
    await api.until(task_id, api.solution.completed)
    task = await api.get(task_id)
    if name not in task:
        raise NotGradedError(f"there is no field {name!r}", cause="progress_is_shown")

    progress = str(task[name])
    expect(is_the_end(progress), "100 %, or 1, at the end", f"it was {progress}")


def is_the_end(progress: str) -> bool:
    """Whether it is such as 1.0, 100 or "7/7", or holds no number."""
    numbers = re.findall(r"\d+(?:\.\d+)?", progress)
    if not numbers or float(numbers[0]) in (1, 100):
        return True
    return len(numbers) > 1 and len(set(numbers)) == 1


# Priorities

# A low and a high one, to be tried where "low" and "high" are refused,
# none are documented, and the TOML file names no others.
OTHER_LEVELS: list[tuple[Any, Any]] = [
    ("LOW", "HIGH"),
    ("Low", "High"),
    (1, 10),
    (1, 5),
    (1, 3),
    (0, 2),
]


async def order_of(
    api: Api, priorities: list[Any], cancel: tuple[int, ...] = ()
) -> list[list[int]]:
    """In which order quick tasks of these priorities are begun.

    All workers were busy when they were handed in. Their numbers, from
    1; those that were begun at the same moment stand together. Those in
    ``cancel`` never are.
    """
    blockers = await _busy_workers(api)
    # Whoever fetched the last one already has to find it cancelled: one
    # worker becomes free, and is busy again.
    last = await api.cancel(blockers[-1])
    first = await api.cancel(blockers[0])
    one_is_freed = last.status < 300 and first.status < 300
    if one_is_freed:
        await api.sleep(0.5)
        blockers = [*blockers[1:-1], await api.submit(api.solution.slow)]
        await api.sleep(0.5)
        status = await api.status(blockers[-1])
        one_is_freed = status == api.solution.processing

    waiting: dict[int, str] = {}
    for number, priority in enumerate(priorities, 1):
        waiting[number] = await api.submit(api.solution.quick, priority=priority)
        # Time to fetch it before a worker is free, which would be too
        # early.
        await api.sleep(0.2)
    for number in cancel:
        await api.cancelled(waiting.pop(number))

    # One worker takes them one by one.
    if one_is_freed:
        await api.cancel(blockers[0])
    return await _begun(api, waiting)


async def _busy_workers(api: Api) -> list[str]:
    """Slow tasks for all workers, and a last one that is still queued.

    The workers may be more than five, which is one requirement of its
    own.
    Raises NotGradedError where they are more than twice as many.
    """
    workers = api.solution.workers
    blockers: list[str] = []
    for _ in range(2 * workers):
        blockers.append(await api.submit(api.solution.slow))
        # So that, without a DELETE, they end one after the other.
        await api.sleep(0.3)
        if (
            len(blockers) > workers
            and await api.status(blockers[-1]) == api.solution.queued
        ):
            return blockers
    raise NotGradedError(
        f"{len(blockers)} tasks were in process at a time: none had to wait",
        cause="never_more_than_five",
    )


async def _begun(api: Api, waiting: dict[int, str]) -> list[list[int]]:
    """The numbers of the tasks in the order in which they are begun."""
    begun: list[list[int]] = []
    for _ in range(4000):
        # The last one first: one that begins while the others are
        # looked at is then seen with the next round.
        new = [
            number
            for number in sorted(waiting, reverse=True)
            if await api.status(waiting[number]) != api.solution.queued
        ]
        for number in new:
            del waiting[number]
        if new:
            begun.append(sorted(new))
        if not waiting:
            return begun
        await api.sleep(0.1)
    raise NotGradedError("the tasks were not begun within 400 s", cause="works_unasked")


async def levels(api: Api) -> list[tuple[Any, Any]]:
    """A low and a high priority that are accepted.

    Numbers come both ways round, since either may be the solution's.
    """
    named = await _named_levels(api)
    refusal = await _refusal_of(api, named)
    if refusal is None:
        return [named]
    expect(
        refusal.status in (400, 422),
        "202 for a submission with a priority",
        str(refusal),
        needs=("submit_answers_202",),
    )

    if _has_default_levels(api):
        document = await api.openapi()
        numbered = bounds_of(api.solution.priority, document, document)
        for low, high in (*numbered, *OTHER_LEVELS):
            if await _refusal_of(api, (low, high)) is not None:
                continue
            if isinstance(low, str):
                return [(low, high)]
            return [(low, high), (high, low)]

    _, high = named
    raise NotGradedError(
        f"a submission with {api.solution.priority!r}: {high!r} is refused "
        f"{hint('priority, high, low')}; {refusal}"
    )


def _has_default_levels(api: Api) -> bool:
    return api.solution.is_default("low") and api.solution.is_default("high")


async def _named_levels(api: Api) -> tuple[Any, Any]:
    """The low and the high priority as they are named somewhere.

    What is documented goes before what happens to be accepted.
    """
    if _has_default_levels(api):
        for words in listed_in(await api.openapi()):
            spelled = {word.lower(): word for word in words}
            if "low" in spelled and "high" in spelled:
                return spelled["low"], spelled["high"]
    return api.solution.low, api.solution.high


async def _refusal_of(api: Api, pair: tuple[Any, Any]) -> Answer | None:
    """The answer to the first of these priorities that is refused."""
    answers = [
        await api.post(api.solution.quick, priority=priority) for priority in pair
    ]
    await api.sleep(60)
    for answer in answers:
        if not answer.accepted:
            return answer
    return None


# What else makes tasks begin in another order.
IN_ORDER = (
    "never_more_than_five",
    "cancel_lets_no_sixth_in",
    "no_head_of_line_blocking",
    "nothing_is_lost",
)


@feature(
    "A task of high priority is begun before one of low priority",
    "notebook 04-backpressure-and-priorities",
    needs=IN_ORDER,
)
async def high_goes_first(api: Api) -> None:
    pairs = await levels(api)
    seen = []
    for low, high in pairs:
        order = await order_of(api, [low, low, high])
        first = order[0]
        if first == [3]:
            return
        if 3 in first:
            raise NotGradedError(
                "it was begun together with another, "
                "though one worker only had become free"
            )
        seen.append(_shown(order))
        await api.sleep(120)

    low, high = pairs[0]
    both = ", or the other way round" if len(pairs) > 1 else ""
    raise UnmetError(
        f"of two tasks of priority {low!r} and a third of {high!r}, "
        f"the third begun first{both} {hint('priority, high, low')}",
        f"they were begun in this order: {'; '.join(seen)}",
    )


@feature(
    "Of equal priority, the one submitted first is begun first",
    "taskmanager/pending.py",
    open=True,
    needs=IN_ORDER,
)
async def equal_priorities_keep_their_order(api: Api) -> None:
    pairs = await levels(api)
    low, _ = pairs[0]
    order = await order_of(api, [low] * 6)
    flat = [number for together in order for number in together]
    expect(
        flat == sorted(flat),
        "six equal tasks begun in the order submitted",
        f"the order was {_shown(order)}",
    )


@feature(
    "A task without a priority goes before low ones, and not before high ones",
    "taskmanager/pending.py",
    open=True,
    needs=("high_goes_first", *IN_ORDER),
)
async def default_priority_is_between(api: Api) -> None:
    seen = []
    for low, high in await levels(api):
        order = await order_of(api, [low, None, high])
        if order == [[3], [2], [1]]:
            return
        seen.append(_shown(order))
        await api.sleep(120)

    raise UnmetError(
        "of a low task, one without a priority and a high one: "
        "the third begun first, then the second",
        f"they were begun in this order: {'; '.join(seen)}",
    )


@feature(
    "Tasks that are cancelled leave the others in their order",
    "taskmanager/pending.py",
    needs=("high_goes_first", *IN_ORDER),
)
async def cancel_leaves_the_order(api: Api) -> None:
    seen = []
    for low, high in await levels(api):
        # In this order, a heap from which they were taken without care
        # is none any more.
        priorities = [low] * 8 + [high] * 8
        order = await order_of(api, priorities, cancel=(9, 13, 16, 1, 10, 11))
        with_high = [place for place, some in enumerate(order) if max(some) > 8]
        with_low = [place for place, some in enumerate(order) if min(some) <= 8]
        if max(with_high) <= min(with_low):
            return
        seen.append(_shown(order))
        await api.sleep(300)

    first, *_ = await order_of(api, [low, low, high])
    if first != [3]:
        raise NotGradedError(
            "high priority does not go first in any case", cause="high_goes_first"
        )
    raise UnmetError(
        "of eight low and then eight high tasks, six of them cancelled: "
        "the high ones begun before the low ones",
        f"they were begun in this order: {'; '.join(seen)}",
    )


@feature(
    "A priority that makes no sense is no crash, and leaves nothing behind",
    "taskmanager/problems.py",
)
async def odd_priority_is_no_crash(api: Api) -> None:
    await list_shows_some(api)
    others: list[Any] = ["no-such-priority", [], {}]
    for priority in others:
        before = len(await api.everything())
        answer = await api.post(api.solution.quick, priority=priority)
        is_no_crash(answer, f"400 for the priority {priority!r}")

        added = len(await api.everything()) - before
        expect(
            answer.accepted or not added,
            "no task where the submission is refused",
            f"{answer}; there is one more",
        )


@feature(
    "A priority that there is not is answered 400",
    "taskmanager/problems.py",
    open=True,
    needs=("invalid_is_400",),
)
async def unknown_priority_is_400(api: Api) -> None:
    answer = await api.post(api.solution.quick, priority="no-such-priority")
    expect(answer.status == 400, "400", str(answer))


def _shown(order: list[list[int]]) -> str:
    return ", ".join(" with ".join(map(str, together)) for together in order)


# Errors


def is_detailed(answer: Answer) -> None:
    """Raises UnmetError where it is not."""
    kind = answer.headers.get("content-type", "")
    expect("json" in kind, f"JSON for {answer.status}", f"the content type is {kind!r}")
    body = answer.json()
    expect(
        isinstance(body, dict) and any(texts_in(body)),
        "an object that says what is wrong",
        str(answer),
    )


@feature("400 and 404 are detailed JSON", "taskmanager/problems.py")
async def client_errors_are_json(api: Api) -> None:
    unknown = api.unlike(await api.submit(api.solution.quick))
    answers = [
        await api.post(api.solution.invalid[0]),
        await api.request("GET", f"/tasks/{unknown}"),
        await api.cancel(unknown),
    ]
    for answer in answers:
        expect(
            400 <= answer.status < 500,
            "400 or 404",
            str(answer),
            needs=("invalid_is_400", "unknown_is_404", "cancel_unknown_is_404"),
        )
        is_detailed(answer)


@feature("429 is detailed JSON", "taskmanager/middleware.py")
async def too_many_is_json(api: Api) -> None:
    for _ in range(await limit_of(api) + 1):
        answer = await api.request("GET", "/tasks", address="192.0.2.1", port=50_000)
    expect(
        answer.status == 429,
        "429 for one request too many",
        str(answer),
        needs=("eleventh_is_429",),
    )
    is_detailed(answer)


@feature("503 is detailed JSON", "taskmanager/problems.py", needs=("full_is_503",))
async def full_is_json(api: Api) -> None:
    _, answer = await api.fill(api.solution.slow)
    if answer.waits:
        raise NotGradedError(str(answer), cause="full_is_503")
    expect(answer.status == 503, "503", str(answer))
    is_detailed(answer)


@feature("Answers are JSON, not Python's way of writing values", "taskmanager/api.py")
async def answers_are_json(api: Api) -> None:
    empty = await api.request("GET", "/tasks")
    posted = await api.post(api.solution.quick)
    expect(posted.accepted, "202", str(posted), needs=("submit_answers_202",))
    one = await api.request("GET", f"/tasks/{api.id_of(posted)}")
    listing = await api.request("GET", "/tasks")
    await api.post(api.solution.quick)
    of_two = await api.request("GET", "/tasks")
    for answer in (posted, one, empty, listing, of_two):
        if answer.status < 300:
            answer.json()


@feature(
    "Values at the edge of JSON are refused, or answered as JSON",
    "taskmanager/task_types.py",
    open=True,
)
async def odd_values_are_no_crash(api: Api) -> None:
    await api.submit(api.solution.quick)
    listing = await api.request("GET", "/tasks")
    for raw in _odd_bodies(api):
        posted = await api.request("POST", "/tasks", raw=raw.encode())
        is_no_crash(posted, f"400 or 202 for {raw}")
        if not posted.accepted:
            continue

        # Its result may be odd as well.
        await api.sleep(31)
        paths = [f"/tasks/{api.id_of(posted)}"]
        if listing.status == 200:
            paths.append("/tasks")
        for path in paths:
            answer = await api.request("GET", path)
            wanted = f"JSON from {answer.asked} after {raw} was accepted"
            expect(
                answer.status == 200 and not answer.raised,
                wanted,
                str(answer),
                needs=("list_has_all",),
            )

            outside_of_texts = re.sub(r'"(?:[^"\\]|\\.)*"', "", answer.text)
            expect(
                not re.search(r"NaN|Infinity", outside_of_texts),
                wanted,
                f"the body was {answer.text!r:.160}",
            )


def _odd_bodies(api: Api) -> Iterator[str]:
    """The quick task, with what is JSON and Python cannot write.

    Python reads the one as infinity, and the other as half of a
    character.
    """
    body = json.dumps(api.solution.quick)
    number = re.search(r"\b\d+\b", body)
    for odd in ("1e999", '"\\ud800"'):
        if number:
            yield body[: number.start()] + odd + body[number.end() :]
        yield body.removesuffix("}") + f', "odd": {odd}}}'


# Logging and documentation


@feature("What happens to a task is logged", "taskmanager/manager.py: _change_status")
async def tasks_are_logged(api: Api) -> None:
    records: list[logging.LogRecord] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    listener = Listener(level=logging.DEBUG)
    names = list(logging.Logger.manager.loggerDict)
    for logger in (logging.getLogger(), *map(logging.getLogger, names)):
        # Some solutions write to uvicorn's.
        if not logger.name.startswith(FRAMEWORKS) or logger.name.startswith("uvicorn"):
            logger.setLevel(logging.DEBUG)
        # What it is told is heard by nobody above it.
        if logger.parent is None or not logger.propagate:
            logger.addHandler(listener)

    task_id = await api.submit(api.solution.quick)
    await api.until(task_id, api.solution.completed)
    own = [
        each
        for each in records
        if not each.name.startswith(FRAMEWORKS) or api.solution.owns(each.pathname)
    ]
    expect(
        own, "a log record while a task is submitted and completed", "there was none"
    )


@feature(
    "The API is documented: /docs, and /openapi.json with all four routes",
    "taskmanager/openapi.py",
)
async def api_is_documented(api: Api) -> None:
    docs = await api.request("GET", "/docs")
    expect(
        docs.status == 200 and b"swagger" in docs.body.lower(),
        "Swagger's page at /docs",
        f"it was answered {docs.status}",
    )

    document = await api.request("GET", "/openapi.json")
    expect(document.status == 200, "200", str(document)[:160])
    routes = set()
    for path, methods in document.json().get("paths", {}).items():
        routes |= {f"{method.upper()} {path.rstrip('/')}" for method in methods}

    there = ", ".join(sorted(routes)) or "none"
    plain = {route.partition("{")[0] for route in routes}
    base = api.solution.path.rstrip("/")
    for wanted, needed in (
        (f"POST {base}", "submit_answers_202"),
        (f"GET {base}", "list_has_all"),
        (f"GET {base}/", "unknown_is_404"),
        (f"DELETE {base}/", "cancel_queued"),
    ):
        expect(
            wanted in plain,
            f"{wanted} in /openapi.json",
            f"there are {there}",
            needs=(needed,),
        )
