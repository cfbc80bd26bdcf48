"""The laboratory: what every notebook needs.

An application, clients with an address, a clock that jumps, pictures;
and a real server, for the notebooks that measure.

``import lab`` in a notebook, whose folder is this one, and ``from
notebooks import lab`` give one module, with one clock.

Rules: ``run`` executes a coroutine on virtual time, so that a task of
ten seconds takes none and each run shows the same. Between two calls of
``run`` time stands still. Ids come from a seeded generator, so they are
the same as well. Nothing of the engine is changed: it is told.
"""

import asyncio
import contextlib
import gc
import importlib
import inspect
import json
import logging
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import uuid
import weakref
from collections import Counter
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import IO, Any, TypeVar

import httpx
import uvicorn
from fastapi import FastAPI

if __name__ == "lab":
    # In a notebook, Python looks for modules beside it. The project, to
    # which all the others belong, is one folder above.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from notebooks.movie import COLOUR, Movie, Scene, movie_of
from notebooks.patience import (
    LastingLoop,
    TimeStandsStillError,
    run_aside,
    run_for_real,
    run_in_thread,
)
from notebooks.pictures import Axes, Figure
from notebooks.scenes import Message, Queue, Run
from taskmanager import Settings
from taskmanager.api import create_app
from taskmanager.logs import JsonFormatter
from taskmanager.testing import (
    COLOURS,
    DAY,
    VirtualLoop,
    client_of,
    clocks_of,
    receive_from,
    running,
    scope_of,
)

# By whichever of its two names somebody imports it next, it is this.
for _name in ("lab", "notebooks.lab"):
    sys.modules[_name] = sys.modules[__name__]

T = TypeVar("T")

PROJECT = Path(__file__).resolve().parent.parent
# The engine's own log. A Trace listens to it; without a handler, Python
# would print its warnings below a cell.
LOG = logging.getLogger("taskmanager")
LOG.addHandler(logging.NullHandler())

_loop = VirtualLoop()
_answers: set[asyncio.Future[httpx.Response]] = set()
_random = random.Random(2026)


# Time


def run(coroutine: Coroutine[Any, Any, T], limit: float = DAY) -> T:
    """Run ``coroutine`` on virtual time and return its result.

    It runs in a thread, since Jupyter's own event loop occupies this
    one. Raises TypeError where it is none, or returns another that has
    not run, TimeoutError after ``limit`` virtual seconds, and
    TimeStandsStillError where no time passes at all.
    """
    if inspect.isasyncgen(coroutine) or inspect.isgenerator(coroutine):
        raise TypeError(
            f"lab.run takes a coroutine, not {coroutine!r:.40}. Is there a yield in "
            "it? Return what it is to give."
        )
    if not asyncio.iscoroutine(coroutine):
        raise TypeError(
            f"lab.run takes a coroutine, not {coroutine!r:.40}. Is it made by a plain "
            "def? Write async def."
        )

    with clocks_of(_loop):
        result = run_in_thread(_loop, coroutine, limit)

    if asyncio.iscoroutine(result):
        result.close()
        raise TypeError("it returns a coroutine that has not run: await it.")
    return result


# Calls a function where no event loop runs, and returns its result.
aside = run_aside


def now() -> float:
    """Virtual seconds since this notebook began."""
    return _loop.time()


# The engine, and requests to it


def new_task_id() -> str:
    """A random UUID, which is the same in each run of a notebook."""
    return str(uuid.UUID(int=_random.getrandbits(128), version=4))


def start(**settings: Any) -> FastAPI:
    """The application with these settings, running.

    Its lifespan is entered, which ASGITransport would not do.
    """
    app = create_app(Settings(**settings), new_task_id=new_task_id)
    app.state.running = running(app)
    run(app.state.running.__aenter__())
    return app


def stop(app: FastAPI) -> None:
    """Leave its lifespan, as a server does when it is told to stop."""
    run(app.state.running.__aexit__(None, None, None))


def client(
    app: FastAPI, address: str = "10.0.0.1", *, as_a_server: bool = False
) -> httpx.AsyncClient:
    """A client of the application in this process, at ``address``.

    It raises TimeStandsStillError when it polls a hundred times at one
    instant. ``as_a_server``: when it gives up, the application works
    on, as under a real server.
    """
    made = client_of(app, address, "http://localhost:8000")
    if as_a_server:
        transport = _WorksOn(app, client=(address, 50000))
        made = httpx.AsyncClient(transport=transport, base_url=made.base_url)
    made.event_hooks["request"].append(_Polls().count)
    return made


class _WorksOn(httpx.ASGITransport):
    """A transport whose application does not end with its client."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = asyncio.ensure_future(super().handle_async_request(request))
        # The event loop itself keeps only weak references.
        _answers.add(answer)
        answer.add_done_callback(_answers.discard)
        return await asyncio.shield(answer)


class _Polls:
    """Counts how often the same was asked since time last passed."""

    def __init__(self) -> None:
        self.instant = now()
        self.asked: Counter[str] = Counter()

    async def count(self, request: httpx.Request) -> None:
        # A lesson that measures lives on real time.
        if asyncio.get_running_loop() is not _loop:
            return
        if now() != self.instant:
            self.instant = now()
            self.asked.clear()

        question = f"{request.method} {request.url.raw_path.decode()}"
        self.asked[question] += 1
        if request.method == "GET" and self.asked[question] >= 100:
            # One that catches this, and asks on, can be ended here.
            await asyncio.sleep(0)
            raise TimeStandsStillError(
                f"{question} was asked a hundred times at one instant, at which it has "
                "one answer: await asyncio.sleep before you ask again."
            )


def show(response: httpx.Response) -> None:
    """Print a request and its response as they are on the wire.

    Long lines are wrapped, and the client's headers are left out.
    """
    request = response.request
    print(f"{request.method} {request.url.raw_path.decode()} HTTP/1.1")
    if request.content:
        print(f"content-type: {request.headers['content-type']}\n")
        print(_wrapped(request.content.decode()))

    print(f"\nHTTP/1.1 {response.status_code} {response.reason_phrase}")
    for name, value in response.headers.items():
        print(f"{name}: {value}")
    print(f"\n{_wrapped(response.text)}")


def _wrapped(text: str) -> str:
    return re.sub(r"(.{80,110}?,)(?=.)", r"\1\n", text)


# Traces and pictures


@dataclass(frozen=True)
class Span:
    """A task was in ``status`` from ``start`` to ``end``.

    Both are virtual seconds; ``then`` is the status that followed.
    """

    task_id: str
    number: int  # from 1, as submitted
    status: str
    start: float
    end: float
    then: str
    worker: int | None  # from 1; None while queued


class _Listener(logging.Handler):
    """Gives a trace what the engine logs, as long as it is in use.

    Else each line of a later run would go to all traces before it.
    """

    def __init__(self, trace: "Trace") -> None:
        super().__init__()
        self._trace = weakref.ref(trace, self._leave)
        LOG.setLevel(logging.INFO)
        LOG.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        trace = self._trace()
        if trace is not None:
            trace.note(record)

    def _leave(self, _: object) -> None:
        # A new list, as this one may be gone through at the moment.
        LOG.handlers = [each for each in LOG.handlers if each is not self]


class Trace:
    """Records what the engine logs from now on.

    That is a Span for each status that a task has left.
    """

    def __init__(self) -> None:
        self.begun = now()
        self._spans: list[Span] = []
        # The number of each worker: its loop is an asyncio task, and
        # they count in the order in which they first took a task.
        self._workers: dict[Any, int] = {}
        # The number of the worker that took a task, by the task's id.
        self._taken: dict[str, int] = {}
        _Listener(self)

    def note(self, record: logging.LogRecord) -> None:
        """Add the span that ends with what is logged here."""
        change: Any = record.args
        if not isinstance(change, dict) or "from" not in change:
            return
        # A result that came too late has changed nothing.
        if "dropped" in record.msg:
            return

        task_id = change["task_id"]
        if change["to"] == "processing":
            # The worker's own loop says so.
            worker_loop = asyncio.current_task()
            self._workers.setdefault(worker_loop, len(self._workers) + 1)
            self._taken[task_id] = self._workers[worker_loop]

        worker = None
        if change["from"] == "processing":
            worker = self._taken.get(task_id)

        span = Span(
            task_id=task_id,
            number=0,
            status=change["from"],
            start=now() - change["seconds"],
            end=now(),
            then=change["to"],
            worker=worker,
        )
        self._spans.append(span)

    @property
    def spans(self) -> list[Span]:
        """In the order they ended."""
        waits = [span for span in self._spans if span.status == "queued"]
        waits.sort(key=lambda span: span.start)
        numbers = {span.task_id: number for number, span in enumerate(waits, 1)}
        return [
            replace(span, number=numbers.get(span.task_id, 0)) for span in self._spans
        ]

    def of(self, status: str) -> list[Span]:
        """The spans of this status, in the order they ended."""
        return [span for span in self.spans if span.status == status]


class Log(logging.Handler):
    """Keeps the lines of the engine's log from now on, as dicts.

    They are those that the program writes as JSON, on virtual time. A
    log that is closed listens no longer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []
        self.setFormatter(JsonFormatter())
        LOG.setLevel(logging.INFO)
        LOG.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        # From Python 3.13 on, a record is made with a clock that stays
        # real.
        record.created = time.time()
        self.lines.append(json.loads(self.format(record)))

    def close(self) -> None:
        LOG.removeHandler(self)
        super().close()


# The sign at the end of a task.
ENDS = {
    "completed": "o",
    "failed": "X",
    "cancelled": "s",
}
BLUE, AMBER, GREEN, RED, PINK, SKY, BLACK = COLOURS


def axes(
    title: str, x: str, y: str, rows: int = 1, height: float = 3.2, *, alt: str
) -> Any:
    """An empty picture: its Axes, whose labels name their unit.

    Of several ``rows`` it is a list of Axes, which share their x axis.
    ``alt`` says in words what will be seen, to those who cannot see it.
    """
    figure = Figure(title, rows, height, alt)
    figure.x.label = x
    for each in figure.rows:
        each.set_ylabel(y)
    return figure.rows[0] if rows == 1 else figure.rows


def gantt(
    title: str,
    spans: Iterable[Span],
    since: float = 0.0,
    by: str = "task",
    *,
    alt: str,
) -> Axes:
    """A bar for each span, from its start to its end after ``since``.

    There is a row for each task, or for each worker.
    """
    spans = list(spans)
    if by == "task":
        label = "task, in the order submitted"
        rows = [span.number for span in spans]
    else:
        label = "worker"
        rows = [span.worker or 0 for span in spans]

    height = 1.2 + 0.25 * len(set(rows))
    ax: Axes = axes(title, "time, s", label, height=height, alt=alt)
    for row, span in zip(rows, spans, strict=True):
        start = span.start - since
        end = span.end - since
        text = str(span.number) if by == "worker" else ""
        bar(ax, row, start, end, span.status, text)
        if span.then in ENDS:
            sign(ax, row, end, span.then)

    ax.set_yticks(sorted(set(rows)))
    ax.set_ylim(max(rows, default=1) + 0.6, min(rows, default=1) - 0.6)
    legend(ax, {span.status for span in spans} | {span.then for span in spans})
    return ax


def bar(
    ax: Axes, row: float, start: float, end: float, status: str, label: str = ""
) -> None:
    """A bar in the colour of ``status``, with a short text in it."""
    ax.bar(start, end, row, color=COLOUR[status])
    if label:
        ax.text((start + end) / 2, row, label, ha="center", va="center")


def sign(ax: Axes, row: float, time: float, status: str) -> None:
    """The sign of a task that ended so, at this time."""
    ax.plot([time], [row], ENDS[status], color=COLOUR[status])


def legend(ax: Axes, statuses: Iterable[str]) -> None:
    """Explain the colours and signs of these statuses, above it."""
    shown = set(statuses)
    for status, colour in COLOUR.items():
        if status in shown:
            ax.figure.explain(status, colour, ENDS.get(status, ""))


def sliders(draw: Callable[..., Any], **spans: range) -> Any:
    """Show the picture that ``draw()`` makes, and sliders to change it.

    Each span is that of an argument of ``draw``, whose default value is
    where its slider begins. Without ipywidgets there is the picture
    alone; without IPython, it is returned.
    """
    picture = draw()
    try:
        display = importlib.import_module("IPython.display").display
    except ImportError:
        return picture
    try:
        widgets = importlib.import_module("ipywidgets")
    except ImportError:
        display(picture)
        return None

    shown = {}
    made = {}
    for name, span in spans.items():
        shown[name] = inspect.signature(draw).parameters[name].default
        made[name] = widgets.IntSlider(
            shown[name],
            span.start,
            span[-1],
            span.step,
            description=name.replace("_", " "),
            # It draws once the slider is let go.
            continuous_update=False,
        )

    def redraw(**chosen: int) -> None:
        if chosen == shown:
            return
        place.update(draw(**chosen))
        shown.update(chosen)

    # What a redraw prints or raises stands below the sliders.
    said = widgets.interactive_output(redraw, made)
    display(widgets.VBox([*made.values(), said]))
    # An output of its own, which stays when the sliders are gone.
    place = display(picture, display_id=True)
    return None


# Pictures that move


def movie(
    title: str,
    scenes: "Mapping[str, Scene | Trace | Sequence[Run]]",
    *,
    alt: str,
    still: float | None = None,
    speed: float = 4.0,
) -> Movie:
    """What was recorded, on one clock, ``speed`` times as fast.

    A Trace, or runs with ``number``, ``worker``, ``start`` and ``end``,
    are shown as boxes: from the queue to a worker, and out. ``alt``
    says in words what is to be seen. In print, and where nothing may
    move, the picture stands at ``still``, or at the end.
    """
    made = {name: _scene(recorded) for name, recorded in scenes.items()}
    return movie_of(title, made, alt=alt, still=still, speed=speed)


def _scene(recorded: "Scene | Trace | Sequence[Run]") -> Scene:
    if isinstance(recorded, Trace):
        return Queue.of(recorded.spans, since=recorded.begun)
    if isinstance(recorded, Sequence):
        return Queue(recorded)
    return recorded


class Wire(httpx.AsyncBaseTransport):
    """A network in front of a transport, and a record of it.

    A message takes ``seconds`` each way. A reply at which the transport
    raises ReadError has been lost.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, seconds: float) -> None:
        self.transport = transport
        self.seconds = seconds
        self.messages: list[Message] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._pass(request.method, to_server=True)
        try:
            reply = await self.transport.handle_async_request(request)
        except httpx.ReadError:
            await self._pass("lost", to_server=False, lost=True)
            raise
        await self._pass(str(reply.status_code), to_server=False)
        return reply

    async def read(self, app: FastAPI, path: str, address: str) -> None:
        """Read a stream to its end, and record each of its pieces.

        ASGITransport would give them all together.
        """
        await self._pass("GET", to_server=True)
        words = ["200"]

        async def send(message: MutableMapping[str, Any]) -> None:
            if message.get("body"):
                # The first piece comes with the status.
                said = words.pop() if words else ""
                piece = Message(now(), now() + self.seconds, said, to_server=False)
                self.messages.append(piece)

        await app(scope_of("GET", path, address), _patient_client(), send)

    async def _pass(self, words: str, *, to_server: bool, lost: bool = False) -> None:
        sent = now()
        await asyncio.sleep(self.seconds)
        self.messages.append(Message(sent, now(), words, to_server, lost))


# Real time, and real servers


def measured(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine`` on an ordinary event loop, by the real clock.

    It runs in a thread, since Jupyter's own event loop occupies this
    one.
    """
    return run_for_real(coroutine)


@contextlib.contextmanager
def server(**settings: Any) -> Iterator[int]:
    """A real uvicorn in a process of its own; its port on loopback."""
    environ = {f"TASKMANAGER_{name.upper()}": str(settings[name]) for name in settings}
    arguments = ["--factory", "taskmanager.api:create_app", "--no-access-log"]
    with _uvicorn(arguments, environ) as process:
        yield _port_in(process.stderr)


@contextlib.contextmanager
def _uvicorn(
    arguments: Iterable[str], environ: dict[str, str]
) -> "Iterator[subprocess.Popen[str]]":
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--port=0",
        "--no-use-colors",
        *arguments,
    ]
    with subprocess.Popen(
        command,
        cwd=PROJECT,
        env=os.environ | environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _port_in(log: Iterable[str] | None) -> int:
    for line in log or []:
        if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    raise RuntimeError("the server did not start")


async def hammer(
    port: int, submission: dict[str, Any], connections: int, seconds: float
) -> tuple[float, list[float]]:
    """Submit again and again: answers a second, and each latency in ms.

    It is a closed loop: each connection asks again when it has its
    answer. It speaks HTTP by itself, since httpx would take most of the
    time. Raises RuntimeError where a submission is not accepted.
    """
    body = json.dumps(submission).encode()
    head = "POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
    message = f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    streams = [
        await asyncio.open_connection("127.0.0.1", port) for _ in range(connections)
    ]
    latencies: list[float] = []
    begun = time.perf_counter()

    async def keep_asking(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        asked = begun
        while asked < begun + seconds:
            writer.write(message)
            await _read_accepted(reader)
            answered = time.perf_counter()
            latencies.append((answered - asked) * 1000)
            asked = answered

    try:
        await asyncio.gather(*(keep_asking(*stream) for stream in streams))
        return len(latencies) / (time.perf_counter() - begun), latencies
    finally:
        for _, writer in streams:
            writer.close()


class Served:
    """An application on a real uvicorn, beside this notebook.

    It runs in a thread, with an event loop of its own. ``client`` is a
    client of it, for coroutines that ``run`` executes in that loop. The
    stop button ends such a coroutine, and not the server.
    """

    def __init__(self, app: FastAPI) -> None:
        self._loop = LastingLoop()

        # On a port that is free, where small pieces go at once.
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _, port = listening.getsockname()

        self._server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        self._serving = self._loop.begin(self._server.serve(sockets=[listening]))
        address = f"http://127.0.0.1:{port}"
        self.client = httpx.AsyncClient(base_url=address, timeout=60, trust_env=False)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it in the loop of the server, in real time.

        Raises TimeoutError after 60 s.
        """
        return self._loop.run(coroutine, 60)

    def stop(self) -> None:
        self.run(self.client.aclose())
        self._server.should_exit = True
        self._serving.result(timeout=10)
        self._loop.stop()


class Stall:
    """Measures how long the event loop was held up within its block.

    A ticker is due every millisecond; ``longest`` is by how much it was
    late at the worst, in ms. Python's garbage collector is off
    meanwhile, since its pauses would count as well.
    """

    def __init__(self) -> None:
        self.longest = 0.0

    async def __aenter__(self) -> "Stall":
        gc.disable()
        self._ticker = asyncio.create_task(self._tick())
        await asyncio.sleep(0.002)
        return self

    async def __aexit__(self, *_: object) -> None:
        # What has held it up last is noted as well.
        await asyncio.sleep(0.002)
        self._ticker.cancel()
        gc.enable()

    async def _tick(self) -> None:
        while True:
            due = time.perf_counter() + 0.001
            await asyncio.sleep(0.001)
            late = (time.perf_counter() - due) * 1000
            self.longest = max(self.longest, late)


async def pieces_of(app: FastAPI, path: str, media_type: str) -> list[bytes]:
    """The pieces in which an application sends an answer's body.

    The application is called without a server, as a server calls it.
    """
    sent: list[bytes] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message.get("body", b""))

    accept = [(b"accept", media_type.encode())]
    await app(scope_of("GET", path, headers=accept), _patient_client(), send)
    return [piece for piece in sent if piece]


async def peak_of(app: FastAPI, path: str) -> float:
    """The most memory that it takes to answer, in KiB.

    The application is called without a server, and what it sends is
    thrown away.
    """

    async def send(message: MutableMapping[str, Any]) -> None:
        pass

    tracemalloc.start()
    await app(scope_of("GET", path), _patient_client(), send)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / 1024


def _patient_client() -> Any:
    """A client that has sent its request, and stays for the answer."""
    return receive_from(b"", asyncio.Event())


# Whose end is watched


@dataclass(frozen=True)
class Poll:
    """A long poll: seconds since the signal, and what it was told."""

    begun: float
    over: float
    said: str


@dataclass(frozen=True)
class Stop:
    """A stop with open polls: when the process was gone, in seconds."""

    polls: list[Poll]
    gone: float


NewPoll = Callable[[httpx.AsyncClient], Awaitable[str]]


def stopped(new_poll: NewPoll, *arguments: str) -> Stop:
    """Start uvicorn, open five long polls, send SIGTERM, and look on.

    ``new_poll`` makes the path of a poll, which is opened then. Prints
    what each of them is told and when, and the server's log. Times
    count from the signal, and are rounded to 0.05 s. Whatever happens,
    the server is killed after 20 s.
    """
    with _uvicorn(arguments, {}) as process:
        bound = threading.Timer(20, process.kill)
        bound.start()
        try:
            port = _port_in(process.stderr)
            stop = measured(_stop(process, port, new_poll))
        finally:
            bound.cancel()

        for poll in stop.polls:
            begun = f"poll begun at {poll.begun:.2f} s"
            print(f"{begun}, over at {poll.over:.2f} s: {poll.said}")
        print(f"process gone at {stop.gone:.2f} s. Its log:")
        _print_log(process.stderr)
    return stop


async def _stop(process: "subprocess.Popen[str]", port: int, new_poll: NewPoll) -> Stop:
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
        polls = []
        for _ in range(5):
            path = await new_poll(client)
            polls.append(asyncio.create_task(_poll(client, path)))
            await asyncio.sleep(0.05)
        # After this, all are open.
        await asyncio.sleep(0.2)

        process.send_signal(signal.SIGTERM)
        signalled = time.monotonic()
        answers = await asyncio.gather(*polls)
        await asyncio.to_thread(process.wait)
        gone = time.monotonic()

    def after(moment: float) -> float:
        return round((moment - signalled) * 20) / 20

    ends = [Poll(after(poll.begun), after(poll.over), poll.said) for poll in answers]
    return Stop(ends, after(gone))


async def _poll(client: httpx.AsyncClient, path: str) -> Poll:
    begun = time.monotonic()
    try:
        answer = await client.get(path)
        said = answer.raise_for_status().json()["status"]
    except httpx.HTTPError:
        said = "an error"
    return Poll(begun, time.monotonic(), said)


def _print_log(log: IO[str] | None) -> None:
    for event, times in groupby(_events(log or [])):
        number = f"{len(list(times))} x " if event.startswith("task") else "    "
        print(number, event)


def _events(log: Iterable[str]) -> Iterator[str]:
    for line in log:
        # The engine logs each change of status, as JSON.
        if line.startswith("{"):
            change = json.loads(line)
            if "from" in change:
                yield f"task {change['from']} -> {change['to']}"
        elif line.startswith("INFO:"):
            yield re.sub(r"^INFO: +| \[\d+\]$", "", line.rstrip())


async def _read_accepted(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
    if not head.startswith(b"HTTP/1.1 202 ") or length is None:
        raise RuntimeError(f"not accepted: {head.decode()}")
    await reader.readexactly(int(length[1]))
