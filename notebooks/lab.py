"""The laboratory: what every notebook needs. An application, clients
with an address, a clock that jumps, pictures.

Rules: ``run`` executes a coroutine on virtual time, so that a task of
ten seconds takes none and each run shows the same. Between two calls of
``run`` time stands still. Ids come from a seeded generator, so they are
the same as well.
"""

import asyncio
import logging
import random
import re
import uuid
from collections.abc import Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import httpx
from cycler import cycler
from fastapi import FastAPI
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from benchmarks.plots import COLOURS, STYLE
from taskmanager import Settings, manager
from taskmanager.api import create_app
from taskmanager.testing import VirtualLoop, clocks_of

T = TypeVar("T")
DAY = 86_400.0

_loop = VirtualLoop()
_random = random.Random(2026)
manager.new_task_id = lambda: str(uuid.UUID(int=_random.getrandbits(128), version=4))  # type: ignore[attr-defined]
# a Trace shows the log where it matters
logging.getLogger("taskmanager").addHandler(logging.NullHandler())


# Time


def run(coroutine: Coroutine[Any, Any, T], limit: float = DAY) -> T:
    """Run ``coroutine`` on virtual time and return its result. Raises
    TimeoutError after ``limit`` virtual seconds.

    It runs in a thread, since Jupyter's own event loop occupies this
    one.
    """
    task = _loop.create_task(asyncio.wait_for(coroutine, limit))
    with clocks_of(_loop), ThreadPoolExecutor(1) as thread:
        try:
            return thread.submit(_loop.run_until_complete, task).result()
        except KeyboardInterrupt:  # the stop button
            _loop.call_soon_threadsafe(task.cancel)
            raise


def now() -> float:
    """Virtual seconds since this notebook began."""
    return _loop.time()


# Requests


def start(**settings: Any) -> FastAPI:
    """The application with these settings, running: its lifespan is
    entered, which ASGITransport would not do.
    """
    app = create_app(Settings(**settings))
    app.state.lifespan = app.router.lifespan_context(app)
    run(app.state.lifespan.__aenter__())
    return app


def stop(app: FastAPI) -> None:
    """Leave its lifespan: what a server does when it is told to stop."""
    run(app.state.lifespan.__aexit__(None, None, None))


def client(app: FastAPI, address: str = "10.0.0.1") -> httpx.AsyncClient:
    """A client that calls the application in this process, and is seen
    by it at ``address``.
    """
    transport = httpx.ASGITransport(app=app, client=(address, 50000))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8000")


def show(response: httpx.Response) -> None:
    """Print a request and its response as they are on the wire, long
    lines wrapped, the client's headers left out.
    """
    request = response.request
    print(f"{request.method} {request.url.raw_path.decode()} HTTP/1.1")
    if request.content:
        print(
            f"content-type: {request.headers['content-type']}\n\n{_wrapped(request.content.decode())}"
        )
    print(f"\nHTTP/1.1 {response.status_code} {response.reason_phrase}")
    for name, value in response.headers.items():
        print(f"{name}: {value}")
    print(f"\n{_wrapped(response.text)}")


def _wrapped(text: str) -> str:
    return re.sub(r"(.{80,110}?,)(?=.)", r"\1\n", text)


# Traces and pictures


@dataclass(frozen=True)
class Span:
    """A task was in ``status`` from ``start`` to ``end``, in virtual
    seconds, and ``then`` in the next.
    """

    task_id: str
    number: int  # of the task, from 1, in the order submitted
    status: str
    start: float
    end: float
    then: str
    worker: int | None  # from 1; None while queued


class Trace(logging.Handler):
    """Records what the engine logs from now on: a Span for each status
    that a task has left.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begun = now()
        self._spans: list[Span] = []
        # asyncio tasks, each a worker's loop, in the order they first
        # took a task
        self._workers: dict[Any, int] = {}
        self._taken: dict[str, int] = {}
        logger = logging.getLogger(manager.__name__)
        logger.setLevel(logging.INFO)
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        change: Any = record.args
        if (
            not isinstance(change, dict)
            or "from" not in change
            or "dropped" in record.msg
        ):
            return
        task_id, status, then = change["task_id"], change["from"], change["to"]
        if then == "processing":  # the worker's own loop says so
            self._taken[task_id] = self._workers.setdefault(
                asyncio.current_task(), len(self._workers) + 1
            )
        worker = self._taken.get(task_id) if status == "processing" else None
        self._spans.append(
            Span(task_id, 0, status, now() - change["seconds"], now(), then, worker)
        )

    @property
    def spans(self) -> list[Span]:
        """In the order they ended."""
        submitted = sorted(
            (span for span in self._spans if span.status == "queued"),
            key=lambda span: span.start,
        )
        numbers = {span.task_id: number for number, span in enumerate(submitted, 1)}
        return [
            replace(span, number=numbers.get(span.task_id, 0)) for span in self._spans
        ]

    def of(self, status: str) -> list[Span]:
        """The spans of tasks in this status, in the order they ended."""
        return [span for span in self.spans if span.status == status]


# Apart by lightness as well, so that they survive a print in grey.
COLOUR = {
    "queued": "#D9D9D9",
    "processing": "#E69F00",
    "completed": "#0072B2",
    "failed": "#8B1A1A",
    "cancelled": "#CC79A7",
}
ENDS = {"completed": "o", "failed": "X", "cancelled": "s"}  # markers
BLUE, AMBER, GREEN, RED, PINK, SKY, BLACK = COLOURS
NOTEBOOK = {
    "figure.figsize": (8.0, 3.2),
    "axes.prop_cycle": cycler(color=COLOURS),
    "legend.frameon": False,
    "svg.hashsalt": "notebooks",
}
plt.rcParams.update(STYLE | NOTEBOOK)
try:
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    set_matplotlib_formats("svg", metadata={"Date": None})
except (ImportError, AttributeError):  # not in a notebook
    pass


def axes(title: str, x: str, y: str, rows: int = 1, height: float = 3.2) -> Any:
    """An empty picture: its Axes, or a list of ``rows`` of them that
    share their x axis. Labels name their unit.
    """
    _, made = plt.subplots(rows, sharex=True, figsize=(8.0, height), squeeze=False)
    column: list[Axes] = list(made[:, 0])
    column[0].set_title(title)
    column[-1].set_xlabel(x)
    for each in column:
        each.set_ylabel(y)
    return column[0] if rows == 1 else column


def gantt(
    title: str, spans: Iterable[Span], since: float = 0.0, by: str = "task"
) -> Axes:
    """A bar for each span, from its start to its end after ``since``: a
    row for each task, or for each worker.
    """
    spans = list(spans)
    rows = [span.number if by == "task" else span.worker or 0 for span in spans]
    label = {"task": "task, in the order submitted", "worker": "worker"}[by]
    ax: Axes = axes(title, "time, s", label, height=1.2 + 0.25 * len(set(rows)))
    for row, span in zip(rows, spans, strict=True):
        bar(
            ax,
            row,
            span.start - since,
            span.end - since,
            span.status,
            str(span.number) if by == "worker" else "",
        )
        if span.then in ENDS:
            ax.plot(
                span.end - since,
                row,
                ENDS[span.then],
                color=COLOUR[span.then],
                markersize=8,
                clip_on=False,
            )
    ax.set_yticks(sorted(set(rows)))
    ax.invert_yaxis()
    legend(ax, {span.status for span in spans} | {span.then for span in spans})
    return ax


def bar(
    ax: Axes, row: float, start: float, end: float, status: str, label: str = ""
) -> None:
    """A horizontal bar from ``start`` to ``end``, in the colour of
    ``status``, with a short text in it.
    """
    ax.broken_barh(
        [(start, end - start)],
        (row - 0.4, 0.8),
        facecolor=COLOUR[status],
        edgecolor="#555",
        linewidth=0.6,
    )
    ax.text((start + end) / 2, row, label, ha="center", va="center", fontsize=9)


def legend(ax: Axes, statuses: Iterable[str]) -> None:
    """Explain the colours and signs of these statuses, right of the
    picture.
    """
    handles = [
        Line2D(
            [],
            [],
            color=COLOUR[status],
            marker=ENDS[status],
            linestyle="",
            markersize=8,
            label=status,
        )
        if status in ENDS
        else Patch(facecolor=COLOUR[status], edgecolor="#555", label=status)
        for status in COLOUR
        if status in set(statuses)
    ]
    ax.figure.legend(handles=handles, loc="outside right upper")
