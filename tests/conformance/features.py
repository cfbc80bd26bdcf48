"""Additional features: progress, priorities, errors, logging,
documentation.
"""

import json
import logging
import re
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
from tests.conformance.bodies import listed_in
from tests.conformance.requirement import requirement

# whose logs are not the solution's
FRAMEWORKS = ("asyncio", "uvicorn", "httpx", "fastapi", "starlette", "concurrent")


def feature(text: str, learn: str, *, open: bool = False) -> Any:
    return requirement("additional features", text, learn, open=open)


# Progress


@feature("A task in process shows its progress", "taskmanager/task_types.py: run")
async def progress_is_shown(api: Api) -> None:
    task_id = await api.submit(api.solution.slow)
    await api.until(task_id, api.solution.processing)
    seen = []
    while (task := await api.get(task_id)).get(
        api.solution.status
    ) == api.solution.processing:
        expect(
            api.solution.progress in task,
            f"a field {api.solution.progress!r} {hint('progress')}",
            f"there are {', '.join(map(str, task))}",
        )
        seen.append(task[api.solution.progress])
        await api.sleep(1)
    distinct = sorted({repr(value) for value in seen})
    expect(
        len(distinct) >= 3,
        "several steps of progress on the way",
        f"it showed {', '.join(distinct)}",
    )
    numbers = [value for value in seen if isinstance(value, int | float)]
    expect(
        numbers == sorted(numbers),
        "progress that never goes back",
        f"it went {numbers}",
    )
    expect(
        not numbers or max(numbers) <= 100,
        "progress of at most 100 %",
        f"it went {numbers}",
    )


@feature(
    "A completed task shows a progress of 100 %",
    "taskmanager/task_types.py: run",
    open=True,
)
async def progress_ends_at_100(api: Api) -> None:
    task_id = await api.submit(api.solution.slow)
    await api.until(task_id, api.solution.completed)
    task = await api.get(task_id)
    if api.solution.progress not in task:
        raise NotGradedError(
            f"there is no field {api.solution.progress!r}: see the line on progress"
        )
    progress = str(task[api.solution.progress])
    numbers = re.findall(r"\d+(?:\.\d+)?", progress)
    # 1.0, 100, "7/7"
    end = (
        not numbers
        or float(numbers[0]) in (1, 100)
        or len(set(numbers)) == 1 < len(numbers)
    )
    expect(end, "100 %, or 1, at the end", f"it was {progress}")


# Priorities

# What to try where "low" and "high" are refused, and the TOML file
# names no others.
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
    """In which order quick tasks of these priorities are begun, once
    all workers were busy.

    Their numbers, from 1; those that were begun at the same moment
    stand together. Those in ``cancel`` never are.
    """
    blockers: list[str] = []
    # the workers may be more than five, which is another line's
    # business
    for _ in range(10):
        blockers.append(await api.submit(api.solution.slow))
        await api.sleep(0.3)  # so that, without a DELETE, they end one after the other
        if len(blockers) > 5 and await api.status(blockers[-1]) == api.solution.queued:
            break
    else:
        raise NotGradedError("ten tasks were in process at a time: none had to wait")
    # Whoever fetched the last one already has to find it cancelled: one
    # worker becomes free, and is busy again.
    cancelled = [
        (await api.cancel(task_id)).status < 300
        for task_id in (blockers[-1], blockers[0])
    ]
    if all(cancelled):
        await api.sleep(0.5)
        blockers = [*blockers[1:-1], await api.submit(api.solution.slow)]
        await api.sleep(0.5)
        cancelled.append(await api.status(blockers[-1]) == api.solution.processing)
    ids = []
    for priority in priorities:
        ids.append(await api.submit(api.solution.quick, priority=priority))
        # time to fetch it before a worker is free, which would be too
        # early
        await api.sleep(0.2)
    for number in cancel:
        await api.cancelled(ids[number - 1])
    if all(cancelled):
        await api.cancel(blockers[0])  # one worker takes them one by one
    waiting = {
        number: task_id for number, task_id in enumerate(ids, 1) if number not in cancel
    }
    begun: list[list[int]] = []
    for _ in range(4000):
        # The last one first: one that begins while the others are
        # looked at is then seen with the next round.
        new = [
            i
            for i in sorted(waiting, reverse=True)
            if await api.status(waiting[i]) != api.solution.queued
        ]
        if new:
            begun.append(sorted(new))
            waiting = {i: task_id for i, task_id in waiting.items() if i not in new}
        if not waiting:
            return begun
        await api.sleep(0.1)
    raise NotGradedError("the tasks were not begun within 400 s")


async def levels(api: Api) -> list[tuple[Any, Any]]:
    """A low and a high priority that are accepted; numbers both ways
    round, since either may be the solution's.
    """
    named = (api.solution.low, api.solution.high)
    default = api.solution.is_default("low") and api.solution.is_default("high")
    if default:  # what is documented goes before what happens to be accepted
        spelled = [
            {word.lower(): word for word in words}
            for words in listed_in(await api.openapi())
        ]
        named = next(
            (
                (words["low"], words["high"])
                for words in spelled
                if {"low", "high"} <= set(words)
            ),
            named,
        )
    for pair in (named, *(OTHER_LEVELS if default else [])):
        answers = [
            await api.post(api.solution.quick, priority=priority) for priority in pair
        ]
        await api.sleep(60)
        if all(answer.accepted for answer in answers):
            return (
                [pair]
                if pair == named or isinstance(pair[0], str)
                else [pair, pair[::-1]]
            )
        if pair == named:
            refusal = answers[1] if answers[0].accepted else answers[0]
            expect(
                refusal.status in (400, 422),
                "202 for a submission with a priority",
                str(refusal),
            )
    what = f"{api.solution.priority!r}: {named[1]!r}"
    raise NotGradedError(
        f"a submission with {what} is refused {hint('priority, high, low')}; {refusal}"
    )


@feature(
    "A task of high priority is begun before one of low priority",
    "notebook 03-backpressure-and-priorities",
)
async def high_goes_first(api: Api) -> None:
    pairs, seen = await levels(api), []
    for low, high in pairs:
        order = await order_of(api, [low, low, high])
        if order[0] == [3]:
            return
        if 3 in order[0]:
            raise NotGradedError(
                "it was begun together with another, though one worker only had become free"
            )
        seen.append(_shown(order))
        await api.sleep(120)
    low, high = pairs[0]
    wanted = f"of two tasks of priority {low!r} and a third of {high!r}, the third begun first"
    both = ", or the other way round" if len(pairs) > 1 else ""
    happened = f"they were begun in this order: {'; '.join(seen)}"
    raise UnmetError(f"{wanted}{both} {hint('priority, high, low')}", happened)


@feature(
    "Of equal priority, the one submitted first is begun first",
    "taskmanager/pending.py",
    open=True,
)
async def equal_priorities_keep_their_order(api: Api) -> None:
    low, _ = (await levels(api))[0]
    order = await order_of(api, [low] * 6)
    flat = [i for together in order for i in together]
    expect(
        flat == sorted(flat),
        "six equal tasks begun in the order submitted",
        f"the order was {_shown(order)}",
    )


@feature(
    "A task without a priority goes before low ones, and not before high ones",
    "taskmanager/pending.py",
    open=True,
)
async def default_priority_is_between(api: Api) -> None:
    seen = []
    for low, high in await levels(api):
        order = await order_of(api, [None, low, high])
        if order == [[3], [1], [2]]:
            return
        seen.append(_shown(order))
        await api.sleep(120)
    wanted = "of a task without a priority, a low and a high one: the third begun first, then the first"
    raise UnmetError(wanted, f"they were begun in this order: {'; '.join(seen)}")


@feature(
    "Tasks that are cancelled leave the others in their order", "taskmanager/pending.py"
)
async def cancel_leaves_the_order(api: Api) -> None:
    pairs, seen = await levels(api), []
    for low, high in pairs:
        # In this order, a heap from which they were taken without care
        # is none any more.
        order = await order_of(
            api, [low] * 8 + [high] * 8, cancel=(9, 13, 16, 1, 10, 11)
        )
        if max(at for at, together in enumerate(order) if max(together) > 8) <= min(
            at for at, together in enumerate(order) if min(together) <= 8
        ):
            return
        seen.append(_shown(order))
        await api.sleep(300)
    if (await order_of(api, [low, low, high]))[0] != [3]:
        raise NotGradedError(
            "high priority does not go first in any case: see the line on that"
        )
    wanted = "of eight low and then eight high tasks, six of them cancelled: the high ones begun before the low ones"
    raise UnmetError(wanted, f"they were begun in this order: {'; '.join(seen)}")


@feature(
    "A priority that makes no sense is no crash, and leaves nothing behind",
    "taskmanager/problems.py",
)
async def odd_priority_is_no_crash(api: Api) -> None:
    for priority in ("no-such-priority", [], {}):
        before = len(await api.everything())
        answer = await api.post(api.solution.quick, priority=priority)
        expect(
            answer.status < 500 and not answer.raised,
            f"400 for the priority {priority!r}",
            str(answer),
        )
        added = len(await api.everything()) - before
        expect(
            answer.accepted or not added,
            "no task where the submission is refused",
            f"{answer}; there is one more",
        )


@feature(
    "A priority that there is not is answered 400", "taskmanager/problems.py", open=True
)
async def unknown_priority_is_400(api: Api) -> None:
    answer = await api.post(api.solution.quick, priority="no-such-priority")
    expect(answer.status == 400, "400", str(answer))


def _shown(order: list[list[int]]) -> str:
    return ", ".join(" with ".join(map(str, together)) for together in order)


# Errors


def is_detailed(answer: Answer) -> None:
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
    known = await api.submit(api.solution.quick)
    for answer in (
        await api.post(api.solution.invalid[0]),
        await api.request("GET", f"/tasks/{api.unlike(known)}"),
        await api.cancel(api.unlike(known)),
    ):
        expect(400 <= answer.status < 500, "400 or 404", str(answer))
        is_detailed(answer)


@feature("429 is detailed JSON", "taskmanager/middleware.py")
async def too_many_is_json(api: Api) -> None:
    for _ in range(11):
        answer = await api.request("GET", "/tasks", address="192.0.2.1")
    expect(answer.status == 429, "429 for the eleventh request", str(answer))
    is_detailed(answer)


@feature("503 is detailed JSON", "taskmanager/problems.py")
async def full_is_json(api: Api) -> None:
    _, answer = await api.fill(api.solution.slow)
    expect(answer.status == 503, "503", str(answer))
    is_detailed(answer)


@feature("Answers are JSON, not Python's way of writing values", "taskmanager/api.py")
async def answers_are_json(api: Api) -> None:
    posted = await api.post(api.solution.quick)
    for answer in (
        posted,
        await api.request("GET", f"/tasks/{api.id_of(posted)}"),
        await api.request("GET", "/tasks"),
    ):
        answer.json()


@feature(
    "Values at the edge of JSON are refused, or answered as JSON",
    "taskmanager/task_types.py",
    open=True,
)
async def odd_values_are_no_crash(api: Api) -> None:
    quick, listed = (
        api.solution.quick,
        (await api.request("GET", "/tasks")).status == 200,
    )
    # Both are JSON. Python reads the first as infinity and the second
    # as half of a character, and can write neither.
    for odd in ("1e999", '"\\ud800"'):
        body = json.dumps(quick)
        number = re.search(r"\b\d+\b", body)
        bodies = [body[: number.start()] + odd + body[number.end() :]] if number else []
        for raw in (*bodies, body[:-1] + f', "odd": {odd}}}'):
            posted = await api.request("POST", "/tasks", raw=raw.encode())
            expect(
                posted.status < 500 and not posted.raised,
                f"400 or 202 for {raw}",
                str(posted),
            )
            if not posted.accepted:
                continue
            await api.sleep(31)  # its result may be odd as well
            for path in (
                f"/tasks/{api.id_of(posted)}",
                *(["/tasks"] if listed else []),
            ):
                answer = await api.request("GET", path)
                wanted = f"JSON from {answer.asked} after {raw} was accepted"
                text = answer.body.decode("utf-8", "replace")
                outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
                expect(answer.status == 200 and not answer.raised, wanted, str(answer))
                expect(
                    not re.search(r"NaN|Infinity", outside),
                    wanted,
                    f"the body was {text!r:.160}",
                )


# Logging and documentation


@feature("What happens to a task is logged", "taskmanager/manager.py: _change_status")
async def tasks_are_logged(api: Api) -> None:
    records: list[logging.LogRecord] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    listener = Listener(level=logging.DEBUG)
    loggers = [
        logging.getLogger(),
        *map(logging.getLogger, list(logging.Logger.manager.loggerDict)),
    ]
    for logger in loggers:
        # which some write to
        if not logger.name.startswith(FRAMEWORKS) or logger.name.startswith("uvicorn"):
            logger.setLevel(logging.DEBUG)
        # nobody above it hears what it is told
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
    paths = document.json().get("paths", {})
    routes = {
        f"{method.upper()} {path.rstrip('/')}"
        for path, methods in paths.items()
        for method in methods
    }
    plain = {route.partition("{")[0] for route in routes}
    base = api.solution.path.rstrip("/")
    for wanted in (f"POST {base}", f"GET {base}", f"GET {base}/", f"DELETE {base}/"):
        expect(
            wanted in plain,
            f"{wanted} in /openapi.json",
            f"there are {', '.join(sorted(routes)) or 'none'}",
        )
