"""Where the work is done.

What the environment may ask for, what a lost executor means, processes
of our own, and Dask on real clusters.

The clusters are of processes on this machine; every wait is bounded.
What runs there notes its beginnings and ends in a file, since a future
that says "cancelled" says nothing about the work.
"""

import asyncio
import contextlib
import multiprocessing
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from pickle import PicklingError
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import Mock

import pytest

from benchmarks.load import environment
from taskmanager import api, errors, executors, manager, sieve
from taskmanager.executors import (
    Child,
    ProcessExecutor,
    new_executor,
    shut_down,
    when_orphaned,
)
from taskmanager.settings import Settings, SettingsError
from tests.helpers import (
    PRIMES,
    SUM,
    Server,
    managing,
    project_root,
    serving,
    settle,
)

LOST = {
    "code": "executor_lost",
    "message": "Whoever did the work is gone; submit the task again.",
}


def from_env(environ: dict[str, str]) -> Executor:
    return new_executor(Settings.from_env(environ))


def primes(limit: int) -> dict[str, Any]:
    return PRIMES | {"parameters": {"limit": limit}}


async def until(holds: Callable[[], object], seconds: float = 20) -> float:
    """Wait until this holds; how long it took.

    Fails after ``seconds``.
    """
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < seconds
        await asyncio.sleep(0.01)

    return time.monotonic() - begun


# What the environment says


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "process",
        " Process ",
    ],
)
def test_by_default_the_engine_has_its_own_processes(text: str) -> None:
    assert isinstance(from_env({}), ProcessExecutor)

    unused = {"TASKMANAGER_DASK_SCHEDULER": "tcp://unused:1"}
    executor = from_env({"TASKMANAGER_EXECUTOR": text} | unused)
    assert isinstance(executor, ProcessExecutor)


async def test_threads_do_the_work() -> None:
    executor = from_env({"TASKMANAGER_EXECUTOR": "thread"})
    assert type(executor) is ThreadPoolExecutor

    with executor:
        async with managing(executor) as manager:
            task = manager.submit(PRIMES)
            await manager.wait(task.task_id, since=2)
            assert task.result == {"count": 25}


def test_of_threads_there_is_one_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    let_go = threading.Event()

    def name_of_the_thread() -> str:
        assert let_go.wait(20)
        return threading.current_thread().name

    with from_env({"TASKMANAGER_EXECUTOR": "thread"}) as executor:
        futures = [executor.submit(name_of_the_thread) for _ in range(20)]
        let_go.set()
        names = {future.result(20) for future in futures}

    assert names <= {"work_0", "work_1"}


def test_another_executor_is_refused_in_one_line() -> None:
    with pytest.raises(SettingsError) as refused:
        from_env({"TASKMANAGER_EXECUTOR": "celery"})
    assert (
        str(refused.value)
        == "TASKMANAGER_EXECUTOR must be process, thread or dask; got 'celery'"
    )


@pytest.mark.parametrize(
    "text",
    [
        "host:8786",
        "tcp://host",
        "tcp://:8786",
        "tcp://host:x",
        "tcp://host:70000",
        "http://host:1",
        "tcp://h:1/",
    ],
)
def test_another_address_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        from_env({"TASKMANAGER_EXECUTOR": "dask", "TASKMANAGER_DASK_SCHEDULER": text})
    assert (
        str(refused.value)
        == f"TASKMANAGER_DASK_SCHEDULER must be tcp://host:port; got {text!r}"
    )


def test_without_dask_the_refusal_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # An import of it fails now.
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "taskmanager.dask_executor", raising=False)
    with pytest.raises(SettingsError) as refused:
        from_env({"TASKMANAGER_EXECUTOR": "dask"})

    install = "pip install -r taskmanager/requirements-dask.txt"
    assert (
        str(refused.value) == f"TASKMANAGER_EXECUTOR=dask needs distributed: {install}"
    )


# What the engine makes of an executor that was handed in


class Broken(Executor):
    """Loses all that it is given."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.lost = False

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_exception(self.error)
        return future


@pytest.mark.parametrize(
    "error", [BrokenExecutor("secret"), BrokenProcessPool("secret")]
)
async def test_a_task_whose_executor_is_lost_says_so_and_other_tasks_go_on(
    error: Exception,
) -> None:
    async with managing(Broken(error)) as manager:
        lost = manager.submit(PRIMES)
        other = manager.submit(SUM)
        await manager.wait(lost.task_id, since=2)
        await manager.wait(other.task_id, since=2)
        assert lost.error == LOST
        assert other.result == {"sum": 6}


async def test_health_is_degraded_while_the_executor_is_lost() -> None:
    executor = Broken(BrokenExecutor())
    async with serving(executor) as client:
        turns = [(False, 200, "ok"), (True, 503, "degraded"), (False, 200, "ok")]
        for lost, status_code, status in turns:
            executor.lost = lost
            answer = await client.get("/health")
            assert answer.status_code == status_code
            assert answer.json()["status"] == status


class Noting(ThreadPoolExecutor):
    """Notes its start and its end."""

    def __init__(self, log: list[str]) -> None:
        super().__init__(1)
        self.log = log

    def __enter__(self) -> "Noting":
        self.log.append("executor starts")
        return self

    def shutdown(self, *args: Any, **kwargs: Any) -> None:
        self.log.append("executor ends")
        super().shutdown(*args, **kwargs)


async def test_the_application_starts_and_ends_the_executor_of_its_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: list[str] = []
    monkeypatch.setattr(manager.executors, "new_executor", lambda settings: Noting(log))
    app = api.create_app(Settings(executor="thread"))
    assert log == []

    async with app.router.lifespan_context(app):
        task = app.state.manager.submit(PRIMES)
        await app.state.manager.wait(task.task_id, since=2)
        assert task.result == {"count": 25}
        assert log == ["executor starts"]

    assert log == ["executor starts", "executor ends"]


async def test_an_executor_that_was_handed_in_stays_the_callers() -> None:
    log: list[str] = []
    executor = Noting(log)
    async with serving(executor) as client:
        assert (await client.get("/health")).status_code == 200

    assert log == []
    executor.shutdown()


def test_an_application_that_lacks_its_executor_is_not_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "taskmanager.dask_executor", raising=False)
    with pytest.raises(SettingsError, match="needs distributed"):
        api.create_app(Settings(executor="dask"))


async def test_what_waits_for_the_executor_is_dropped_at_the_end() -> None:
    class Ended(Executor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            self.how = {"wait": wait, "cancel_futures": cancel_futures}

    executor = Ended()
    await shut_down(executor)
    assert executor.how == {"wait": True, "cancel_futures": True}


async def test_without_threads_the_end_needs_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As in a browser.
    monkeypatch.delattr(threading.Thread, "start")
    await shut_down(ProcessExecutor())


def test_dask_gets_the_scheduler_of_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = SimpleNamespace(DaskExecutor=lambda scheduler: ("dask", scheduler))
    monkeypatch.setitem(sys.modules, "taskmanager.dask_executor", fake)
    settings = Settings(executor="dask", dask_scheduler="tcp://10.0.0.1:8786")
    assert new_executor(settings) == ("dask", "tcp://10.0.0.1:8786")


# Own processes

# A call that notes which process does it, and lasts until it is let go.
HELD = """
import os, pathlib, time
folder = pathlib.Path({folder!r})
(folder / "{name} begun").write_text(str(os.getpid()))
while not (folder / "{name} let go").exists():
    time.sleep(0.005)
"""


def posix(test: Any) -> Any:
    """For tests that kill processes, and take their time."""
    windows = pytest.mark.skipif(
        sys.platform == "win32", reason="kills processes with POSIX signals"
    )
    return pytest.mark.slow(windows(test))


class Held:
    """Calls that last until they are let go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def call(self, name: str) -> tuple[Any, ...]:
        """A function that needs no import there, and its arguments."""
        return exec, HELD.format(folder=str(self.folder), name=name), {}

    def begun(self) -> dict[str, int]:
        """The names of those that have begun, with their processes."""
        found = {}
        for path in self.folder.glob("* begun"):
            text = path.read_text(encoding="utf-8")
            if text:
                name, _, _ = path.name.partition(" ")
                found[name] = int(text)
        return found

    def let_go(self, *names: str) -> None:
        for name in names:
            (self.folder / f"{name} let go").touch()


@pytest.fixture
def calls(tmp_path: Path) -> Held:
    return Held(tmp_path)


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessExecutor]:
    """An executor of two processes."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    executor = ProcessExecutor()
    yield executor
    executor.shutdown(cancel_futures=True)


@pytest.mark.slow
def test_own_processes_answer_with_results_and_errors(two: ProcessExecutor) -> None:
    assert two.submit(int, "10", base=8).result(20) == 8
    assert two.submit(os.getpid).result(20) != os.getpid()

    with pytest.raises(ZeroDivisionError) as raised:
        two.submit(divmod, 1, 0).result(20)
    # For the log: where that was, in the other process.
    assert "ZeroDivisionError" in str(raised.value.__cause__)

    # What cannot be sent there, and what cannot be sent back.
    for function in (lambda: None, threading.Lock):
        with pytest.raises((AttributeError, TypeError, PicklingError)):
            two.submit(function).result(20)
    assert two.submit(int, "7").result(20) == 7

    # Those who look at the threads see what they are for.
    names = {thread.name for thread in threading.enumerate()}
    assert names & {"process_0", "process_1"}
    # The interpreter's end is theirs, should nobody shut this down.
    assert all(child.daemon for child in multiprocessing.active_children())


class ChildInThisProcess(Child):
    """Does what its process would do here, until a call ends it."""

    def start(self) -> None:
        with pytest.raises(SystemExit):
            self.run()


def test_what_a_process_of_the_executor_does(monkeypatch: pytest.MonkeyPatch) -> None:
    orphaned: list[tuple[Any, ...]] = []
    monkeypatch.setattr(executors, "when_orphaned", lambda *call: orphaned.append(call))
    # The calls stand in the pipe before it begins.
    ours, its = multiprocessing.Pipe()
    monkeypatch.setattr(multiprocessing, "Pipe", lambda: (ours, its))
    for call in (
        partial(int, "7", base=8),
        partial(divmod, 1, 0),
        partial(signal.getsignal, signal.SIGINT),
        sys.exit,
    ):
        ours.send(call)

    before = signal.getsignal(signal.SIGINT)
    try:
        ChildInThisProcess()
    finally:
        signal.signal(signal.SIGINT, before)

    assert ours.recv() == (7, "")
    error, trace = ours.recv()
    assert type(error) is ZeroDivisionError
    assert "ZeroDivisionError" in trace
    assert ours.recv() == (signal.SIG_IGN, "")
    # Of the call that ends the process there is no answer.
    with pytest.raises(EOFError):
        ours.recv()
    # It ends with the process that has started it.
    assert orphaned == [(os._exit, 1)]


def test_where_neither_threads_nor_processes_can_be_started_that_is_said(
    two: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_more = Mock(side_effect=RuntimeError)
    with monkeypatch.context() as patch:
        patch.setattr(executors, "Child", no_more)
        with pytest.raises(errors.TaskFailedError, match=r"^No process could be"):
            two.submit(int).result(20)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", no_more)
    with pytest.raises(errors.TaskFailedError, match="a browser has none"):
        two.submit(int)


async def test_at_the_end_what_runs_is_killed_and_what_waits_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    receiving = threading.Event()
    killed = threading.Event()

    def receive() -> None:
        receiving.set()
        killed.wait(5)
        raise EOFError

    child = Mock(exitcode=-9)
    child.pipe.recv = receive
    child.kill = killed.set
    monkeypatch.setattr(executors, "Child", lambda: child)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    executor = ProcessExecutor()
    runs = executor.submit(int)
    waits = executor.submit(int)
    assert receiving.wait(20)

    await shut_down(executor)
    assert waits.cancelled()
    with pytest.raises(RuntimeError, match="code -9"):
        runs.result(20)


@pytest.mark.parametrize(
    ("exitcode", "error", "message"),
    [
        (1, errors.TaskFailedError, r"^No process could be started .*=thread\.$"),
        (-9, RuntimeError, "^the process that did this ended with code -9$"),
    ],
)
def test_a_process_that_ends_says_why(
    two: ProcessExecutor,
    monkeypatch: pytest.MonkeyPatch,
    exitcode: int,
    error: type[Exception],
    message: str,
) -> None:
    pipe = Mock()
    pipe.recv.side_effect = EOFError
    monkeypatch.setattr(executors, "Child", lambda: Mock(pipe=pipe, exitcode=exitcode))
    with pytest.raises(error, match=message):
        two.submit(int).result(20)


@posix
async def test_what_waits_for_a_process_is_not_handed_out(
    two: ProcessExecutor, calls: Held
) -> None:
    names = ["a", "b", "c", "d", "e"]
    futures = {name: two.submit(*calls.call(name)) for name in names}
    await until(lambda: len(calls.begun()) == 2)
    cancelled = {name for name in names if futures[name].cancel()}
    assert cancelled == {"c", "d", "e"}

    last = two.submit(*calls.call("last"))
    calls.let_go("a", "b", "last")
    await until(last.done)
    assert calls.begun().keys() == {"a", "b", "last"}


@posix
@pytest.mark.parametrize("how", ["cancel", "stop"])
async def test_of_what_is_cancelled_no_other_segment_begins(
    two: ProcessExecutor, calls: Held, handle_with: Any, how: str
) -> None:
    async def segments(task_type: str, parameters: Any, tools: Any) -> Any:
        for index in range(10):
            await tools.in_executor(*calls.call(f"{parameters.limit}-{index}"))

    handle_with(segments)
    async with managing(two) as manager:
        tasks = [manager.submit(primes(limit)) for limit in range(5)]
        await until(lambda: len(calls.begun()) == 2)

        if how == "stop":
            manager.begin_stop()
        else:
            for task in tasks:
                manager.cancel(task.task_id)
        await settle()
        before = calls.begun().keys()

        # The processes are free for the next.
        last = two.submit(*calls.call("last"))
        calls.let_go(*before, "last")
        await until(last.done)
        assert calls.begun().keys() == before | {"last"}


@posix
async def test_a_killed_process_costs_the_call_that_it_was_at_and_no_other(
    two: ProcessExecutor, calls: Held
) -> None:
    ill_fated = two.submit(*calls.call("ill-fated"))
    lucky = two.submit(*calls.call("lucky"))
    waiting = two.submit(int, "7")
    await until(lambda: len(calls.begun()) == 2)

    os.kill(calls.begun()["ill-fated"], signal.SIGKILL)
    with pytest.raises(RuntimeError, match="ended with code -9"):
        ill_fated.result(20)
    assert waiting.result(20) == 7

    calls.let_go("lucky")
    assert lucky.result(20) is None


@posix
async def test_a_process_that_is_killed_while_it_waits_costs_nothing(
    two: ProcessExecutor,
) -> None:
    first = two.submit(os.getpid).result(20)
    os.kill(first, signal.SIGKILL)
    await until(lambda: not multiprocessing.active_children())
    assert two.submit(os.getpid).result(20) != first


@posix
async def test_ctrl_c_reaches_no_process_of_the_executor(
    two: ProcessExecutor, calls: Held
) -> None:
    future = two.submit(*calls.call("a"))
    await until(calls.begun)
    os.kill(calls.begun()["a"], signal.SIGINT)
    calls.let_go("a")
    assert future.result(20) is None


@posix
async def test_a_shutdown_ends_what_is_under_way_and_begins_nothing(
    two: ProcessExecutor, calls: Held
) -> None:
    names = ["a", "b", "c"]
    futures = [two.submit(*calls.call(name)) for name in names]
    await until(lambda: len(calls.begun()) == 2)

    two.shutdown(cancel_futures=True)
    assert not multiprocessing.active_children()
    *under_way, waiting = futures
    for future in under_way:
        assert isinstance(future.exception(0), RuntimeError)
    assert waiting.cancelled()
    with pytest.raises(RuntimeError):
        two.submit(int)


@posix
def test_a_shutdown_ends_a_process_that_it_has_not_seen_start(
    two: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Child.start

    def shut_down_meanwhile(child: Child) -> None:
        start(child)
        two.shutdown(wait=False, cancel_futures=True)

    monkeypatch.setattr(Child, "start", shut_down_meanwhile)
    future = two.submit(time.sleep, 60)
    assert isinstance(future.exception(20), RuntimeError)
    two.shutdown()
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_shutdown_that_cancels_nothing_waits_for_all(two: ProcessExecutor) -> None:
    with two:
        futures = [two.submit(int, str(number)) for number in range(10)]

    assert [future.result(0) for future in futures] == list(range(10))
    assert not multiprocessing.active_children()


KILLING = """
import multiprocessing, os, signal, sys, time
from taskmanager.executors import ProcessExecutor

if __name__ == "__main__":
    executor = ProcessExecutor()
    for number in range(10):
        # Nobody keeps the future.
        executor.submit(time.sleep, 0.2)
        time.sleep(0.03 * number)
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)

    executor.submit(time.sleep, 0.2)
"""


@posix
def test_an_interpreter_ends_though_processes_died_while_others_started(
    tmp_path: Path,
) -> None:
    program = tmp_path / "killing.py"
    program.write_text(KILLING, encoding="utf-8")
    environ = environment() | {"PYTHONPATH": str(project_root())}
    subprocess.run([sys.executable, program], env=environ, check=True, timeout=30)


def in_a_daemon(pipe: Any) -> None:
    """What a server's worker does that is a daemon."""
    with ProcessExecutor() as executor:
        pipe.send(executor.submit(os.getppid).result(20))


@pytest.mark.slow
def test_a_worker_of_a_server_that_is_a_daemon_starts_processes() -> None:
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    worker = context.Process(target=in_a_daemon, args=(its,), daemon=True)
    worker.start()
    its.close()
    assert ours.poll(20)
    assert ours.recv() == worker.pid
    worker.join(20)
    assert worker.exitcode == 0


# When the process that started this one has ended


def test_who_was_started_by_nobody_of_ours_waits_for_nobody() -> None:
    before = threading.active_count()
    when_orphaned(pytest.fail, "called")
    assert threading.active_count() == before


def test_the_end_of_the_parent_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    parent = SimpleNamespace(join=ended.wait)
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: parent)
    called: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()

    def call(text: str) -> None:
        called.put((text, threading.current_thread().daemon))

    when_orphaned(call, "called")
    assert called.empty()
    ended.set()
    # Who ends before the parent does not wait for its end.
    is_daemon = True
    assert called.get(timeout=20) == ("called", is_daemon)


# Dask


def dask(test: Any) -> Any:
    """For tests that start a Dask cluster, which takes its time.

    Where Dask is not installed they are skipped.
    """
    install = "pip install -r taskmanager/requirements-dask.txt"
    skip = pytest.mark.skipif(
        find_spec("distributed") is None,
        reason=f"Dask is not installed: {install}",
    )
    windows = pytest.mark.skipif(
        sys.platform == "win32", reason="kills processes with POSIX signals"
    )
    return pytest.mark.slow(pytest.mark.dask(skip(windows(test))))


class Segment(NamedTuple):
    """Which process works at which segment of which task."""

    process_id: int
    limit: int
    index: int


class Notes:
    """What segments did, by their notes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def lines(self, kind: str) -> list[Segment]:
        text = self.path.read_text(encoding="utf-8")
        found = re.findall(rf"^{kind} (\d+) (\d+) (\d+)$", text, re.MULTILINE)
        return [Segment(*map(int, numbers)) for numbers in found]

    @property
    def running(self) -> list[Segment]:
        left = Counter(self.lines("begin")) - Counter(self.lines("end"))
        return list(left.elements())


# Numbers a segment, in these tests.
TEN = 10


def brute_force(numbers: range) -> int:
    return sum(
        number > 1 and all(number % divisor for divisor in range(2, number))
        for number in numbers
    )


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[float], Notes]:
    """Makes a segment ten numbers, which takes so long and notes it."""
    path = tmp_path / "notes"
    size = TEN

    def take(seconds: float) -> Notes:
        # Inner functions are sent whole: workers need not import this.
        def segment(index: int, limit: int) -> int:
            with path.open("a", buffering=1, encoding="utf-8") as file:
                file.write(f"begin {os.getpid()} {limit} {index}\n")
                time.sleep(seconds)
                file.write(f"end {os.getpid()} {limit} {index}\n")

            numbers = range(max(2, index * size), min((index + 1) * size, limit + 1))
            return sum(
                all(number % divisor for divisor in range(2, number))
                for number in numbers
            )

        monkeypatch.setattr(sieve, "SEGMENT", size)
        monkeypatch.setattr(sieve, "count_segment", segment)
        return Notes(path)

    return take


@pytest.fixture(scope="module")
def local() -> Iterator[Any]:
    """An executor on a cluster of its own, with a process a core."""
    executor = from_env({"TASKMANAGER_EXECUTOR": "dask"})
    assert executor is not None

    with executor:
        assert not executor.lost  # type: ignore[attr-defined]
        yield executor


def held(executor: Any) -> dict[str, str]:
    """The state of each piece of work that the scheduler knows.

    It is that of a cluster of our own.
    """

    async def look() -> dict[str, str]:
        tasks = executor._client.cluster.scheduler.tasks
        return {key: task.state for key, task in tasks.items()}

    return asyncio.run_coroutine_threadsafe(look(), executor._loop).result(5)


@dask
async def test_the_work_is_done_in_processes_of_the_cluster(local: Any) -> None:
    assert local.submit(os.getpid).result(20) != os.getpid()
    with pytest.raises(ZeroDivisionError):
        local.submit(divmod, 1, 0).result(20)

    async with managing(local) as manager:
        task = manager.submit(primes(1_000_000))
        await until(lambda: task.finished)
        assert task.result == {"count": 78_498}
        assert task.progress == 100


@dask
async def test_a_cancelled_task_ends_on_the_cluster_with_the_segment_under_way(
    local: Any, noted: Any
) -> None:
    notes = noted(0.2)
    async with managing(local) as manager:
        task = manager.submit(primes(100 * TEN))
        await until(lambda: len(notes.lines("end")) >= 2 and notes.running)

        manager.cancel(task.task_id)
        begun = len(notes.lines("begin"))
        await until(lambda: not notes.running, 5)
        # There is time for three more.
        await asyncio.sleep(0.6)
        assert len(notes.lines("begin")) == len(notes.lines("end")) == begun < 100
        assert held(local) == {}


@dask
async def test_cancelled_segments_that_wait_on_the_cluster_never_begin(
    local: Any, noted: Any
) -> None:
    notes = noted(1)
    count = 4 * (os.cpu_count() or 1)
    async with managing(local, workers=count) as manager:
        tasks = [manager.submit(primes(0)) for _ in range(count)]
        await until(lambda: len(held(local)) == count and notes.running)
        for task in tasks:
            manager.cancel(task.task_id)

        begun = len(notes.lines("begin"))
        assert begun < count / 2

        await until(lambda: not notes.running and not held(local), 10)
        # There is time for the next ones to begin.
        await asyncio.sleep(0.3)
        assert len(notes.lines("begin")) == begun


@dask
async def test_a_cancelled_task_takes_no_equal_one_with_it(
    local: Any, noted: Any
) -> None:
    noted(0.2)
    async with managing(local) as manager:
        tasks = [manager.submit(primes(3 * TEN)) for _ in range(3)]
        await until(lambda: held(local) and all(task.started_at for task in tasks))

        _, middle, _ = tasks
        manager.cancel(middle.task_id)
        await until(lambda: all(task.finished for task in tasks))
        assert [task.result for task in tasks] == [{"count": 10}, None, {"count": 10}]


@dask
async def test_a_killed_worker_costs_no_task_and_no_result(
    local: Any, noted: Any
) -> None:
    notes = noted(0.1)
    limits = range(TEN, 3 * TEN)
    async with managing(local) as manager:
        tasks = [manager.submit(primes(limit)) for limit in limits]
        await until(lambda: len(notes.lines("end")) >= 5)
        await until(lambda: notes.running)

        victim = notes.running[-1]
        os.kill(victim.process_id, signal.SIGKILL)
        await until(lambda: all(task.finished for task in tasks))
        assert [task.result for task in tasks] == [
            {"count": brute_force(range(limit + 1))} for limit in limits
        ]

    again = Counter((segment.limit, segment.index) for segment in notes.lines("begin"))
    # One was killed in the middle.
    assert max(again.values()) == 2
    assert not local.lost


@dask
def test_a_connection_is_lost_while_it_closes_even_if_it_comes_back_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closing = threading.Event()
    seen = threading.Event()

    class Client:
        """As a real one does when its scheduler is back just then."""

        def __init__(self, *args: object, **settings: object) -> None:
            self.scheduler = self
            self.status = "newly-created"

        async def __aenter__(self) -> "Client":
            self.status = "running"
            return self

        async def identity(self, n_workers: int) -> None:
            self.status = "connecting"

        async def __aexit__(self, *error: object) -> None:
            self.status = "running"
            closing.set()
            await asyncio.to_thread(seen.wait, 5)

    monkeypatch.setattr("taskmanager.dask_executor.Client", Client)
    monkeypatch.setattr("taskmanager.dask_executor.CHECK", 0.01)
    executor: Any = from_env(
        {
            "TASKMANAGER_EXECUTOR": "dask",
            "TASKMANAGER_DASK_SCHEDULER": "tcp://127.0.0.1:1",
        }
    )

    with executor:
        assert closing.wait(5)
        assert executor.lost

        seen.set()


CLUSTER = """
import sys
from distributed import LocalCluster
with LocalCluster(
    n_workers=1,
    threads_per_worker=1,
    scheduler_port=int(sys.argv[1]),
    dashboard_address="127.0.0.1:0",
):
    print("up", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def elsewhere(port: int) -> Iterator["subprocess.Popen[str]"]:
    """A scheduler and a worker of others, though on this machine."""
    environ = environment() | {"PYTHONPATH": str(project_root())}
    command = [sys.executable, "-c", CLUSTER, str(port)]

    with subprocess.Popen(
        command,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            yield process
        finally:
            # Its workers end with it.
            process.kill()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        _, port = found.getsockname()
        return int(port)


@dask
async def test_the_scheduler_goes_and_comes_back(noted: Any) -> None:
    notes = noted(0.2)
    port = free_port()
    executor: Any = from_env(
        {
            "TASKMANAGER_EXECUTOR": "dask",
            "TASKMANAGER_DASK_SCHEDULER": f"tcp://127.0.0.1:{port}",
        }
    )

    async def health() -> tuple[int, str]:
        answer = await client.get("/health")
        return answer.status_code, answer.json()["status"]

    async def submit(submission: dict[str, Any]) -> str:
        return str((await client.post("/tasks", json=submission)).json()["task_id"])

    async def end_of(task_id: str, seconds: float) -> Any:
        """The task, finished within these seconds."""
        begun = time.monotonic()
        task = {"finished_at": None, "version": 0}
        while task["finished_at"] is None:
            assert time.monotonic() - begun < seconds, task
            path = f"/tasks/{task_id}?wait=true&since={task['version']}"
            task = (await client.get(path)).json()

        return task

    async def connected() -> None:
        begun = time.monotonic()
        while await health() != (200, "ok"):
            assert time.monotonic() - begun < 15
            await asyncio.sleep(0.05)

        task = await end_of(await submit(primes(0)), 10)
        assert task["result"] == {"count": 0}, task

    async def under_way() -> str:
        before = len(notes.lines("end"))
        task_id = await submit(primes(100 * TEN))
        await until(lambda: len(notes.lines("end")) > before)
        return task_id

    async def is_lost() -> None:
        begun = time.monotonic()
        # A result that was being fetched may break a moment before.
        while await health() != (503, "degraded"):
            assert time.monotonic() - begun < 5
            await asyncio.sleep(0.01)

        refused = await submit(primes(0))
        assert (await end_of(refused, 5))["error"] == LOST
        assert (await end_of(await submit(SUM), 5))["result"] == {"sum": 6}

    with contextlib.ExitStack() as back:
        with executor:
            async with serving(executor, wait_timeout=1) as client:
                # It was not there yet.
                await is_lost()
                with elsewhere(port) as scheduler:
                    await connected()
                    task_id = await under_way()

                    # Its machine takes a connection, and answers
                    # nothing.
                    scheduler.send_signal(signal.SIGSTOP)
                    assert (await end_of(task_id, 12))["error"] == LOST
                    await is_lost()

                    scheduler.send_signal(signal.SIGCONT)
                    await connected()
                    task_id = await under_way()

                    scheduler.kill()
                    assert (await end_of(task_id, 10))["error"] == LOST
                    await is_lost()

                scheduler = back.enter_context(elsewhere(port))
                await connected()
                await under_way()
                stopping = time.monotonic()

        assert time.monotonic() - stopping < 4

        # One that was on its way to its worker still begins.
        await asyncio.sleep(0.5)
        await until(lambda: not notes.running, 5)

        # There is time for two more.
        begun = len(notes.lines("begin"))
        await asyncio.sleep(0.5)
        assert len(notes.lines("begin")) == begun

        # A cluster of others goes on.
        assert scheduler.poll() is None


@dask
@pytest.mark.parametrize(
    ("command", "number"),
    [
        (
            [
                "-m",
                "uvicorn",
                "main:app",
                "--port",
                "0",
            ],
            signal.SIGTERM,
        ),
        (["main.py", "127.0.0.1", "0"], signal.SIGINT),
    ],
)
def test_a_stop_with_a_task_on_a_cluster_of_its_own(
    command: list[str], number: int
) -> None:
    import psutil

    environ = environment(EXECUTOR="dask", RATE_LIMIT="off")

    with subprocess.Popen(
        [sys.executable, *command],
        cwd=project_root(),
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            server = Server(process)
            assert server.request("/health")["status"] == "ok"

            task = server.request("/tasks", primes(10**9))
            while task["progress"] == 0:
                task = server.request(f"/tasks/{task['task_id']}")

            workers = psutil.Process(process.pid).children(recursive=True)
            assert workers

            if number == signal.SIGINT:
                # The workers get it too, as with Ctrl-C.
                for worker in workers:
                    worker.send_signal(number)

            took = server.stop(number)
            # With the patience that Dask has by default, it is 5 s.
            assert took < 4, took
            _, alive = psutil.wait_procs(workers, timeout=5)
            assert alive == []

            output = "\n".join(server.lines)
            assert "Traceback" not in output, output
            assert "unknown setting" not in output, output
        finally:
            process.kill()


UNGUARDED = """
import asyncio
from taskmanager import Settings, TaskManager


async def main():
    async with TaskManager(Settings()) as manager:
        task = manager.submit(
            {"task_type": "count_primes", "parameters": {"limit": 1000}}
        )
        while not task.finished:
            await manager.wait(task.task_id, task.version)
        print(task.error)


asyncio.run(main())
"""


@pytest.mark.slow
def test_a_program_from_standard_input_is_told_that_no_process_can_start() -> None:
    done = subprocess.run(
        [sys.executable, "-"],
        input=UNGUARDED,
        cwd=project_root(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "'task_failed', 'message': 'No process could be started" in done.stdout
    assert "TASKMANAGER_EXECUTOR=thread" in done.stdout


@pytest.mark.slow
def test_a_program_that_its_processes_run_again_is_told_how_to_prevent_it(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program.py"
    program.write_text(UNGUARDED, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, program],
        env=environment() | {"PYTHONPATH": str(project_root())},
        capture_output=True,
        text=True,
        timeout=60,
    )
    told, ours = done.stdout.splitlines()
    assert "'task_failed', 'message': 'No process could be started" in told
    assert '`if __name__ == "__main__":`' in told
    # The program itself goes on as it should.
    assert ours == "None"
