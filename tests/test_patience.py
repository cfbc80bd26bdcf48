"""What hangs on virtual time is ended, and told where.

The limits are made short: what is tested is who is ended, not when.
"""

import asyncio
import contextlib
import os
import re
import signal
import sys
import threading
import time
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from notebooks import checks, lab, patience
from tests.helpers import catches_all, gives_way, never_awaits

# What takes real time here is the CPU that a learner's mistake takes.
pytestmark = pytest.mark.slow

SUM = {"task_type": "compute_sum", "parameters": {"numbers": [1, 2, 3]}}


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "WORK", 0.1)
    monkeypatch.setattr(patience, "IDLE", 0.1)
    monkeypatch.setattr(patience, "LOOK", 0.02)


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "WORK", 60)
    monkeypatch.setattr(patience, "IDLE", 60)


async def catches_everything() -> None:
    while True:
        with contextlib.suppress(Exception):
            await asyncio.sleep(0)  # catches


async def lets_time_pass_for_ever() -> None:
    while True:
        with contextlib.suppress(BaseException):
            await asyncio.sleep(1000)


async def leaves_one_behind() -> None:
    asyncio.create_task(gives_way())  # noqa: RUF006 (as a learner may)


async def works_in_a_task() -> None:
    await asyncio.create_task(gives_way())


async def waits_outside() -> None:
    while True:
        threading.Event().wait(0.01)  # waits outside


@pytest.mark.parametrize(
    ("function", "line"),
    [
        (gives_way, "await asyncio.sleep(0)  # gives way"),
        (never_awaits, "turns += 1  # works|while True:"),
        (
            catches_everything,
            "await asyncio.sleep(0)  # catches|with contextlib.suppress(Exception):",
        ),
        (
            catches_all,
            "await asyncio.sleep(0)  # catches all|"
            "with contextlib.suppress(BaseException):",
        ),
        (works_in_a_task, "await asyncio.sleep(0)  # gives way"),
        (waits_outside, "threading.Event().wait(0.01)  # waits outside"),
    ],
)
def test_it_is_ended_and_its_line_is_named(function: Any, line: str) -> None:
    with pytest.raises(lab.TimeStandsStillError) as raised:
        lab.run(function())

    assert any(f"`{each}`" in str(raised.value) for each in line.split("|"))
    # The next cell runs as if nothing had been.
    assert lab.run(asyncio.sleep(600, "slept")) == "slept"


def test_what_a_cell_has_left_behind_is_ended_in_the_next() -> None:
    lab.run(leaves_one_behind())
    with pytest.raises(lab.TimeStandsStillError, match="gives way"):
        lab.run(asyncio.sleep(600))
    assert lab.run(asyncio.sleep(600, "slept")) == "slept"


def test_what_goes_on_after_its_limit_is_ended() -> None:
    begun = lab.now()
    with pytest.raises(asyncio.TimeoutError, match="it waits for ever"):
        lab.run(lets_time_pass_for_ever(), limit=10)
    assert lab.now() - begun < 2 * patience.CLEAN_UP
    assert lab.run(asyncio.sleep(600, "slept")) == "slept"


def test_a_clean_up_after_the_limit_is_not_ended() -> None:
    cleaned_up: list[float] = []

    async def cleans_up() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            await asyncio.sleep(60)
            cleaned_up.append(lab.now())

    begun = lab.now()
    with pytest.raises(asyncio.TimeoutError, match="it waits for ever"):
        lab.run(cleans_up(), limit=10)
    assert cleaned_up == [begun + 70]


def test_what_waits_is_not_ended_with_what_does_not(app: Any) -> None:
    """The engine goes on when a cell was ended."""
    with pytest.raises(lab.TimeStandsStillError):
        lab.run(gives_way())

    async def ask() -> Any:
        client = lab.client(app)
        location = (await client.post("/tasks", json=SUM)).headers["location"]
        await asyncio.sleep(6)
        return (await client.get(location)).json()["status"]

    assert lab.run(ask()) == "completed"


def test_what_is_no_coroutine_is_told() -> None:
    async def has_a_yield() -> Any:
        yield 5

    for given, words in ((5, "Write async def"), (has_a_yield(), "yield in it")):
        with pytest.raises(TypeError, match=words):
            lab.run(given)


def test_run_inside_a_coroutine_is_told_to_await() -> None:
    async def runs_inside() -> None:
        lab.run(asyncio.sleep(1))

    with pytest.raises(RuntimeError, match="await the coroutine"):
        lab.run(runs_inside())


def test_work_that_is_long_and_lets_time_pass_is_not_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A busy machine makes it wait.
    monkeypatch.setattr(patience, "IDLE", 60)

    async def work() -> str:
        for _ in range(20):
            ends = time.thread_time() + 0.02
            while time.thread_time() < ends:
                pass
            await asyncio.sleep(1)
        return "done"

    assert lab.run(work()) == "done"


def test_a_sleep_that_stops_the_event_loop_is_refused() -> None:
    async def sleeps() -> None:
        time.sleep(600)  # noqa: ASYNC251 (it is what a learner may write)

    with pytest.raises(RuntimeError, match=r"await asyncio\.sleep"):
        lab.run(sleeps())


def test_other_threads_may_sleep() -> None:
    assert lab.run(asyncio.to_thread(time.sleep, 0.001)) is None


def pressed_within(run: Any, function: Any) -> None:
    """Press the stop button while ``run`` runs the coroutine."""
    begun = threading.Event()

    def press() -> None:
        begun.wait()
        os.kill(os.getpid(), signal.SIGINT)

    async def begin() -> None:
        begun.set()
        await function()

    button = threading.Thread(target=press)
    button.start()
    with pytest.raises(KeyboardInterrupt):
        run(begin())
    button.join()


@pytest.mark.parametrize("function", [gives_way, never_awaits, waits_outside])
def test_the_stop_button_ends_it(
    function: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_patient(monkeypatch)  # nothing but the button ends it
    pressed_within(lab.run, function)
    assert lab.run(asyncio.sleep(600, "slept")) == "slept"


@pytest.mark.parametrize("function", [gives_way, never_awaits, waits_outside])
def test_the_stop_button_ends_what_is_measured(
    function: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "UNWIND", 0.5)
    pressed_within(lab.measured, function)
    assert "real time" not in [thread.name for thread in threading.enumerate()]
    assert lab.measured(asyncio.sleep(0, "slept")) == "slept"


@pytest.mark.parametrize("function", [gives_way, never_awaits, waits_outside])
def test_the_stop_button_ends_what_a_server_runs_and_not_the_server(
    function: Any,
) -> None:
    app, done = slow_app()
    served = lab.Served(app)
    pressed_within(served.run, function)
    served.run(served.client.get("/"))
    assert done == ["the work"]
    served.stop()


def test_what_nothing_can_end_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "UNWIND", 0.05)
    ended = threading.Event()

    async def one_long_call() -> None:
        ended.wait()

    try:
        with pytest.raises(RuntimeError, match="restart the kernel"):
            lab.run(one_long_call())
        with pytest.raises(RuntimeError, match="restart the kernel"):
            lab.run(asyncio.sleep(1))
    finally:
        ended.set()

    for thread in threading.enumerate():
        if thread.name == "virtual time":
            thread.join(10)
    assert lab.run(asyncio.sleep(600, "slept")) == "slept"


async def poll_without_a_pause(client: Any) -> None:
    response = await client.post("/tasks", json=SUM)
    path = response.headers["location"]
    while response.json()["status"] != "completed":
        response = await client.get(path)


@pytest.fixture
def app() -> Any:
    app = lab.start(rate_limit=None)
    yield app
    lab.stop(app)


def test_who_polls_a_hundred_times_at_one_instant_is_told(
    app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_patient(monkeypatch)
    with pytest.raises(lab.TimeStandsStillError, match="asked a hundred times"):
        lab.run(poll_without_a_pause(lab.client(app)))


@pytest.mark.slow
def test_what_polls_on_all_the_same_is_ended(app: Any) -> None:
    client = lab.client(app)

    async def polls_on() -> None:
        while True:
            with contextlib.suppress(BaseException):
                await client.get("/tasks")  # polls on

    with pytest.raises(lab.TimeStandsStillError, match=r"polls on|suppress\("):
        lab.run(polls_on())
    assert lab.run(asyncio.sleep(600, "slept")) == "slept"


def test_what_is_frozen_into_python_is_not_the_learners() -> None:
    def frame_of(file: str) -> Any:
        names: dict[str, Any] = {"sys": sys}
        exec(compile("frame = sys._getframe()", file, "exec"), names)  # noqa: S102
        return names["frame"]

    assert not patience._is_theirs(frame_of("<frozen abc>"))
    assert patience._is_theirs(sys._getframe())


def test_who_polls_a_hundred_times_at_many_is_not(app: Any) -> None:
    async def poll() -> None:
        client = lab.client(app)
        for _ in range(300):
            await client.get("/tasks")
            await asyncio.sleep(0.1)

    lab.run(poll())


def test_a_check_says_what_a_learner_reads(capsys: pytest.CaptureFixture[str]) -> None:
    @checks.exercise("It ends.")
    def check(answer: Any) -> None:
        lab.run(answer())

    try:
        check(gives_way)
    finally:
        del checks.CHECKS["test_patience.check"]

    said = capsys.readouterr().out
    assert said.startswith("Not yet: no time passes: line ")


def test_a_check_that_never_ends_is_ended_and_its_line_is_named() -> None:
    def turns(answer: int) -> None:
        while True:
            answer += 1  # turns

    with pytest.raises(lab.TimeStandsStillError, match="it does not end: line") as told:
        patience.run_bounded(turns, 0)
    assert re.search(r"`(answer \+= 1  # turns|while True:)`", str(told.value))
    assert patience.run_bounded(str, 5) == "5"


def test_a_check_that_catches_what_ends_it_is_ended() -> None:
    times: list[float] = []

    def catches(answer: int) -> None:
        while True:
            with contextlib.suppress(BaseException):
                times.pop()

    with pytest.raises(lab.TimeStandsStillError, match="it does not end"):
        patience.run_bounded(catches, 0)


def test_a_check_does_not_sleep() -> None:
    with pytest.raises(RuntimeError, match="leave it out"):
        patience.run_bounded(lambda seconds: time.sleep(seconds), 600)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (SystemExit(), "it raises SystemExit."),
        (asyncio.TimeoutError(), "it raises TimeoutError."),
        (asyncio.CancelledError(), "it raises CancelledError"),
        (RuntimeError("cannot run from a running event loop"), "await the coroutine"),
    ],
)
def test_what_a_check_raises_is_told(error: BaseException, words: str) -> None:
    def check(answer: BaseException) -> None:
        raise answer

    complaint = checks._complaint(check, False, error)
    assert complaint is not None
    assert words in complaint


def test_a_check_is_not_ended_for_what_it_has_done_in_virtual_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "IDLE", 60)

    async def work() -> None:
        for _ in range(20):
            ends = time.thread_time() + 0.02
            while time.thread_time() < ends:
                pass
            await asyncio.sleep(1)

    assert patience.run_bounded(lambda _: lab.run(work()), None) is None


def slow_app() -> tuple[FastAPI, list[str]]:
    """An application that takes a while, and what it has done."""
    app = FastAPI()
    done: list[str] = []

    @app.get("/")
    async def work() -> None:
        await asyncio.sleep(0.2)
        done.append("the work")

    return app, done


async def give_up(client: httpx.AsyncClient) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(client.get("/"), 0.1)
    await asyncio.sleep(0.2)


@pytest.mark.parametrize("as_a_server", [False, True])
def test_an_application_works_on_where_the_lesson_says_so(as_a_server: bool) -> None:
    app, done = slow_app()
    lab.run(give_up(lab.client(app, as_a_server=as_a_server)))
    assert done == ["the work"] * as_a_server


@pytest.mark.slow
def test_a_real_server_works_on_when_its_client_has_gone() -> None:
    app, done = slow_app()
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        [listening] = server.servers[0].sockets
        host, port = listening.getsockname()

        async def ask() -> None:
            async with httpx.AsyncClient(base_url=f"http://{host}:{port}") as client:
                await give_up(client)

        asyncio.run(ask())
    finally:
        server.should_exit = True
        thread.join(10)
    assert done == ["the work"]


# What listens


def test_a_trace_that_nobody_holds_listens_no_longer() -> None:
    listening = len(lab.LOG.handlers)
    held = lab.Trace()
    lab.Trace()
    assert len(lab.LOG.handlers) == listening + 1
    change = {"task_id": "a", "from": "queued", "to": "cancelled", "seconds": 0.0}
    lab.LOG.info("changed", change)
    assert [span.then for span in held.of("queued")] == ["cancelled"]
