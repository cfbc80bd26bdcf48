"""Growth: what an operation costs with 100 tasks held, and 100,000.

As many clients are held. The engines that hold so much live side by
side and are measured in turn. A batch of operations is timed; what it
added is then forgotten, untimed, so that the number held stays. "Any"
is a random one of those held, which no cache of the processor has when
there are many; its id or address is a text of its own, as one that
comes over HTTP is. What that adds is the machine's memory, and no code
can save it. So the reference is the plain structure that an operation
stands on: what that takes more, at the same sizes and in the same run,
without the engine.
"""

import asyncio
import bisect
import gc
import random
import statistics
import sys
import time
import tracemalloc
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import AsyncExitStack
from itertools import chain, islice
from operator import attrgetter
from typing import TypeAlias

from fastapi import FastAPI
from pydantic_core import from_json

from benchmarks import held, load
from benchmarks.harness import Bench, Chart, Figure, Sample
from taskmanager import Settings, TaskManager
from taskmanager.task import Task, TaskStatus
from taskmanager.task_types import SUBMISSION

# A batch can be processing all at once.
BATCH = 50
WORKERS = BATCH
# Tasks and clients held.
SIZES = [
    100,
    1000,
    10_000,
    100_000,
]
# Records of a list's first page.
PAGE = 100
# Times its cost with 100 held.
AT_MOST = 1.3
# Or it may grow by so many times what the plain structure grows by.
AT_MOST_OF_PLAIN = 1.3
# The order of the queue.
PLACE = attrgetter("place")
# What a poll reads of a task.
FIELDS = attrgetter(
    "status",
    "version",
    "progress",
    "result",
    "error",
    "created_at",
    "started_at",
    "finished_at",
)


class Holding:
    """An engine, and tasks and clients that it holds."""

    def __init__(
        self, bench: Bench, app: FastAPI, manager: TaskManager, clients: int = 0
    ) -> None:
        self.bench = bench
        self.app = app
        self.manager = manager
        self.limiter = held.limiter_of(app)
        self.store = held.store_of(manager)
        self.clients = [load.address(number) for number in range(clients)]
        self.random = random.Random(0)
        self.ids: list[str] = []
        self.size = 0
        # What the engine keeps of them, without the engine.
        self.accepted: OrderedDict[str, deque[float]] = OrderedDict()
        self.line: list[Task] = []
        self.records: dict[str, Task] = {}

    async def hold(self, ids: list[str]) -> None:
        """Take what the engine has by now as what it holds."""
        for client in self.clients:
            await self.limiter.hit(_copy(client), time.monotonic())
            self.accepted[_copy(client)] = deque([time.monotonic()])

        self.ids = [_copy(task_id) for task_id in ids]
        self.size = len(self.store.by_id)
        self.records = {**self.store.by_id}
        for task_id in ids:
            task = self.store.by_id[task_id]
            if task.status is TaskStatus.QUEUED:
                self.line.append(task)

    def index_in_line(self, task: Task) -> int:
        return bisect.bisect_left(self.line, task.place, key=PLACE)

    def any_ids(self) -> list[str]:
        return self.random.sample(self.ids, BATCH)

    def any_clients(self) -> list[str]:
        return self.random.sample(self.clients, BATCH)

    def submit(self, submission: dict[str, object] = held.SUM) -> list[Task]:
        """A batch of tasks: queued until the next await."""
        return [self.manager.submit(submission) for _ in range(BATCH)]

    async def complete(self, tasks: list[Task]) -> None:
        await load.until_idle(self.manager)
        self.bench.check(
            all(task.result == load.RESULT for task in tasks),
            "a task has not its result",
        )

    async def occupy(self) -> list[Task]:
        """Tasks that keep all workers busy until they are cancelled."""
        tasks = self.submit(held.ENDLESS)
        while any(task.status is TaskStatus.QUEUED for task in tasks):
            await asyncio.sleep(0)
        return tasks

    async def cancel(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            self.manager.cancel(task.task_id)
        await asyncio.sleep(0)

    def check_cancelled(self, tasks: Iterable[Task]) -> None:
        self.bench.check(
            all(task.status is TaskStatus.CANCELLED for task in tasks),
            "a task is not cancelled",
        )

    def check_batch(self, found: Collection[object]) -> None:
        self.bench.check(
            len(found) == BATCH and None not in found,
            "a task that was to be held is gone",
        )

    def settle(self) -> None:
        """Forget what came on top.

        That is the newest of the finished ones, not, as the engine
        would, the oldest.
        """
        while len(self.store.by_id) > self.size:
            self.store.finished.rotate(1)
            self.store.forget_oldest()
        self.bench.check(
            len(self.store.by_id) == self.size, "a task that was to be held is gone"
        )


# Does it BATCH times, and gives the µs of one.
Operation: TypeAlias = Callable[[Holding], Awaitable[float]]


def _copy(text: str) -> str:
    return text.encode().decode()


def _since(begun: float, operations: int = BATCH) -> float:
    return (time.perf_counter() - begun) / operations * 1e6


# Of the engine, with finished tasks held


async def submit(engine: Holding) -> float:
    submissions = [SUBMISSION.validate_python(held.SUM) for _ in range(BATCH)]
    begun = time.perf_counter()
    tasks = [engine.manager.submit(submission) for submission in submissions]
    cost = _since(begun)

    await engine.complete(tasks)
    return cost


async def dispatch(engine: Holding) -> float:
    tasks = engine.submit()
    begun = time.perf_counter()
    await load.until_idle(engine.manager)
    cost = _since(begun)

    await engine.complete(tasks)
    return cost


def _poll(engine: Holding, ids: list[str]) -> float:
    begun = time.perf_counter()
    found = [engine.manager.describe(engine.manager.get(task_id)) for task_id in ids]
    cost = _since(begun)

    right = [task["task_id"] for task in found] == ids
    engine.bench.check(right, "a poll answered another task")
    return cost


async def poll_new(engine: Holding) -> float:
    tasks = engine.submit()
    await engine.complete(tasks)
    return _poll(engine, [_copy(task.task_id) for task in tasks])


async def poll_any(engine: Holding) -> float:
    return _poll(engine, engine.any_ids())


async def wake(engine: Holding) -> float:
    occupying = await engine.occupy()
    tasks = engine.submit()
    pollers = [asyncio.create_task(engine.manager.wait(task.task_id)) for task in tasks]
    await asyncio.sleep(0)
    engine.bench.check(
        engine.manager.stats()["waiting"] == BATCH, "a poller does not wait"
    )

    begun = time.perf_counter()
    for task in tasks:
        engine.manager.cancel(task.task_id)
    found = await asyncio.gather(*pollers)
    cost = _since(begun)

    engine.check_cancelled(found)
    await engine.cancel(occupying)
    return cost


async def cancel_queued(engine: Holding) -> float:
    occupying = await engine.occupy()
    tasks = engine.submit()
    engine.random.shuffle(tasks)
    begun = time.perf_counter()
    for task in tasks:
        engine.manager.cancel(task.task_id)
    cost = _since(begun)

    engine.check_cancelled(tasks)
    await engine.cancel(occupying)
    return cost


async def cancel_processing(engine: Holding) -> float:
    tasks = await engine.occupy()
    begun = time.perf_counter()
    for task in tasks:
        engine.manager.cancel(task.task_id)
    await load.until_idle(engine.manager)
    cost = _since(begun)

    engine.check_cancelled(tasks)
    return cost


async def _hit(engine: Holding, clients: list[str]) -> float:
    limiter = engine.limiter
    begun = time.perf_counter()
    decisions = [await limiter.hit(client, time.monotonic()) for client in clients]
    cost = _since(begun)

    engine.bench.check(
        all(decision.allowed for decision in decisions), "a request was refused"
    )
    return cost


async def hit_any(engine: Holding) -> float:
    return await _hit(engine, engine.any_clients())


async def hit_new(engine: Holding) -> float:
    """The limiter holds as many clients as it may.

    So each new one is kept in the place of another.
    """
    return await _hit(engine, [f"new {engine.random.random()}" for _ in range(BATCH)])


async def first_page(engine: Holding) -> float:
    begun = time.perf_counter()
    page = list(islice(chain.from_iterable(engine.manager.list_tasks()), PAGE))
    found = [engine.manager.describe(task) for task in page]
    cost = _since(begun, 1)

    right = [task["task_id"] for task in found] == engine.ids[:PAGE]
    engine.bench.check(right, "a page has other tasks")
    return cost


async def none_failed(engine: Holding) -> float:
    begun = time.perf_counter()
    found = list(chain.from_iterable(engine.manager.list_tasks(TaskStatus.FAILED)))
    cost = _since(begun, 1)

    engine.bench.check(not found, "a task has failed")
    return cost


# Through the application, with finished tasks held


async def _ask(
    engine: Holding, method: str, paths: list[str], body: bytes = b"", expect: int = 200
) -> list[bytes]:
    clients = engine.any_clients()
    answers = [
        await load.request(engine.app, method, path, body=body, client=client)
        for path, client in zip(paths, clients, strict=True)
    ]
    engine.bench.check(
        all(status == expect for status, _ in answers),
        f"a {method} did not answer {expect}",
    )
    return [body for _, body in answers]


async def http_submit(engine: Holding) -> float:
    begun = time.perf_counter()
    answers = await _ask(engine, "POST", ["/tasks"] * BATCH, load.BODY, 202)
    cost = _since(begun)

    ids = [from_json(body)["task_id"] for body in answers]
    await engine.complete([engine.manager.get(task_id) for task_id in ids])
    return cost


async def http_poll_any(engine: Holding) -> float:
    ids = engine.any_ids()
    paths = [f"/tasks/{task_id}" for task_id in ids]
    begun = time.perf_counter()
    answers = await _ask(engine, "GET", paths)
    cost = _since(begun)

    right = [from_json(body)["task_id"] for body in answers] == ids
    engine.bench.check(right, "a poll answered another task")
    return cost


async def http_wake(engine: Holding) -> float:
    occupying = await engine.occupy()
    tasks = engine.submit()
    requests = []
    for task, client in zip(tasks, engine.any_clients(), strict=True):
        path = f"/tasks/{task.task_id}"
        request = load.request(
            engine.app, "GET", path, client=client, query="wait=true&since=1"
        )
        requests.append(asyncio.create_task(request))
    while engine.manager.stats()["waiting"] != BATCH:
        await asyncio.sleep(0)

    begun = time.perf_counter()
    for task in tasks:
        engine.manager.cancel(task.task_id)
    answers = await asyncio.gather(*requests)
    cost = _since(begun)

    engine.bench.check(
        all(from_json(body)["status"] == "cancelled" for _, body in answers),
        "a poll was not woken",
    )
    await engine.cancel(occupying)
    return cost


async def http_cancel_queued(engine: Holding) -> float:
    occupying = await engine.occupy()
    tasks = engine.submit()
    engine.random.shuffle(tasks)
    paths = [f"/tasks/{task.task_id}" for task in tasks]
    begun = time.perf_counter()
    await _ask(engine, "DELETE", paths)
    cost = _since(begun)

    engine.check_cancelled(tasks)
    await engine.cancel(occupying)
    return cost


async def http_cancel_processing(engine: Holding) -> float:
    tasks = await engine.occupy()
    paths = [f"/tasks/{task.task_id}" for task in tasks]
    begun = time.perf_counter()
    await _ask(engine, "DELETE", paths)
    await load.until_idle(engine.manager)
    cost = _since(begun)

    engine.check_cancelled(tasks)
    return cost


async def http_first_page(engine: Holding) -> float:
    client = engine.random.choice(engine.clients)
    begun = time.perf_counter()
    _, body = await load.request(
        engine.app, "GET", "/tasks", client=client, query=f"limit={PAGE}"
    )
    cost = _since(begun, 1)

    right = [task["task_id"] for task in from_json(body)] == engine.ids[:PAGE]
    engine.bench.check(right, "a page has other tasks")
    return cost


# Of the engine, with queued tasks held


async def _submit_beside(engine: Holding, priority: str) -> float:
    submission = {**held.ENDLESS, "priority": priority}
    submissions = [SUBMISSION.validate_python(submission) for _ in range(BATCH)]
    begun = time.perf_counter()
    tasks = [engine.manager.submit(submission) for submission in submissions]
    cost = _since(begun)

    await engine.cancel(tasks)
    engine.check_cancelled(tasks)
    return cost


async def submit_behind(engine: Holding) -> float:
    return await _submit_beside(engine, "low")


async def submit_before(engine: Holding) -> float:
    return await _submit_beside(engine, "high")


async def cancel_any_queued(engine: Holding) -> float:
    places = engine.random.sample(range(len(engine.ids)), BATCH)
    ids = [engine.ids[place] for place in places]
    begun = time.perf_counter()
    tasks = [engine.manager.cancel(task_id) for task_id in ids]
    cost = _since(begun)

    engine.check_cancelled(tasks)
    for task in tasks:
        engine.line.pop(engine.index_in_line(task))
    for place, task in zip(places, engine.submit(held.ENDLESS), strict=True):
        engine.ids[place] = _copy(task.task_id)
        engine.records[task.task_id] = task
        engine.line.append(task)
    return cost


async def take_next(engine: Holding) -> float:
    pages = engine.manager.list_tasks(TaskStatus.PROCESSING)
    processing = list(islice(chain.from_iterable(pages), WORKERS))
    queued = int(engine.manager.stats()["queued"])
    begun = time.perf_counter()
    for task in processing:
        engine.manager.cancel(task.task_id)
    while engine.manager.stats()["queued"] != queued - WORKERS:
        await asyncio.sleep(0)
    cost = _since(begun)

    engine.check_cancelled(processing)
    engine.submit(held.ENDLESS)
    return cost


# The plain structures that these stand on, without the engine


async def look_up(engine: Holding) -> float:
    """A dict's look-up, any task."""
    ids = engine.any_ids()
    begun = time.perf_counter()
    found = [engine.store.by_id.get(task_id) for task_id in ids]
    cost = _since(begun)

    engine.check_batch(found)
    return cost


async def look_up_and_read(engine: Holding) -> float:
    """A dict's look-up, any task, and reading what a poll shows."""
    ids = engine.any_ids()
    begun = time.perf_counter()
    tasks = [engine.store.by_id[task_id] for task_id in ids]
    found = [(FIELDS(task), vars(task.parameters)) for task in tasks]
    cost = _since(begun)

    engine.check_batch(found)
    return cost


async def look_up_and_count(engine: Holding) -> float:
    """An OrderedDict's look-up, any client, and counting a hit."""
    accepted = engine.accepted
    clients = engine.any_clients()
    now = time.monotonic()
    begun = time.perf_counter()
    for client in clients:
        accepted[client].append(now)
        accepted.move_to_end(client)
    return _since(begun)


async def find_and_read(engine: Holding) -> float:
    """A dict's look-up, bisection in a sorted list, and reading."""
    ids = engine.any_ids()
    begun = time.perf_counter()
    found = []
    for task_id in ids:
        task = engine.store.by_id[task_id]
        engine.index_in_line(task)
        found.append((FIELDS(task), vars(task.parameters)))
    cost = _since(begun)

    engine.check_batch(found)
    return cost


async def append(engine: Holding) -> float:
    """A sorted list, to which one is added in its place, at the end."""
    last = engine.line[-1]
    begun = time.perf_counter()
    for _ in range(BATCH):
        bisect.insort(engine.line, last, key=PLACE)
    cost = _since(begun)

    del engine.line[-BATCH:]
    return cost


async def put_in_front(engine: Holding) -> float:
    """A sorted list, to which one is added in front."""
    first = engine.line[0]
    begun = time.perf_counter()
    for _ in range(BATCH):
        bisect.insort_left(engine.line, first, key=PLACE)
    cost = _since(begun)

    del engine.line[:BATCH]
    return cost


async def read_and_take(engine: Holding) -> float:
    """A dict's look-up and reading, and a list whose first is taken."""
    ids = engine.any_ids()
    begun = time.perf_counter()
    found = []
    taken = []
    for task_id in ids:
        task = engine.records[task_id]
        found.append((FIELDS(task), vars(task.parameters)))
        taken.append(engine.line.pop(0))
    cost = _since(begun)

    engine.check_batch(found)
    engine.line[:0] = taken
    return cost


async def take_out(engine: Holding) -> float:
    """A dict's look-up, and one taken from the midst of a list."""
    ids = engine.any_ids()
    begun = time.perf_counter()
    taken = []
    for task_id in ids:
        task = engine.store.by_id[task_id]
        taken.append(engine.line.pop(engine.index_in_line(task)))
    cost = _since(begun)

    right = [task.task_id for task in taken] == ids
    engine.bench.check(right, "a sorted list gave another task")
    for task in taken:
        bisect.insort(engine.line, task, key=PLACE)
    return cost


# The tables

ON_NEW: dict[str, Operation] = {
    "submit": submit,
    "dispatch, a task that does nothing": dispatch,
    "poll, a new task": poll_new,
    "cancel a queued task and wake its poller": wake,
    "cancel, a queued task": cancel_queued,
    "cancel, a processing task": cancel_processing,
}
# Each with the plain structure that it stands on.
ON_ANY: dict[str, tuple[Operation, Operation]] = {
    "poll, any task": (poll_any, look_up_and_read),
    "rate limit, any client": (hit_any, look_up_and_count),
    "rate limit, a new client in place of the oldest": (hit_new, look_up_and_count),
}
HTTP: dict[str, Operation] = {
    "POST": http_submit,
    "GET, any task": http_poll_any,
    "cancel a queued task and wake its long poll": http_wake,
    "DELETE, a queued task": http_cancel_queued,
    "DELETE, a processing task": http_cancel_processing,
}
QUEUED: dict[str, tuple[Operation, Operation]] = {
    "submit, behind all": (submit_behind, append),
    "submit, before all (high priority)": (submit_before, put_in_front),
    "poll, any queued task": (poll_any, find_and_read),
    "cancel, any queued task": (cancel_any_queued, take_out),
    # It comes last, since what is queued changes.
    "cancel a processing task, whose worker takes the next": (
        take_next,
        read_and_take,
    ),
}
BESIDE: dict[str, Operation] = {
    "a dict's look-up, any task": look_up,
    "the same, and reading what a poll shows": look_up_and_read,
    "an OrderedDict's look-up, any client, and counting a hit": look_up_and_count,
    f"list, the first {PAGE}": first_page,
    f"GET /tasks, the first {PAGE}": http_first_page,
    "list, by a status that none has": none_failed,
}
DRAWN = [
    "submit",
    "poll, any task",
    "rate limit, any client",
    "cancel a queued task and wake its poller",
    "cancel, a queued task",
    "cancel, a processing task",
    "dispatch, a task that does nothing",
]
Found: TypeAlias = dict[str, list[Figure]]


async def run(bench: Bench) -> None:
    sizes = bench.pick([100, 300], SIZES)
    # It comes first: tracing is faster where little is held.
    await _memory(bench, bench.pick(200, 10_000, 20_000))
    with held.instant_work():
        await _with_finished(bench, sizes)
        await _with_queued(bench, [sizes[0], sizes[-1]])
    bench.notes.append(
        "What is held is out of the garbage collector's reach while operations are "
        "measured; its full passes, which stop everything and grow with what is held, "
        "are shown by themselves. What touches any one of many waits for memory where "
        "few fit into the processor's caches, in a plain dict as well. So that may "
        f"grow by {AT_MOST_OF_PLAIN:g} times what the plain structure grows by, or by "
        f"{AT_MOST - 1:.0%} of its own cost."
    )


async def _with_finished(bench: Bench, sizes: list[int]) -> None:
    engines = {}
    passes = []
    async with AsyncExitStack() as stack:
        for size in sizes:
            bench.say(f"{size:,} tasks are completed, to be held")
            # The engines before this one are not in the pass.
            stack.enter_context(held.frozen())
            engines[size] = await _holding(bench, stack, size)
            gc.collect()
            begun = time.perf_counter()
            gc.collect()
            passes.append(_since(begun, 1))

        stack.enter_context(held.frozen())
        found = await _compare(
            bench, "The engine, finished tasks held: on new tasks", engines, ON_NEW
        )
        few, *_, many = sizes
        two = {few: engines[few], many: engines[many]}
        await _compare(bench, "The application, finished tasks held", two, HTTP)

        await _measure(
            bench,
            "Finished tasks held: for comparison, and outside the targets",
            engines,
            BESIDE,
        )
        bench.tables[-1].rows.append(
            [
                "a full pass of the garbage collector",
                *passes,
                passes[-1] / passes[0],
                "",
            ]
        )
        found |= await _compare_with_plain(
            bench, "The engine, finished tasks held: on any", engines, ON_ANY
        )
    _draw(bench, sizes, found)


async def _holding(bench: Bench, stack: AsyncExitStack, size: int) -> Holding:
    """An engine with so many finished tasks and clients."""
    running = load.running(workers=WORKERS, rate_limit=10**9, max_clients=size)
    app, manager = await stack.enter_async_context(running)
    engine = Holding(bench, app, manager, clients=size)
    await engine.hold(await held.fill(manager, size))
    return engine


def _draw(bench: Bench, sizes: list[int], found: Found) -> None:
    lines = {}
    for name in DRAWN:
        pairs = zip(sizes, found[name], strict=True)
        lines[name] = [(size, figure.median) for size, figure in pairs]
    chart = Chart(
        name="growth",
        title="The engine, with finished tasks and clients held",
        kind="lines",
        x_label="tasks and clients held",
        y_label="µs",
        series=lines,
        log_y=True,
    )
    bench.charts.append(chart)


async def _with_queued(bench: Bench, sizes: list[int]) -> None:
    engines = {}
    async with AsyncExitStack() as stack:
        for size in sizes:
            bench.say(f"{size:,} tasks are queued")
            running = load.running(workers=WORKERS, task_timeout=10**6)
            app, manager = await stack.enter_async_context(running)
            engine = Holding(bench, app, manager)
            await engine.occupy()
            with held.collector_off():
                tasks = [manager.submit(held.ENDLESS) for _ in range(size)]
                await engine.hold([task.task_id for task in tasks])
            engines[size] = engine

        stack.enter_context(held.frozen())
        await _compare_with_plain(
            bench, "The engine, queued tasks held", engines, QUEUED
        )


async def _compare(
    bench: Bench,
    title: str,
    engines: dict[int, Holding],
    operations: dict[str, Operation],
) -> Found:
    """Measure, and add a target for the operation that grows most."""
    few, *_, many = engines
    found = await _measure(bench, title, engines, operations)

    growth = {name: figures[-1].ratio for name, figures in found.items()}
    worst = max(growth, key=growth.__getitem__)
    bench.target(
        f"{title}: {many:,} to {few:,}, worst of {len(growth)} rows ({worst})",
        growth[worst],
        at_most=AT_MOST,
    )
    return found


async def _compare_with_plain(
    bench: Bench,
    title: str,
    engines: dict[int, Holding],
    operations: dict[str, tuple[Operation, Operation]],
) -> Found:
    """Measure each beside its plain structure; a table and a target."""
    few, *_, many = engines
    found: Found = {}
    growth = {}
    rows: list[tuple[object, ...]] = []
    for name, (operation, plain) in operations.items():
        samples = {
            f"{name}, {size:,} held": _sampling(operation, engine, bench.pick(1, 3))
            for size, engine in engines.items()
        }
        for size in (few, many):
            samples[f"its plain structure, {size:,} held"] = _sampling(
                plain, engines[size], bench.pick(1, 3)
            )
        measured = await bench.measure(
            f"{title}: {name}, µs", samples, bench.pick(1, 5, 15)
        )
        *figures, plain_few, plain_many = measured.values()
        found[name] = figures

        medians = [figure.median for figure in figures]
        grown = medians[-1] - medians[0]
        plain_grown = plain_many.median - plain_few.median
        allowed = max(
            (AT_MOST - 1) * medians[0],
            AT_MOST_OF_PLAIN * plain_grown,
        )
        growth[name] = grown / allowed
        row = (
            name,
            *medians,
            grown,
            plain_grown,
            allowed,
            str(plain.__doc__).rstrip("."),
        )
        rows.append(row)

    header = [
        "µs",
        *(f"{size:,}" for size in engines),
        "grows by",
        "the plain structure by",
        "allowed",
        "that structure",
    ]
    bench.table(title, header, rows)
    worst = max(growth, key=growth.__getitem__)
    bench.target(
        f"{title}: growth from {few:,} to {many:,}, of what is allowed, worst of "
        f"{len(growth)} rows ({worst})",
        growth[worst],
        at_most=1,
    )
    return found


async def _measure(
    bench: Bench,
    title: str,
    engines: dict[int, Holding],
    operations: dict[str, Operation],
) -> Found:
    """Each operation on each engine in turn: a table."""
    found = {}
    rows: list[tuple[object, ...]] = []
    for name, operation in operations.items():
        samples = {
            f"{name}, {size:,} held": _sampling(operation, engine, bench.pick(1, 3))
            for size, engine in engines.items()
        }
        measured = await bench.measure(
            f"{title}: {name}, µs", samples, bench.pick(1, 5, 15)
        )
        figures = list(measured.values())
        found[name] = figures

        most = figures[-1]
        row = (
            name,
            *(figure.median for figure in figures),
            most.ratio,
            most.spread,
        )
        rows.append(row)

    few, *_, many = engines
    header = [
        "µs",
        *(f"{size:,}" for size in engines),
        f"{many:,} to {few:,}",
        "its quartiles",
    ]
    bench.table(title, header, rows)
    return found


def _sampling(operation: Operation, engine: Holding, repeats: int) -> Sample:
    async def sample() -> float:
        costs = []
        for _ in range(repeats):
            costs.append(await operation(engine))
            engine.settle()
        return statistics.median(costs)

    return sample


# Memory


async def _memory(bench: Bench, count: int) -> None:
    """What a finished task takes, by tracemalloc.

    Its parameters and its result are the user's own.
    """
    bench.say(f"{count:,} tasks are completed, memory traced")
    settings = Settings(
        queue_size=count,
        max_tasks=2 * count,
        rate_limit=None,
        work_scale=0,
    )
    async with TaskManager(settings) as manager:
        # Whatever is made once is there.
        await held.fill(manager, BATCH)
        tracemalloc.start()
        try:
            before = _traced()
            parameters = [
                SUBMISSION.validate_python(held.SUM).parameters for _ in range(count)
            ]
            of_parameters = (_traced() - before - sys.getsizeof(parameters)) / count

            before = _traced()
            results = [dict(load.RESULT) for _ in range(count)]
            of_result = (_traced() - before - sys.getsizeof(results)) / count

            before = _traced()
            ids = await held.fill(manager, count)
            total = (_traced() - before - sys.getsizeof(ids)) / count
        finally:
            tracemalloc.stop()

        bench.check(
            all(manager.get(task_id).result == load.RESULT for task_id in ids),
            "a task has not its result",
        )

    rest = total - of_parameters - of_result
    bench.table(
        f"Memory of a finished compute_sum task of three numbers, over {count:,} of "
        "them",
        ["", "bytes"],
        [
            ("in all", total),
            ("its parameters", of_parameters),
            ("its result", of_result),
            ("the rest", rest),
        ],
    )
    bench.target(
        "Memory of a finished task beyond parameters and result, bytes",
        rest,
        at_most=1024,
    )


def _traced() -> int:
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    return size
