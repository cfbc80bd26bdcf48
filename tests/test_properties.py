"""The store with the queue, and the limiter, against plain models.

The models are lists and dicts, searched through at each step.

Hypothesis makes up the sequences of operations, and shortens the one
that fails. The default run makes up the same ones each time; `FUZZ=50
python -m pytest tests/test_properties.py` fifty times as many, and
others each time.
"""

import atexit
import math
import shutil
import tempfile
from collections.abc import Coroutine, Iterator
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from taskmanager import cleanup, store
from taskmanager.pending import HEAD_START, PendingQueue
from taskmanager.ratelimit import SlidingWindow
from taskmanager.task import TERMINAL, Task, TaskStatus
from taskmanager.task_types import Priority
from tests.helpers import budget, new_task

# They pick one of several, however many there are.
PICKS = st.integers(0, 99)
# As a clock of nanoseconds has them; st.floats() prefers round ones,
# whose sums are exact.
MOMENTS = st.integers(0, 60 * 10**9).map(lambda nanoseconds: nanoseconds / 1e9)
# In place of 128 tasks a page and 500 removals a sweep, so that short
# sequences need several.
FEW = 2

# Here Hypothesis keeps the tables that it makes for itself; without
# this, in the project.
home = tempfile.mkdtemp(prefix="hypothesis-")
set_hypothesis_home_dir(home)
atexit.register(shutil.rmtree, home, ignore_errors=True)


def result_of(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that has nothing to wait for."""
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value


def around(edge: float) -> list[float]:
    """The instant before ``edge``, ``edge``, and the one after it."""
    return [math.nextafter(edge, -math.inf), edge, math.nextafter(edge, math.inf)]


# A priority and an Idempotency-Key.
Submission: TypeAlias = tuple[Priority, str | None]


class Listing(NamedTuple):
    """A listing under way."""

    status: TaskStatus | None
    pages: Iterator[list[Task]]
    # What there was when it began.
    begun: dict[Task, TaskStatus]
    listed: list[Task]


class Records(RuleBasedStateMachine):
    """What a manager does to its store and queue, in any order."""

    submissions = st.lists(
        st.tuples(
            st.sampled_from(sorted(HEAD_START)),
            st.sampled_from([None, None, None, "a", "b"]),
        ),
        min_size=1,
        max_size=10,
    )

    @initialize(
        max_tasks=st.integers(1, 20),
        queue_size=st.integers(1, 20),
        retention=st.sampled_from([0, 10, 600]),
        submissions=submissions,
    )
    def start(
        self,
        max_tasks: int,
        queue_size: int,
        retention: int,
        submissions: list[Submission],
    ) -> None:
        self.max_tasks = max_tasks
        self.queue_size = queue_size
        self.retention = retention
        self.store = store.TaskStore(max_tasks)
        self.queue = PendingQueue(queue_size)
        self.clock = 1000.0
        self.listings: list[Listing] = []

        # The model: all in the order submitted, those that wait, and
        # the finished ones in the order finished.
        self.kept: dict[Task, TaskStatus] = {}
        self.waiting: list[Task] = []
        self.finished: list[Task] = []
        self.submit(submissions)

    def full(self) -> bool:
        return len(self.kept) == self.max_tasks and not self.finished

    def processing(self) -> list[Task]:
        return [
            task
            for task, status in self.kept.items()
            if status is TaskStatus.PROCESSING
        ]

    def forget_oldest(self) -> None:
        del self.kept[self.finished.pop(0)]

    def change(self, task: Task, status: TaskStatus) -> None:
        task.change_status(status, "", self.clock)
        self.kept[task] = status
        if status in TERMINAL:
            self.store.finished.append(task)
            self.finished.append(task)

    @rule(seconds=st.sampled_from([0.0, 30.0]) | st.floats(0, 100))
    def pass_time(self, seconds: float) -> None:
        self.clock += seconds

    @rule(submissions=submissions)
    def submit(self, submissions: list[Submission]) -> None:
        for priority, key in submissions:
            # The manager answers the task that has the key.
            if key in self.store.by_key:
                continue

            assert self.queue.full() == (len(self.waiting) == self.queue_size)
            assert self.store.has_room != self.full()
            if self.queue.full() or not self.store.has_room:
                return
            if len(self.kept) == self.max_tasks:
                self.forget_oldest()

            head_start = HEAD_START[priority]
            task = new_task(self.store.next_number, self.clock + head_start)
            task.expected_seconds = head_start + 0.1
            task.idempotency_key = key
            self.store.add(task)
            self.queue.put_nowait(task)
            self.kept[task] = TaskStatus.QUEUED
            self.waiting.append(task)

    @precondition(lambda self: self.waiting)
    @rule()
    def take(self) -> None:
        first = min(self.waiting, key=lambda task: task.place)
        self.waiting.remove(first)
        assert self.queue.get_nowait() is first
        self.change(first, TaskStatus.PROCESSING)

    @precondition(lambda self: self.waiting)
    @rule(pick=PICKS)
    def cancel(self, pick: int) -> None:
        task = self.waiting.pop(pick % len(self.waiting))
        self.queue.remove(task)
        self.change(task, TaskStatus.CANCELLED)

    @precondition(lambda self: self.processing())
    @rule(pick=PICKS, status=st.sampled_from(sorted(TERMINAL)))
    def finish(self, pick: int, status: TaskStatus) -> None:
        self.queue.task_done()
        processing = self.processing()
        self.change(processing[pick % len(processing)], status)

    @rule(pick=PICKS, seconds=st.floats(-700, 700))
    def sweep(self, pick: int, seconds: float) -> None:
        edges = [
            now
            for task in self.finished
            for now in around(task.status_since + self.retention)
        ]
        moments = [self.clock + seconds, *edges]
        now = moments[pick % len(moments)]

        due = sum(task.status_since + self.retention <= now for task in self.finished)
        assert cleanup.sweep(self.store, now, self.retention) == (due >= FEW)

        for _ in range(min(due, FEW)):
            self.forget_oldest()

    @rule(status=st.sampled_from([None, *TaskStatus]))
    def begin_listing(self, status: TaskStatus | None) -> None:
        pages = self.store.pages(status)
        self.listings.append(Listing(status, pages, dict(self.kept), []))

    @precondition(lambda self: self.listings)
    @rule(pick=PICKS)
    def read_a_page(self, pick: int) -> None:
        listing = self.listings[pick % len(self.listings)]
        self.go_on(listing, next(listing.pages, []))

    def go_on(self, listing: Listing, page: list[Task]) -> None:
        assert len(page) <= FEW

        # Each is as it is when it is reached.
        for task in page:
            assert task in self.kept
            assert listing.status in (None, self.kept[task])

        listing.listed.extend(page)
        # They are in the order submitted, none twice, and none that
        # came later.
        in_order = [task for task in listing.begun if task in listing.listed]
        assert listing.listed == in_order

    def teardown(self) -> None:
        """Read each listing to its end.

        Whatever was there all the time, with the status asked for, is
        on it.
        """
        for listing in self.listings:
            for page in listing.pages:
                self.go_on(listing, page)

            stayed = listing.begun.keys() & self.kept.keys()
            if listing.status is not None:
                stayed = {
                    task
                    for task in stayed
                    if listing.begun[task] is self.kept[task] is listing.status
                }
            assert stayed <= set(listing.listed)

    @invariant()
    def the_store_keeps_what_the_model_keeps(self) -> None:
        assert self.store.by_id == {task.task_id: task for task in self.kept}
        assert self.store.by_key == {
            task.idempotency_key: task for task in self.kept if task.idempotency_key
        }
        assert list(self.store.finished) == self.finished
        assert self.store.has_room != self.full()

        for status in [None, *TaskStatus]:
            listed = [task for page in self.store.pages(status) for task in page]
            kept = [task for task, now in self.kept.items() if status in (None, now)]
            assert listed == kept

    @invariant()
    def the_queue_is_in_order_of_place(self) -> None:
        in_order = sorted(self.waiting, key=lambda task: task.place)
        positions = [self.queue.position(task) for task in in_order]
        assert positions == list(range(self.queue.qsize()))

        seconds = sum(task.expected_seconds for task in in_order)
        assert math.isclose(self.queue.expected_seconds, seconds, abs_tol=1e-6)

        for task in self.kept.keys() - set(in_order):
            with pytest.raises(ValueError, match="is not waiting"):
                self.queue.position(task)

        if not self.waiting and not self.processing():
            result_of(self.queue.join())


@pytest.mark.slow
def test_the_store_and_the_queue_agree_with_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store, "PAGE", FEW)
    monkeypatch.setattr(cleanup, "BATCH", FEW)
    run_state_machine_as_test(Records, settings=budget(200, stateful_step_count=20))


class Limiter(RuleBasedStateMachine):
    """Requests at any time from some clients.

    Not all of them are remembered.
    """

    @initialize(
        limit=st.integers(1, 3),
        window=st.integers(1, 100),
        max_clients=st.integers(1, 3),
        clock=MOMENTS,
    )
    def start(self, limit: int, window: int, max_clients: int, clock: float) -> None:
        self.limit = limit
        self.window = window
        self.max_clients = max_clients
        self.clock = clock
        self.limiter = SlidingWindow(limit, window, max_clients)
        # The model: all that counts of the clients it remembers.
        self.accepted: list[tuple[str, float]] = []

    def times(self, client: str) -> list[float]:
        return [time for each, time in self.accepted if each == client]

    def clients(self) -> list[str]:
        """In the order of their last accepted request."""
        latest_first = [client for client, _ in reversed(self.accepted)]
        return list(reversed(dict.fromkeys(latest_first)))

    def forget(self, client: str) -> None:
        self.accepted = [(each, time) for each, time in self.accepted if each != client]

    @rule(pick=PICKS)
    def go_to_the_edge_of_a_window(self, pick: int) -> None:
        edges = [
            edge
            for _, time in self.accepted
            for edge in around(time + self.window)
            if edge >= self.clock
        ]
        if edges:
            self.clock = edges[pick % len(edges)]

    @rule(
        clients=st.text("abcd", min_size=1, max_size=6),
        seconds=st.integers(0, 30) | MOMENTS,
    )
    def hit(self, clients: str, seconds: float) -> None:
        for client in clients:
            self.clock += seconds
            self.hit_once(client)

    def hit_once(self, client: str) -> None:
        inside = [
            time for time in self.times(client) if time + self.window > self.clock
        ]
        allowed = len(inside) < self.limit
        if allowed:
            clients = self.clients()
            if client not in clients and len(clients) == self.max_clients:
                self.forget(clients[0])
            self.accepted.append((client, self.clock))
            inside.append(self.clock)

        decision = result_of(self.limiter.hit(client, self.clock))
        assert decision.allowed == allowed
        assert decision.remaining == self.limit - len(inside)
        assert 1 <= decision.reset <= self.window

        # To wait that long is enough, as floats go.
        oldest = inside[0]
        assert self.clock + decision.reset >= oldest + self.window
        # A second less is not.
        a_second_less = Fraction(self.clock) + decision.reset - 1
        assert a_second_less < Fraction(oldest) + self.window

    @rule(at_most=st.integers(1, 5))
    def forget_idle(self, at_most: int) -> None:
        idle = [
            client
            for client in self.clients()
            if self.times(client)[-1] + self.window <= self.clock
        ]
        assert self.limiter.forget_idle(self.clock, at_most) == min(at_most, len(idle))

        for client in idle[:at_most]:
            self.forget(client)

    @invariant()
    def it_holds_whom_the_model_holds(self) -> None:
        assert list(self.limiter._accepted) == self.clients()
        assert len(self.clients()) <= self.max_clients


@pytest.mark.slow
def test_the_limiter_agrees_with_counting() -> None:
    run_state_machine_as_test(Limiter, settings=budget(150, stateful_step_count=20))


@given(first=MOMENTS, seconds=st.integers(1, 30), window=st.integers(1, 100))
@budget(600)
def test_waiting_is_enough_where_sums_are_rounded(
    first: float, seconds: int, window: int
) -> None:
    limiter = Limiter()
    limiter.start(limit=1, window=window, max_clients=1, clock=first)
    limiter.hit("a", 0)
    limiter.hit("a", seconds)
