"""A real ``uvicorn main:app``, for what nothing else can show.

That takes a process, a socket or a signal. Each wait is bounded.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError

import pytest

from benchmarks.load import environment
from tests.helpers import SUM, Server, project_root, uvicorn

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform == "win32", reason="stops servers with POSIX signals"
    ),
]


LARGE = {"task_type": "compute_sum", "parameters": {"numbers": [123456789.25] * 8000}}
PRIMES = {"task_type": "count_primes", "parameters": {"limit": 10**9}}
POST = """\
POST /tasks HTTP/1.1
Host: x
Content-Type: application/json
Content-Length: 100

{"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_with_everything_in_flight(number: int) -> None:
    with uvicorn(QUEUE_SIZE="1000") as server, ThreadPoolExecutor(20) as threads:
        for _ in range(2):
            server.request("/tasks", PRIMES)

        ids = [server.request("/tasks", LARGE)["task_id"] for _ in range(100)]
        polls = [
            threads.submit(server.request, f"/tasks/{task_id}?wait=true")
            for task_id in ids[-20:]
        ]
        half_body = server.connect(POST)
        half_head = server.connect("POST /tas")
        idle = server.connect()
        slow = server.connect("GET /tasks HTTP/1.1\nHost: x\n\n")
        server.until("waiting", 20)

        took = server.stop(number)
        # It takes 0.3 s where nothing else runs.
        assert took < 5, took
        assert [poll.result()["status"] for poll in polls] == ["cancelled"] * 20

        answer = half_body.recv(10_000).decode()
        assert answer.startswith("HTTP/1.1 503")
        assert "shutting_down" in answer

        for connection in (half_body, half_head, idle, slow):
            connection.close()

        log = "\n".join(server.lines)
        signs_of_trouble = (
            "Traceback",
            "was destroyed",
            "never retrieved",
            "Exception",
            "leaked",
        )
        for bad in signs_of_trouble:
            assert bad not in log

        assert "Finished server process" in log


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_a_stop_while_large_listings_are_unread(http: str) -> None:
    if http == "httptools":
        pytest.importorskip("httptools")
    with uvicorn("--http", http, QUEUE_SIZE="1000", WORK_SCALE="0") as server:
        numbers = [10**24 + number for number in range(9000)]
        submission = SUM | {"parameters": {"numbers": numbers}}
        for _ in range(60):
            server.request("/tasks", submission)

        head = "GET /tasks HTTP/1.1\nHost: x\n\n"
        listings = [server.connect(head) for _ in range(8)]
        for each in listings:
            begun = b""
            while b"task_id" not in begun:
                begun += each.recv(1000)

        # To encode them all would take some seconds.
        took = server.stop()
        assert took < 2, took
        assert not [line for line in server.lines if "ERROR" in line]

        for each in listings:
            with each, contextlib.suppress(ConnectionResetError):
                body = b"".join(iter(partial(each.recv, 1_000_000), b""))
                assert not body.endswith((b"]\r\n", b"0\r\n\r\n"))


def until(holds: Callable[[], object], seconds: float) -> None:
    """Wait until this holds; fails after so many seconds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


def processes_of(server: Server) -> set[int]:
    """All that run in its session: those that it started, too."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            _, _, fields = stat.read_text(encoding="utf-8").rpartition(") ")
            state, _parent, _group, session, *_ = fields.split()
            if int(session) == server.process.pid and state != "Z":
                found.add(int(stat.parent.name))
    return found


def pid_in_log(server: Server, name: str) -> int:
    """Of the process of this name; its line may come a little late."""
    found: list[str] = []

    def seen() -> bool:
        log = "\n".join(server.lines)
        found[:] = re.findall(rf"Started {name} process \[(\d+)\]", log)
        return bool(found)

    until(seen, 20)
    return int(found[-1])


def begin_five(server: Server, moment: str) -> set[int]:
    """Return while their processes are starting, or while they count.

    Returns the processes that there were before.
    """

    def answers() -> bool:
        # A reloader opens the port before there is a server.
        with contextlib.suppress(URLError):
            return bool(server.request("/health"))
        return False

    until(answers, 20)
    before = processes_of(server)
    tasks = [server.request("/tasks", PRIMES) for _ in range(5)]
    if moment == "starting":
        until(lambda: processes_of(server) > before, 20)
        return before

    path = f"/tasks/{tasks[0]['task_id']}"
    until(lambda: server.request(path)["progress"], 20)
    return before


linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="lists processes as Linux does"
)


@linux
@pytest.mark.parametrize("moment", ["starting", "running"])
@pytest.mark.parametrize(
    ("options", "victim"),
    [
        ([], "server"),
        (["--reload"], "server"),
        (["--reload"], "reloader"),
    ],
)
def test_no_process_outlives_one_that_is_killed(
    options: list[str], victim: str, moment: str
) -> None:
    with uvicorn(*options) as server:
        before = begin_five(server, moment)
        killed = pid_in_log(server, victim)

        # Of what there was before the tasks: the reloader goes on.
        stay = before - {killed} if victim == "server" else set()
        os.kill(killed, signal.SIGKILL)
        until(lambda: processes_of(server) <= stay, 5)


@linux
@pytest.mark.parametrize("executor", ["process", "thread"])
def test_a_stop_is_quick_on_a_busy_machine(executor: str) -> None:
    command = [sys.executable, "-c", "while True: pass"]
    with contextlib.ExitStack() as busy, uvicorn(EXECUTOR=executor) as server:
        for _ in range(2 * (os.cpu_count() or 1)):
            process = busy.enter_context(subprocess.Popen(command))
            busy.callback(process.kill)

        begin_five(server, "running")
        took = server.stop()
        assert took < 2, took
        # multiprocessing's tracker of resources ends a little after it.
        until(lambda: not processes_of(server), 5)


def answer_from(connection: socket.socket) -> tuple[int, bytes]:
    """The status and body of one response that has Content-Length."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte, head
        head += byte

    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None, head
    body = b""
    while len(body) < int(length[1]):
        body += connection.recv(int(length[1]) - len(body))
    _, status, _ = head.split(maxsplit=2)
    return int(status), body


HTTP = pytest.mark.parametrize(
    "http",
    [
        "h11",
        pytest.param(
            "httptools",
            marks=pytest.mark.skipif(
                find_spec("httptools") is None, reason="httptools is not installed"
            ),
        ),
    ],
)
CHUNK = b"%x\r\n" % 600_000


@HTTP
def test_an_early_answer_reaches_a_client_that_is_still_sending(http: str) -> None:
    length = "Content-Length: 600000"
    requests = [
        ("POST /tasks", length, b"", 413),
        ("POST /tasks", "Transfer-Encoding: chunked", CHUNK, 413),
        ("PUT /tasks", length, b"", 405),
        ("POST /tasks/a/b", "Transfer-Encoding: chunked", CHUNK, 404),
        ("POST /tasks", length, b"", 429),
        ("PUT /tasks", "Transfer-Encoding: chunked", CHUNK, 429),
        ("GET /", length, b"", 307),
        ("POST /nothing", length, b"", 404),
    ]
    with uvicorn("--http", http, RATE_LIMIT="4") as server:
        for request, framing, begin, status in requests:
            head = f"{request} HTTP/1.1\nHost: x\nConnection: close\n{framing}\n\n"
            with server.connect(head) as client:
                client.sendall(begin + b"x" * 300_000)
                assert answer_from(client)[0] == status

                # The connection is open, and closed in good order only
                # when the body has been read.
                client.sendall(b"x" * 300_000)
                if begin:
                    client.sendall(b"\r\n0\r\n\r\n")
                assert client.recv(1) == b""

        assert not [line for line in server.lines if "ERROR" in line]


@HTTP
def test_a_refused_body_is_never_read_as_a_request(http: str) -> None:
    with uvicorn("--http", http) as server:
        for size in (40, 3_000, 300_000, 1_000_000, 30_000_000):
            smuggled = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
            body = (smuggled * (size // len(smuggled) + 1))[:size]
            head = f"PUT /tasks HTTP/1.1\nHost: x\nContent-Length: {size}\n\n"
            with server.connect(head) as client:
                assert answer_from(client)[0] == 405

                # The rest is dropped, or the connection is closed.
                rest = b""
                with contextlib.suppress(ConnectionError):
                    client.sendall(body)
                    # It may be pipelined, too.
                    client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                    rest = client.recv(1)
                assert rest == b""

        # Of the largest, no more than a mebibyte is read, and some
        # that lies in buffers.
        with server.connect(head) as client:
            assert answer_from(client)[0] == 405
            with pytest.raises(ConnectionError):
                client.sendall(body)


@HTTP
def test_refusals_of_the_stop_reach_a_client_that_is_still_sending(http: str) -> None:
    with uvicorn("--http", http) as server:
        head = "POST /tasks HTTP/1.1\nHost: x\nContent-Type: application/json\n"
        with server.connect(head + "Content-Length: 200000\n\n") as client:
            client.sendall(b"x" * 100_000)
            server.until("status", "ok")  # so it has begun to read
            server.process.send_signal(signal.SIGTERM)
            assert answer_from(client)[0] == 503

            for _ in range(10):
                client.sendall(b"x" * 10_000)
                time.sleep(0.01)
            assert client.recv(1) == b""
        server.process.wait(5)
        assert not [line for line in server.lines if "ERROR" in line]


@HTTP
def test_who_expects_100_continue_is_refused_without_it(http: str) -> None:
    with uvicorn("--http", http) as server:
        head = "POST /tasks HTTP/1.1\nHost: x\nConnection: close\n"
        head += "Content-Length: 600000\nExpect: 100-continue\n\n"
        with server.connect(head) as client:
            answer = b"".join(iter(partial(client.recv, 10_000), b""))
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert b"100 Continue" not in answer


@HTTP
def test_a_stop_does_not_wait_for_the_rest_of_refused_bodies(http: str) -> None:
    with uvicorn("--http", http) as server:
        head = "PUT /tasks HTTP/1.1\nHost: x\nContent-Length: 600000\n\n"
        clients = [server.connect(head) for _ in range(10)]
        for client in clients:
            assert answer_from(client)[0] == 405

        took = server.stop()
        assert took < 2, took
        assert not [line for line in server.lines if "ERROR" in line]
        for client in clients:
            client.close()


def test_a_poller_that_goes_away_stops_waiting() -> None:
    with uvicorn() as server:
        task = server.request("/tasks", SUM)
        poll = server.connect(
            f"GET /tasks/{task['task_id']}?wait=true&since=2 HTTP/1.1\nHost: x\n\n"
        )
        server.until("waiting", 1)

        poll.close()
        server.until("waiting", 0)


def test_a_listing_begins_before_its_end_is_read() -> None:
    with uvicorn(QUEUE_SIZE="1000", WORK_SCALE="1000") as server:
        submission = SUM | {"parameters": {"numbers": [123456789.25] * 1500}}
        ids = [server.request("/tasks", submission)["task_id"] for _ in range(400)]
        first, *_, last = ids

        head = "GET /tasks HTTP/1.1\nHost: x\nConnection: close\n\n"
        with server.connect(head) as listing:
            begun = b""
            while first.encode() not in begun:
                begun += listing.recv(1000)

            url = f"http://127.0.0.1:{server.port}/tasks/{last}"
            request = urllib.request.Request(url, method="DELETE")
            urllib.request.urlopen(request, timeout=20).close()
            rest = b"".join(iter(lambda: listing.recv(1_000_000), b""))

        # So the last page was read after the first had been sent.
        assert rest.count(b'"status":"cancelled"') == 1


def test_the_loop_stays_free_while_primes_are_counted() -> None:
    with uvicorn() as server:
        submission = PRIMES | {"parameters": {"limit": 10**8}}
        path = f"/tasks/{server.request('/tasks', submission)['task_id']}"
        polled = 0
        while server.request(path)["status"] != "completed":
            polled += 1
            assert polled < 20_000

        assert polled > 1
        assert server.request(path)["result"] == {"count": 5_761_455}


def test_a_submission_and_each_change_of_status_are_json_lines_in_the_terminal() -> (
    None
):
    with uvicorn(WORK_SCALE="0") as server:
        task = server.request("/tasks", SUM)
        server.request(f"/tasks/{task['task_id']}?wait=true&since=2")
        server.stop()

        # asyncio's debug mode has lines of its own, on a slow machine.
        told = [line for line in server.lines if '"taskmanager.' in line]
        lines = [json.loads(line) for line in told]
        assert [(line.get("from"), line["to"]) for line in lines] == [
            (None, "queued"),
            ("queued", "processing"),
            ("processing", "completed"),
        ]

        for line in lines:
            assert line["task_id"] == task["task_id"]
            assert line["task_type"] == "compute_sum"
            assert line.get("seconds", 0) >= 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "command",
    [
        [
            "-m",
            "uvicorn",
            "main:app",
            "--port",
            "0",
        ],
        ["main.py", "--port=0"],
    ],
)
def test_a_log_that_nobody_reads_holds_up_nothing(
    command: list[str], number: int
) -> None:
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=project_root(),
        env=environment(RATE_LIMIT="off", WORK_SCALE="0", QUEUE_SIZE="10000"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            # It reads on until it knows the port, and then no more.
            assert process.stderr is not None
            found = None
            while found is None:
                line = process.stderr.readline()
                assert line
                found = re.search(r"running on http://127.0.0.1:(\d+)", line)

            body = json.dumps(SUM)
            head = "POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json"
            post = f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            get = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
            answered = 0
            address = ("127.0.0.1", int(found[1]))
            with socket.create_connection(address, timeout=20) as connection:
                # A submission logs 700 bytes on stderr, and each of
                # these 40 on stdout; a pipe takes 65,536.
                for _ in range(100):
                    connection.sendall((5 * post + 95 * get).encode())
                    answers = b""
                    while answers.count(b"HTTP/1.1 20") < 100:
                        answers += connection.recv(1_000_000)
                    answered += 100
            assert answered == 10_000

            begun = time.monotonic()
            process.send_signal(number)
            process.wait(20)
            # It takes less than one second where nothing else runs.
            assert time.monotonic() - begun < 2
        finally:
            process.kill()


def test_the_last_lines_are_there_whatever_was_logged_before() -> None:
    with uvicorn(QUEUE_SIZE="5000", WORK_SCALE="1000") as server:
        for _ in range(1000):
            server.request("/tasks", SUM)
        server.stop()

        assert "Finished server process" in server.lines[-1]
        cancelled = [line for line in server.lines if '"to": "cancelled"' in line]
        assert len(cancelled) == 1000


def until_told(server: Server, words: str, times: int) -> None:
    """Wait, for 20 s at most, until so many lines have these words."""
    for _ in range(2000):
        if sum(words in line for line in server.lines) >= times:
            return
        time.sleep(0.01)

    raise AssertionError(server.lines)


def test_each_of_two_worker_processes_warns() -> None:
    with uvicorn("--workers", "2") as server:
        until_told(server, "has tasks and rate limits of its own", 2)


def test_with_reload_there_is_one_process_and_no_warning() -> None:
    with uvicorn("--workers", "2", "--reload", "--reload-dir", "tests") as server:
        until_told(server, "Application startup complete", 1)
        server.stop()
        assert not any("of its own" in line for line in server.lines)


def test_an_unknown_setting_is_warned_of() -> None:
    with uvicorn(WORKRES="7") as server:
        assert any("TASKMANAGER_WORKRES" in line for line in server.lines)
