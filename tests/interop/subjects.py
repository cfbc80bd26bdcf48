"""Subjects: a server, alone or behind a proxy, and requests to it.

Rule: each process that is started here has a group of its own, and is
ended with it when its block ends, whatever has happened.
"""

import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.helpers import UNKNOWN
from tests.interop.environment import ROOT, FailedError, find, variables

START = 20.0  # seconds
TIMEOUT = 20.0  # seconds, for one answer
# Quick enough for a table, and slow enough to be waited for.
ENVIRONMENT = {
    "TASKMANAGER_WORK_SCALE": "0.2",
    "TASKMANAGER_QUEUE_SIZE": "1000",
    "PYTHONPATH": str(ROOT),
}
REPORT = {
    "task_type": "generate_report",
    "parameters": {"title": "x", "sections": 20},
    "priority": "high",
}


class Address(NamedTuple):
    """Where somebody listens: a host and a port, or a unix socket."""

    host: str
    port: int

    def connect(self, source: str = "") -> socket.socket:
        """A connection, from a given address."""
        if self.port == 0:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(TIMEOUT)
            connection.connect(self.host)
            return connection
        here = (source, 0) if source else None
        return socket.create_connection((self.host, self.port), TIMEOUT, here)


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON; an empty object where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    @property
    def told(self) -> str:
        """The status, and whose it is: ours has a code."""
        code = self.document.get("code", "not ours")
        return f"{self.status} {code}"


class Subject:
    """Something to be played: requests go to ``address``.

    The server's own address tells what it knows. Each of ``clients`` is
    an address on this machine that made no request before.
    """

    def __init__(self, address: Address, server: Address) -> None:
        self.address = address
        self.server = server
        self.clients = (
            f"127.0.{number // 250 + 1}.{number % 250 + 1}"
            for number in itertools.count()
        )

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        client: str = "",
        headers: Mapping[str, str] | None = None,
        address: Address | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        connection = _Connection(address or self.address, client or next(self.clients))
        given = dict(headers or {})
        data = body
        if isinstance(body, dict):
            data = json.dumps(body).encode()
        if body is not None:
            given["Content-Type"] = "application/json"
        with contextlib.closing(connection):
            return exchange(connection, method, path, data, given)

    def submit(self, submission: dict[str, Any]) -> str:
        """Submit a task; the path of it. Raises FailedError."""
        answer = self.ask("POST", "/tasks", submission)
        if answer.status != 202:
            raise FailedError(f"POST /tasks: {answer.told}")
        return f"/tasks/{answer.document['task_id']}"

    def health(self, name: str) -> Any:
        """What /health of the server itself says."""
        return self.ask("GET", "/health", address=self.server).document[name]

    def until(self, name: str, value: object, seconds: float) -> bool:
        """Whether /health says so within so many seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.health(name) == value:
                return True
            time.sleep(0.05)
        return False

    def poll(self, path: str) -> socket.socket:
        """Begin a long poll, which nothing but the task's end ends."""
        connection = self.address.connect(next(self.clients))
        connection.sendall(
            f"GET {path}?wait=true&since=2 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        return connection


class _Connection(http.client.HTTPConnection):
    def __init__(self, address: Address, client: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self.address = address
        # No address of IPv4 can be that of a client of IPv6.
        self.client = "" if ":" in address.host else client

    def connect(self) -> None:
        self.sock = self.address.connect(self.client)


def exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Any,
    headers: Mapping[str, str],
) -> Answer:
    """A request and its answer, which may come before all is sent.

    Raises OSError or http.client.HTTPException where none comes.
    """
    try:
        connection.request(method, path, body, headers, encode_chunked=True)
    except (BrokenPipeError, ConnectionResetError):
        # As good clients do, look whether it was answered.
        answer = http.client.HTTPResponse(connection.sock, method=method)
        answer.begin()
    else:
        answer = connection.getresponse()
    return Answer(answer.status, answer.headers, answer.read())


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        _, port = free.getsockname()
    return int(port)


@contextlib.contextmanager
def started(
    command: str, address: Address, folder: Path, **environment: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that serves, from when it answers at the address.

    Raises FailedError, with what it printed, where it does not.
    """
    name, *arguments = command.split()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [find(name), *arguments],
            cwd=folder,
            env=variables() | ENVIRONMENT | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + START
            while not _answers(address):
                if process.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    raise FailedError(f"{command}\n{output.read()}")
                time.sleep(0.05)
            yield process
        finally:
            _end(process)


def _answers(address: Address) -> bool:
    connection = _Connection(address, "")
    try:
        with contextlib.closing(connection):
            # 502 is a proxy's answer whose server does not listen yet,
            # 503 that of a server which runs no lifespan.
            path = f"/tasks/{UNKNOWN}"
            return exchange(connection, "GET", path, None, {}).status != 502
    except (OSError, http.client.HTTPException):
        return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(3)
    # Its workers are in its group, and may have outlived it.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
