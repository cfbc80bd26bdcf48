"""The streams of tasks and of the board, and the page that shows it.

They are played over ASGI, where a reader may be slow or leave, and at
the end by a real server.
"""

import asyncio
import contextlib
import json
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from taskmanager import events, watch
from taskmanager.testing import run_in_virtual_time, scope_of
from tests.helpers import (
    SUM,
    UNKNOWN,
    Gate,
    Server,
    client_of,
    project_root,
    running,
    settle,
    uvicorn,
)

LIVE = project_root() / "taskmanager" / "live"


class Stream:
    """A stream that is being read, until its reader leaves."""

    def __init__(
        self, app: FastAPI, path: str, last_seen: str = "", address: str = "10.0.0.1"
    ) -> None:
        headers = [(b"host", b"x")]
        if last_seen:
            headers.append((b"last-event-id", last_seen.encode()))
        scope = scope_of("GET", path, client=address, headers=headers)
        self.gone = asyncio.Event()
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.ended = False
        self.serving = asyncio.create_task(app(scope, self.receive, self.send))

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = dict(message["headers"])
        else:
            self.body += message.get("body", b"")
            self.ended = not message.get("more_body")

    def states(self) -> list[tuple[str, int]]:
        tasks = [json.loads(line) for line in re.findall(rb"data: (.*)\n", self.body)]
        return [(task["status"], task["progress"]) for task in tasks]

    def last_id(self) -> str:
        *_, last = re.findall(rb"id: (.*)\n", self.body)
        return bytes(last).decode()

    async def leave(self) -> None:
        self.gone.set()
        await asyncio.wait_for(self.serving, 5)


@contextlib.asynccontextmanager
async def reading(app: FastAPI, *args: Any, **options: Any) -> AsyncIterator[Stream]:
    """A stream whose first event has come, if one is to come."""
    stream = Stream(app, *args, **options)
    await settle()
    try:
        yield stream
    finally:
        await stream.leave()


def path_of(task: Any) -> str:
    return f"/tasks/{task.task_id}/events"


async def test_a_stream_from_the_first_state_to_the_last(gate: Gate) -> None:
    async with running() as app:
        task = app.state.manager.submit(SUM)
        async with reading(app, path_of(task)) as stream:
            task.report_progress(50)
            await settle()
            assert not stream.ended
            gate.open(0)
            await settle()
            assert stream.ended

        assert stream.status == 200
        assert stream.headers[b"content-type"] == b"text/event-stream"
        assert stream.headers[b"cache-control"] == b"no-store"
        assert stream.headers[b"x-accel-buffering"] == b"no"
        assert stream.states() == [
            ("processing", 0),
            ("processing", 50),
            ("completed", 100),
        ]


async def test_a_stream_resumes_behind_the_event_that_was_seen_last(
    gate: Gate,
) -> None:
    async with running() as app:
        task = app.state.manager.submit(SUM)
        async with reading(app, path_of(task)) as first:
            task.report_progress(20)
            await settle()
        seen = first.last_id()

        async with reading(app, path_of(task), last_seen=seen) as second:
            assert second.status == 200
            assert second.body == events.COMMENT
            task.report_progress(30)
            await settle()
            assert second.states() == [("processing", 30)]

        # What was missed is told at once.
        async with reading(app, path_of(task), last_seen=seen) as third:
            assert third.states() == [("processing", 30)]


async def test_an_id_that_is_malformed_or_anothers_counts_as_none(gate: Gate) -> None:
    async with running() as app:
        task = app.state.manager.submit(SUM)
        other = app.state.manager.submit(SUM)
        await settle()
        ids = ("x", "2", "2-0", f"9-9-{task.task_id}", events.event_id(other), "\xff")
        for last_seen in ids:
            async with reading(app, path_of(task), last_seen=last_seen) as stream:
                assert stream.states() == [("processing", 0)], last_seen


async def test_after_the_final_event_there_is_nothing_which_is_free() -> None:
    async with running(rate_limit=3) as app, client_of(app) as client:
        task = (await client.post("/tasks", json=SUM)).json()
        path = f"/tasks/{task['task_id']}/events"
        answer = await client.get(path)
        *_, last = re.findall("id: (.*)\n", answer.text)

        for spelling in (path, path.replace(task["task_id"], task["task_id"].upper())):
            over = await client.get(spelling, headers={"Last-Event-ID": last})
            assert over.status_code == 204
            assert over.content == b""
            assert over.headers["ratelimit"].startswith('"default";r=1;')

        # An earlier one is told the end; that and a HEAD do count.
        earlier = {"Last-Event-ID": last.replace("3-100", "2-0")}
        answer = await client.get(path, headers=earlier)
        assert answer.status_code == 200
        assert answer.text.count("\ndata: ") == 1
        assert answer.headers["ratelimit"].startswith('"default";r=0;')

        for _ in range(2):
            over = await client.get(path, headers={"Last-Event-ID": last})
            assert over.status_code == 204
            assert over.headers["ratelimit"].startswith('"default";r=0;')
        answer = await client.head(path, headers={"Last-Event-ID": last})
        assert answer.status_code == 429


async def test_a_client_that_only_asks_for_what_is_over_is_forgotten() -> None:
    async with running(rate_limit=3) as app, client_of(app) as client:
        task = app.state.manager.submit(SUM)
        await settle()
        last = {"Last-Event-ID": events.event_id(task)}
        answer = await client.get(path_of(task), headers=last)
        assert answer.status_code == 204
        assert answer.headers["ratelimit"].startswith('"default";r=3;')
        assert app.state.limiter.forget_idle(time.monotonic(), 500) == 1


async def test_errors_are_those_of_the_task_itself() -> None:
    async with running(rate_limit=4) as app, client_of(app) as client:
        for path, status, code in (
            (f"/tasks/{UNKNOWN}/events", 404, "task_not_found"),
            ("/tasks/27/events", 400, "invalid_request"),
            (f"/tasks/{UNKNOWN}/events/", 404, "not_found"),
        ):
            answer = await client.get(path, headers={"Last-Event-ID": "3-100"})
            assert (answer.status_code, answer.json()["code"]) == (status, code)

        answer = await client.post(f"/tasks/{UNKNOWN}/events")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
        answer = await client.get(f"/tasks/{UNKNOWN}/events")
        assert answer.status_code == 429


async def test_streams_are_bounded_and_counted(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MOST_OF_A_CLIENT", 2)
    async with (
        running(max_streams=3) as app,
        client_of(app, "10.0.0.1") as client,
        client_of(app, "10.0.0.2") as other,
    ):
        task = app.state.manager.submit(SUM)
        path = path_of(task)
        one = Stream(app, path)
        two = Stream(app, path)
        await settle()
        assert (await client.get("/health")).json()["streams"] == 2

        refused = await client.get(path)
        assert refused.status_code == 503
        assert refused.json()["code"] == "too_many_streams"
        assert refused.headers["retry-after"] == str(watch.RETRY_SECONDS)
        unknown = await client.get(f"/tasks/{UNKNOWN}/events")
        assert unknown.status_code == 404

        three = Stream(app, path, address="10.0.0.2")
        await settle()
        assert (await other.get(path)).status_code == 503

        await one.leave()
        assert (await client.get("/health")).json()["streams"] == 2
        async with reading(app, path) as again:
            assert again.states() == [("processing", 0)]

        gate.open(0)
        await settle()
        assert two.ended
        assert three.ended
        assert (await client.get("/health")).json()["streams"] == 0
        assert app.state.streams.open == {}


async def test_a_reader_that_leaves_leaves_nothing(gate: Gate) -> None:
    async with running() as app:
        task = app.state.manager.submit(SUM)
        await settle()
        before = asyncio.all_tasks()
        streams = [Stream(app, path_of(task)) for _ in range(5)]
        streams += [Stream(app, "/events") for _ in range(5)]
        await settle()
        for stream in streams:
            assert stream.body
            await stream.leave()
        await settle()
        assert asyncio.all_tasks() == before
        assert app.state.streams.open == {}


async def test_the_stop_tells_the_end_at_once(gate: Gate) -> None:
    async with running() as app:
        task = app.state.manager.submit(SUM)
        streams = [Stream(app, path_of(task)) for _ in range(3)]
        board = Stream(app, "/events")
        await settle()
        app.state.stop()
        await asyncio.wait_for(board.serving, 5)
        assert all(stream.ended for stream in streams)
        assert {stream.states()[-1] for stream in streams} == {("cancelled", 0)}
        assert b'"status":"cancelled"' in board.body


# Whatever is cancelled

ENGINE = ("taskmanager/", "asyncio/locks.py")


def engine_tasks() -> dict[str, "asyncio.Task[Any]"]:
    """The asyncio.Tasks that the engine has made, by what they run.

    Those of a response are Starlette's.
    """
    found: dict[str, asyncio.Task[Any]] = {}
    for task in sorted(asyncio.all_tasks(), key=age):
        coroutine: Any = task.get_coro()
        path = Path(coroutine.cr_code.co_filename).as_posix()
        if any(part in path for part in ENGINE):
            found[f"{coroutine.__qualname__} {len(found)}"] = task
    return found


def age(task: "asyncio.Task[Any]") -> tuple[str, int, str]:
    """What it runs, and the order in which asyncio has named those."""
    coroutine: Any = task.get_coro()
    name = task.get_name()
    return coroutine.__qualname__, len(name), name


def play_a_cancellation(number: int) -> tuple[list[str], str]:
    """Cancel one of the engine's asyncio.Tasks while all is under way.

    Returns what could be cancelled, and the end of the task.
    """

    async def watch_all() -> tuple[list[str], str]:
        async with running(work_scale=1, workers=1) as app, client_of(app) as client:
            task = (await client.post("/tasks", json=SUM)).json()
            path = f"/tasks/{task['task_id']}"
            stream = Stream(app, f"{path}/events")
            board = Stream(app, "/events", address="10.0.0.2")
            await asyncio.sleep(1.5)
            query = {"wait": "true", "since": 2}
            polling = asyncio.create_task(client.get(path, params=query))
            await asyncio.sleep(0.25)

            running_now = engine_tasks()
            list(running_now.values())[number].cancel()
            listed = (await client.get("/tasks")).json()
            assert [each["task_id"] for each in listed] == [task["task_id"]]
            await asyncio.sleep(10)

            # Nobody is lost, and all see the same end.
            await asyncio.wait_for(stream.serving, 1)
            end = app.state.manager.get(task["task_id"]).status.value
            assert f'"status":"{end}"'.encode() in stream.body
            assert polling.done()
            assert polling.result().status_code == 200

            # The board is told what comes after as well.
            second = (await client.post("/tasks", json=SUM)).json()
            await asyncio.sleep(0.5)
            assert second["task_id"].encode() in board.body
            assert (await client.get("/health")).json()["status"] == "ok"
            board.gone.set()
            await asyncio.wait_for(board.serving, 1)

        return list(running_now), end

    return run_in_virtual_time(watch_all())


def test_whatever_is_cancelled_from_outside_readers_see_the_end() -> None:
    names, _ = play_a_cancellation(0)
    assert sum("Feed" in name for name in names) == 2
    for number, name in enumerate(names):
        again, end = play_a_cancellation(number)
        assert again == names
        in_hand = "WorkerPool._work" in name or "_run_handler" in name
        assert end == ("failed" if in_hand else "completed"), name


@pytest.mark.slow
def test_a_day_of_streams_leaves_nothing_and_starves_nobody() -> None:
    async def day() -> None:
        async with running(work_scale=1) as app:
            manager = app.state.manager
            before = len(asyncio.all_tasks())
            for _ in range(24):
                tasks = [manager.submit(SUM) for _ in range(30)]
                streams = [
                    Stream(app, path_of(task), address=f"10.0.0.{number}")
                    for number, task in enumerate(tasks)
                    for _ in range(4)
                ]
                board = Stream(app, "/events")
                await asyncio.sleep(12)
                assert all(each.body for each in streams)
                await board.leave()
                for each in streams[::3]:
                    await each.leave()

                await asyncio.sleep(3600 - 12)
                del streams[::3]
                assert {each.states()[-1] for each in streams} == {("completed", 100)}
            assert len(asyncio.all_tasks()) == before
            assert app.state.streams.open == {}

    run_in_virtual_time(day(), limit=90_000)


# The board and the page


async def test_the_board_is_free_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MOST_BOARDS", 2)
    async with running(rate_limit=1) as app, client_of(app) as client:
        boards = [Stream(app, "/events") for _ in range(3)]
        await settle()
        assert [board.status for board in boards] == [200, 200, 503]
        first, _, refused = boards
        assert first.headers[b"content-type"] == b"text/event-stream"
        assert first.headers[b"cache-control"] == b"no-store"
        assert b"ratelimit" not in first.headers
        assert json.loads(refused.body)["code"] == "too_many_streams"
        assert refused.headers[b"retry-after"] == b"5"
        # They are no streams of tasks, and no requests.
        assert (await client.get("/health")).json()["streams"] == 0
        assert (await client.get("/tasks")).status_code == 200
        for board in boards:
            await board.leave()


async def test_a_reader_of_the_board_sees_what_the_others_see(gate: Gate) -> None:
    async with running() as app, reading(app, "/events") as first:
        app.state.manager.submit(SUM)
        # Before the next look at it.
        async with reading(app, "/events") as second:
            assert b"compute_sum" in second.body
            await asyncio.sleep(2 * events.INTERVAL)
            assert first.body.endswith(second.body.removesuffix(events.COMMENT))


@pytest.mark.parametrize("path", ["/live", "/live/page.css", "/live/page.mjs"])
async def test_the_page_may_load_nothing_from_elsewhere(path: str) -> None:
    async with running(rate_limit=1) as app, client_of(app) as client:
        for _ in range(2):  # it is free
            answer = await client.get(path)
            assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"].startswith("text/")


def test_all_addresses_of_the_page_are_relative_and_nothing_is_inline() -> None:
    page = (LIVE / "page.html").read_text(encoding="utf-8")
    addresses = re.findall(r'(?:href|src|action)="([^"]*)"', page)
    assert addresses
    for address in addresses:
        assert not re.match("/|[a-z]+:(?!,)", address), address
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", page)

    script = (LIVE / "page.mjs").read_text(encoding="utf-8")
    assert not re.search(r"https?://|innerHTML|insertAdjacentHTML|eval\(", script)
    for address in re.findall(r'(?:request|fetch)\([^)]*?["`]([^"`]+)', script):
        assert not address.startswith("/"), address


@pytest.mark.parametrize("path", ["/live/", "/live/nothing", "/live/../api.py"])
async def test_no_other_file_is_served(path: str) -> None:
    async with running() as app, client_of(app) as client:
        assert (await client.get(path)).json()["code"] == "not_found"


async def test_the_page_and_the_board_can_be_switched_off() -> None:
    async with running(live="off") as app, client_of(app) as client:
        for path in ("/live", "/live/page.css", "/events"):
            assert (await client.get(path)).json()["code"] == "not_found"
        task = (await client.post("/tasks", json=SUM)).json()
        answer = await client.get(f"/tasks/{task['task_id']}/events")
        assert answer.status_code == 200


# A real server


class Connection:
    """A stream over a socket, read as it comes."""

    def __init__(self, server: Server, path: str, last_seen: str = "x") -> None:
        head = f"GET {path} HTTP/1.1\nHost: x\nLast-Event-ID: {last_seen}\n\n"
        self.socket = server.connect(head)
        self.text = ""

    def until(self, part: str) -> str:
        """All that has come once this has."""
        while part not in self.text:
            chunk = self.socket.recv(65536)
            assert chunk, self.text
            self.text += chunk.decode()
        return self.text


@contextlib.contextmanager
def connected(server: Server, *paths: str, **options: str) -> Iterator[Any]:
    """A connection for each path."""
    with contextlib.ExitStack() as stack:
        connections = [Connection(server, path, **options) for path in paths]
        for each in connections:
            stack.enter_context(each.socket)
        yield connections


# The last chunk of a response.
END = "\r\n0\r\n\r\n"

servers = pytest.mark.skipif(sys.platform == "win32", reason="stops servers by signals")
protocols = pytest.mark.parametrize("http", ["h11", "httptools"])


@pytest.mark.slow
@servers
@protocols
def test_events_come_as_they_happen_and_readers_may_leave(http: str) -> None:
    if http == "httptools":
        pytest.importorskip("httptools")
    with uvicorn("--http", http, WORK_SCALE="0.2") as server:
        task = server.request("/tasks", SUM)
        path = f"/tasks/{task['task_id']}/events"
        with connected(server, path) as (leaving,):
            leaving.until("data: ")
            server.until("streams", 1)
        server.until("streams", 0)

        with connected(server, path) as (stream,):
            head, _, _ = stream.until("data: ").partition("\r\n\r\n")
            assert "content-type: text/event-stream\r\n" in head
            assert "x-accel-buffering: no" in head
            stream.until('"progress":60')
            assert '"status":"completed"' not in stream.text
            assert '"status":"completed"' in stream.until(END)

        *_, last = re.findall("id: (.*)\n", stream.text)
        with connected(server, path, last_seen=last) as (again,):
            assert again.until("\r\n\r\n").startswith("HTTP/1.1 204")


@pytest.mark.slow
@servers
def test_a_slow_reader_gets_the_last_state_and_holds_nobody_up() -> None:
    large = SUM | {"parameters": {"numbers": [123456789.25] * 10_000}}
    with uvicorn(WORK_SCALE="0.3") as server:
        task = server.request("/tasks", large)
        paths = [f"/tasks/{task['task_id']}/events"] * 10
        with connected(server, *paths) as streams:
            server.until("streams", 10)
            server.request(f"/tasks/{task['task_id']}?wait=true&since=2")
            begun = time.monotonic()
            server.request("/health")
            assert time.monotonic() - begun < 2

            for each in streams:
                assert '"status":"completed"' in each.until(END)


@pytest.mark.slow
@servers
@protocols
def test_a_stop_tells_every_stream_the_end(http: str) -> None:
    if http == "httptools":
        pytest.importorskip("httptools")
    with uvicorn("--http", http, WORKERS="1") as server:
        ids = [server.request("/tasks", SUM)["task_id"] for _ in range(10)]
        paths = [f"/tasks/{task_id}/events" for task_id in ids]
        with connected(server, "/events", *paths) as (board, *streams):
            server.until("streams", 10)
            board.until('"queued":9')

            took = server.stop(signal.SIGTERM)
            assert took < 5, took
            for stream in streams:
                assert '"status":"cancelled"' in stream.until(END)
            board.until(END)

        log = "\n".join(server.lines)
        for bad in ("Traceback", "was destroyed", "never retrieved", "Exception"):
            assert bad not in log


@pytest.mark.slow
@servers
def test_everything_works_below_a_root_path() -> None:
    with uvicorn("--root-path", "/api") as server:
        task = server.request("/tasks", SUM)
        path = f"/tasks/{task['task_id']}/events"
        with connected(server, path, "/events", "/live") as (stream, board, page):
            stream.until("data: ")
            board.until("data: ")
            assert "200 OK" in page.until("</html>")
