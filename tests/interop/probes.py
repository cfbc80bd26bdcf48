"""Probes: what one subject does, each told in a few words.

Rule: a probe says what it saw, and "yes" where that is what the project
promises. It tells no times, so that two runs say the same.
"""

import contextlib
import http.client
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from tests.helpers import SUM, UNKNOWN
from tests.interop.environment import PATIENCE, FailedError
from tests.interop.subjects import REPORT, Address, Subject, exchange

YES = "yes"
NO = "no"
LIMIT = 300
# Seconds until a server should know that a client has left.
SOON = 2.0
# Seconds of the longest poll, and a bit.
LONGEST = 11.0
# Seconds that a connection is idle between two polls that keep to the
# usual Retry-After, and a bit.
IDLE = 5.5
MAX_BODY = 256 * 1024
LARGE = 600_000
HUGE = 3_000_000


def polls(subject: Subject) -> str:
    """Submit, and wait with long polls until it is completed."""
    path = subject.submit(SUM)
    seen = 1
    for _ in range(10):
        answer = subject.ask("GET", f"{path}?wait=true&since={seen}")
        if answer.status != 200:
            return answer.told
        if answer.document["status"] == "completed":
            return YES
        seen = answer.document["version"]
    return "never completed"


def computes(subject: Subject) -> str:
    """CPU-bound work is done, which starts processes."""
    work = {"task_type": "count_primes", "parameters": {"limit": 1000}}
    path = subject.submit(work)
    for _ in range(10):
        task = subject.ask("GET", f"{path}?wait=true&since=2").document
        if task["finished_at"] is not None:
            return YES if task["status"] == "completed" else str(task["status"])
    return "never completed"


def together(subject: Subject) -> str:
    """Two poll the same task, and both wait at the server."""
    # Those who have left may still be waited for.
    subject.until("waiting", 0, LONGEST)
    path = subject.submit(REPORT)
    with subject.poll(path), subject.poll(path):
        if subject.until("waiting", 2, SOON):
            return YES
        return f"{subject.health('waiting')} of 2 reach the server"


def leaves(subject: Subject) -> str:
    """A poller leaves: the server knows while the task still runs."""
    path = subject.submit(REPORT)
    with subject.poll(path):
        if not subject.until("waiting", 1, SOON):
            return "the poll does not arrive"
    return YES if subject.until("waiting", 0, SOON) else NO


def pieces(subject: Subject) -> str:
    """A list that is sent in small pieces comes in pieces."""
    subject.ask("POST", "/fill", address=subject.server)
    subject.until("queued", 0, LONGEST)
    subject.until("processing", 0, LONGEST)
    connection = subject.address.connect()
    with connection:
        request = (
            "GET /tasks?status=completed HTTP/1.1\r\nHost: x\r\n"
            "Accept: application/x-ndjson\r\n"
            "X-Slowly: 1\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(request.encode())
        begun = time.monotonic()
        first = None
        size = 0
        while data := connection.recv(65536):
            size += len(data)
            if first is None and size > 500:
                first = time.monotonic()
        end = time.monotonic()
    if first is None:
        return "nothing comes"
    return YES if first - begun < (end - begun) / 3 else "all at the end"


def large(subject: Subject) -> str:
    """Refused bodies: 413 arrives, with a length or in chunks."""
    found = []
    for name, size in {"0.6 MB": LARGE, "3 MB": HUGE}.items():
        for chunked in (False, True):
            body: Any = bytes(size)
            kind = ""
            if chunked:
                body = _chunks(size)
                kind = " in chunks"
            told = _told(subject, "/tasks", body)
            if told != "413 body_too_large":
                found.append(f"{name}{kind}: {told}")
    return "; ".join(found) or YES


def limited(subject: Subject) -> str:
    """The rate limit's refusal arrives, of a large body, too.

    After this, whoever shares a client's address has no requests left.
    """
    client = next(subject.clients)
    connection = http.client.HTTPConnection("localhost", timeout=20)
    connection.sock = subject.address.connect(client)
    with contextlib.closing(connection):
        for _ in range(LIMIT + 1):
            answer = exchange(connection, "GET", f"/tasks/{UNKNOWN}", None, {})
            if answer.status == 429:
                break
            if connection.sock is None:
                connection.sock = subject.address.connect(client)
    if not answer.headers.get("Retry-After", "").isdigit():
        return f"{answer.told}, no Retry-After"

    told = _told(subject, "/tasks", bytes(LARGE), client)
    return YES if told == "429 rate_limited" else f"0.6 MB: {told}"


def retry_after(subject: Subject) -> str:
    """The fields of a 202 arrive."""
    headers = subject.ask("POST", "/tasks", SUM).headers
    names = ["Location", "Retry-After", "RateLimit", "RateLimit-Policy"]
    missing = [name for name in names if name not in headers]
    if headers.get("Cache-Control") != "no-store":
        missing.append("Cache-Control")
    return f"without {', '.join(missing)}" if missing else YES


def addresses(subject: Subject, other: Address | None = None) -> str:
    """Each client has a quota of its own."""
    address = other or subject.address
    first = _left(subject, next(subject.clients), address)
    second = _left(subject, next(subject.clients), address)
    return YES if second == first == LIMIT - 1 else "all share one quota"


def one_address(subject: Subject, address: Address) -> str:
    """A client that is reached at another address is counted there."""
    first = _left(subject, "", address)
    second = _left(subject, "", address)
    return YES if second == first - 1 else f"{first} left, then {second}"


def forged(subject: Subject, client: str) -> str:
    """A client writes another address into X-Forwarded-For."""
    first = _left(subject, client, subject.address, "203.0.113.1")
    second = _left(subject, client, subject.address, "203.0.113.2")
    return "not believed" if second == first - 1 else "believed"


def methods(subject: Subject) -> str:
    """HEAD has no body, and OPTIONS is refused with Allow."""
    connection = http.client.HTTPConnection("localhost", timeout=20)
    connection.sock = subject.address.connect(next(subject.clients))
    with contextlib.closing(connection):
        head = exchange(connection, "HEAD", "/health", None, {})
        if head.status != 200 or head.body:
            return f"HEAD: {head.status}, {len(head.body)} bytes"
        if connection.sock is not None:
            after = exchange(connection, "GET", "/health", None, {})
            if after.status != 200:
                return f"after HEAD: {after.status}"

    options = subject.ask("OPTIONS", "/tasks")
    if options.status != 405:
        return f"OPTIONS: {options.status}"
    return YES if "Allow" in options.headers else "OPTIONS: no Allow"


def http2(address: Address | None) -> str:
    """HTTP/2 without TLS, by prior knowledge."""
    if address is None:
        return NO
    if shutil.which("curl") is None:
        return "not run: apt install curl"
    told = subprocess.run(
        [
            "curl",
            "--silent",
            "--max-time",
            "10",
            "--http2-prior-knowledge",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_version} %{response_code}",
            f"http://{address.host}:{address.port}/health",
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=PATIENCE,
    ).stdout
    return YES if told == "2 200" else NO


def events(subject: Subject) -> str:
    """An event stream, where there is one: its first event comes."""
    path = subject.submit(REPORT)
    connection = subject.address.connect(next(subject.clients))
    with connection:
        connection.sendall(
            f"GET {path}/events HTTP/1.1\r\nHost: x\r\n"
            "Accept: text/event-stream\r\n\r\n".encode()
        )
        data = b""
        end = time.monotonic() + SOON
        while time.monotonic() < end:
            if select.select([connection], [], [], 0.1)[0]:
                data += connection.recv(65536)
            if b" 404 " in data:
                return "none here"
            if b"data:" in data:
                return YES
    return "no event within 2 s"


# Parts


def _chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 10_000):
        yield bytes(10_000)


def _told(subject: Subject, path: str, body: Any, client: str = "") -> str:
    try:
        return subject.ask("POST", path, body, client=client).told
    except ConnectionResetError:
        return "reset"
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__


def _left(subject: Subject, client: str, address: Address, forwarded: str = "") -> int:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    answer = subject.ask(
        "GET", f"/tasks/{UNKNOWN}", client=client, headers=headers, address=address
    )
    _, _, rest = answer.headers.get("RateLimit", "").partition(";r=")
    left, _, _ = rest.partition(";")
    if not left:
        raise FailedError(f"no RateLimit, but {answer.told}")
    return int(left)
