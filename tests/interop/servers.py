"""The servers: what the application does under each, and at its stop.

Rule: one row a server, or a server with an option. Everything is on
loopback, and each row starts its servers anew.
"""

import collections
import json
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.helpers import SUM
from tests.interop import probes
from tests.interop.environment import ROOT, FailedError
from tests.interop.subjects import REPORT, Address, Subject, free_port, started

POLLS = 20
# Seconds in which a server has to stop, and after which it is ended.
# What is between them differs from run to run.
IN_TIME = 2.0
AT_LAST = 5.0
# Together more than the buffers of a connection hold.
RECORDS = 80
LONG = {"task_type": "compute_sum", "parameters": {"numbers": [10**15] * 10_000}}

Row = dict[str, str]


class Server(NamedTuple):
    """How a server is started: its command, and what it listens on.

    In the command, the option comes where it stands, and then the
    application and the address.
    """

    command: str
    tcp: str
    unix: str
    option: str = ""
    http2: bool = False


UVICORN = Server(
    "uvicorn {option} {app} {address}", "--host {host} --port {port}", "--uds {path}"
)
HYPERCORN = Server(
    "hypercorn {option} {app} {address}",
    "--bind {host}:{port}",
    "--bind unix:{path}",
    http2=True,
)
GRANIAN = Server(
    "granian --interface asgi {option} {app} {address}",
    "--host {host} --port {port}",
    "--uds {path}",
    http2=True,
)
GUNICORN = Server(
    "gunicorn --no-control-socket {option} {app} {address}",
    "--bind {host}:{port}",
    "--bind unix:{path}",
)
DAPHNE = Server("daphne {option} {app} {address}", "-b {host} -p {port}", "-u {path}")
UVICORN_WORKER = "--worker-class uvicorn_worker.UvicornWorker"
ASGI_WORKER = "--worker-class asgi"

SERVERS = {
    "uvicorn": UVICORN,
    "uvicorn-h11": UVICORN._replace(option="--http h11"),
    "hypercorn": HYPERCORN,
    "granian": GRANIAN,
    "gunicorn-uvicorn": GUNICORN._replace(option=UVICORN_WORKER),
    "gunicorn-asgi": GUNICORN._replace(option=ASGI_WORKER),
    "daphne": DAPHNE,
}
# What to set, where a default keeps less than is promised.
OPTIONS = {
    "hypercorn-set": HYPERCORN._replace(option="--keep-alive 76"),
    "hypercorn-0": HYPERCORN._replace(option="--keep-alive 76 --workers 0"),
    "granian-set": GRANIAN._replace(option="--workers-kill-timeout 1"),
    "gunicorn-uvicorn-set": GUNICORN._replace(
        option=f"{UVICORN_WORKER} --keep-alive 76"
    ),
    "gunicorn-asgi-set": GUNICORN._replace(
        option=f"{ASGI_WORKER} --keep-alive 76 --graceful-timeout 1"
    ),
}

BEHAVIOUR = (
    "long poll",
    "CPU work",
    "two polls of one task",
    "leaving is noticed",
    "list in pieces",
    "fields of a 202",
    "large body: 413",
    "large body: 429",
    "quota by IPv4",
    "IPv6",
    "unix socket",
    "X-Forwarded-For from 127.0.0.1",
    "HEAD, OPTIONS",
    "HTTP/2",
    "events",
)
STOP = (
    "idle for 5 s",
    "20 open polls",
    "half-sent body",
    "it ends",
    "it ends, with a list that nobody reads",
)
TABLES = {
    "What holds": BEHAVIOUR,
    "Idle connections, and the stop at SIGTERM": STOP,
    "How each was started": ("command",),
}


def check(name: str) -> Callable[[Path], Row]:
    """The check that makes the row of this name."""

    def play(folder: Path) -> Row:
        if name in OPTIONS:
            server = OPTIONS[name]
            row = {}
        else:
            server = SERVERS[name]
            row = behave(server)
        if "everything" not in row:
            row["idle for 5 s"] = idle(server)
            row |= stop(server)
        return {"command": command(server, None, "main:app")} | row

    return play


CHECKS = {name: check(name) for name in [*SERVERS, *OPTIONS]}


def command(server: Server, address: Address | None, app: str) -> str:
    """The command that serves an application, at this address."""
    if address is None:
        line = server.command.format(option=server.option, app=app, address="")
        return " ".join(line.split())

    listen = server.tcp if address.port else server.unix
    host = address.host
    if ":" in host and server.command.startswith(("hypercorn", "gunicorn")):
        host = f"[{host}]"
    given = listen.format(host=host, port=address.port, path=address.host)
    return server.command.format(option=server.option, app=app, address=given)


def behave(server: Server) -> Row:
    """All that is seen while it runs."""
    app = "tests.interop.application:app"
    address = Address("127.0.0.1", free_port())
    subject = Subject(address, address)
    limit = str(probes.LIMIT)
    with started(
        command(server, address, app), address, ROOT, TASKMANAGER_RATE_LIMIT=limit
    ):
        first = subject.ask("POST", "/tasks", SUM)
        if first.document.get("code") == "not_started":
            return {"everything": "503 not_started"}

        row = seen(subject, address if server.http2 else None)
        row["CPU work"] = probes.computes(subject)
        told = probes.forged(subject, "127.0.0.1")
        row["X-Forwarded-For from 127.0.0.1"] = told
        row["large body: 429"] = probes.limited(subject)

    other = Address("::1", free_port())
    with started(
        command(server, other, app), other, ROOT, TASKMANAGER_RATE_LIMIT=limit
    ):
        row["IPv6"] = probes.one_address(subject, other)

    with tempfile.TemporaryDirectory() as folder:
        path = Address(f"{folder}/socket", 0)
        with started(
            command(server, path, app), path, ROOT, TASKMANAGER_RATE_LIMIT=limit
        ):
            row["unix socket"] = probes.addresses(subject, path)
    return row


def seen(subject: Subject, http2: Address | None) -> Row:
    """What servers and proxies are asked alike."""
    return {
        # The first: later ones leave large results behind.
        "list in pieces": probes.pieces(subject),
        "long poll": probes.polls(subject),
        "leaving is noticed": probes.leaves(subject),
        "two polls of one task": probes.together(subject),
        "fields of a 202": probes.retry_after(subject),
        "large body: 413": probes.large(subject),
        "quota by IPv4": probes.addresses(subject),
        "HEAD, OPTIONS": probes.methods(subject),
        "HTTP/2": probes.http2(http2),
        "events": probes.events(subject),
    }


# Idle connections, and the stop


def idle(server: Server) -> str:
    """A kept connection is still open after a usual Retry-After."""
    address = Address("127.0.0.1", free_port())
    line = command(server, address, "main:app")
    with started(line, address, ROOT), kept(address) as connection:
        time.sleep(probes.IDLE)
        readable, _, _ = select.select([connection], [], [], 0)
        return probes.NO if readable else probes.YES


def kept(address: Address) -> socket.socket:
    """A connection on which a request has been answered."""
    connection = address.connect()
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    data = b""
    while not data.endswith(b"}"):
        data += connection.recv(65536)
    return connection


def stop(server: Server) -> Row:
    """SIGTERM with polls and a half-sent body; then with a list."""
    address = Address("127.0.0.1", free_port())
    subject = Subject(address, address)
    line = command(server, address, "main:app")
    with started(
        line, address, ROOT, TASKMANAGER_RATE_LIMIT="off", TASKMANAGER_WORK_SCALE="1"
    ) as process:
        paths = [subject.submit(REPORT) for _ in range(POLLS)]
        open_polls = [subject.poll(path) for path in paths]
        half = address.connect()
        half.sendall(
            b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
        if not subject.until("waiting", POLLS, IN_TIME):
            raise FailedError("the polls do not arrive")
        answers = Answers([*open_polls, half])
        with kept(address):
            ended = _end(process)
        *polled, half_answer = answers.all()

    address = Address("127.0.0.1", free_port())
    subject = Subject(address, address)
    line = command(server, address, "main:app")
    with started(line, address, ROOT, TASKMANAGER_RATE_LIMIT="off") as process:
        for _ in range(RECORDS):
            subject.submit(LONG)
        with address.connect() as unread:
            unread.sendall(b"GET /tasks HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(1)
            with_list = _end(process)

    return {
        "20 open polls": _counted(polled),
        "half-sent body": half_answer,
        "it ends": ended,
        "it ends, with a list that nobody reads": with_list,
    }


class Answers:
    """What arrives on connections, read by a thread each."""

    def __init__(self, connections: list[socket.socket]) -> None:
        self._told = [""] * len(connections)
        self._threads = []
        for number, connection in enumerate(connections):
            thread = threading.Thread(target=self._read, args=(number, connection))
            thread.start()
            self._threads.append(thread)

    def all(self) -> list[str]:
        """Each in a few words, in the order of the connections."""
        for thread in self._threads:
            thread.join()
        return self._told

    def _read(self, number: int, connection: socket.socket) -> None:
        data = b""
        end = ""
        with connection:
            connection.settimeout(AT_LAST)
            try:
                while part := connection.recv(65536):
                    data += part
            except ConnectionResetError:
                end = "reset"
            except TimeoutError:
                end = "no answer"
        self._told[number] = _told(data) or end or "closed without an answer"


def _told(data: bytes) -> str:
    head, _, body = data.partition(b"\r\n\r\n")
    if not body:
        return head[9:12].decode()
    _, _, rest = body.partition(b"{")
    text, _, _ = rest.rpartition(b"}")
    document = json.loads(b"{" + text + b"}") if text else {}
    word = document.get("code", document.get("status", ""))
    return f"{head[9:12].decode()} {word}".strip()


def _counted(words: list[str]) -> str:
    """Equal ones together; none of them has to be ours."""
    counts = collections.Counter(words)
    if len(counts) == 1:
        (only,) = counts
        return only
    return ", ".join(f"{count} x {word}" for word, count in sorted(counts.items()))


def _end(process: "subprocess.Popen[bytes]") -> str:
    """Send SIGTERM; when it has ended."""
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(AT_LAST)
    except subprocess.TimeoutExpired:
        return "not within 2 s"
    took = time.monotonic() - begun
    return "within 2 s" if took <= IN_TIME else "not within 2 s"
