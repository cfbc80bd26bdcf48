"""The lives that taskmanager/LIFE.md tells, as logs of real runs.

They are those of a task, a poll, a cancel and a stop.
``python -m tests.life`` plays them in virtual time, and writes the
page; test_life.py plays them too, and compares. What is noted stands in
CALLS, and why one call comes before another in LIVES: both are held
against the engine and the run, so neither rots.
"""

import ast
import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import httpx
import uvicorn

from taskmanager.api import create_app
from taskmanager.settings import Settings
from taskmanager.testing import client_of, run_in_virtual_time, running
from tests.helpers import SUM
from tests.syntax import PACKAGE

PAGE = PACKAGE / "LIFE.md"
# The event loop calls this once in each of its turns.
TURN = asyncio.Handle._run.__code__

# Functions by module and name, and what happens when they are called.
# What stands in braces are a function's own parameters. Those after the
# engine's are noted where the engine calls them, or waits for them.
CALLS = {
    "ratelimit.hit": "The limiter counts the request. Its body has not been read.",
    "api.submit_task": "The body has been read and checked.",
    "api.get_task": "The route finds the task, and looks whether there is news.",
    "api.cancel_task": "The route hands the id on.",
    "manager.submit": "It looks for a stop, a known key and a full queue first.",
    "store.add": "Task {task.number} is kept: whoever has its id finds it.",
    "pending._put": "Task {item.number} takes a slot, behind those that go first.",
    "pending._get": "The first in the queue leaves it; its slot is free.",
    "pending.remove": "Task {task.number} leaves the queue; its slot is free.",
    "manager.wait": "The long poll begins, with one deadline for all of it.",
    "manager.cancel": "It would refuse a task that has completed or failed.",
    "manager._change_status": "Task {task.number} is to be {status.value}.",
    "task.change_status": (
        "Task {self.number} goes from {self.status.value}, its version "
        "{self.version}, to {status.value}."
    ),
    "task.next_change": "Gives the Event that task {self.number}'s next change sets.",
    "task.to_dict": "The answer shows task {self.number} as it is now.",
    "task.report_progress": "The work reports {percent} %; 100 is shown at its end.",
    "workers._run_handler": (
        "Task {task.number}'s handler begins, and gets an asyncio task of its own."
    ),
    "task_types.run": "The work begins: {task_type}.",
    "workers._interrupt": (
        "Task {task.number}'s handler will get a CancelledError in its next turn."
    ),
    "store.forget_oldest": "The task that finished first is forgotten.",
    "stopping.on_signal": "The signal comes in the middle of whatever runs.",
    "manager.begin_stop": "No work is taken any more; what is not finished ends.",
    "manager.__aexit__": "The lifespan ends, and with it the background loops.",
    "asyncio.Event.set": "Whoever waits for this change becomes ready to run.",
    "asyncio.Event.wait": "Woken: the change that it waited for has come.",
    "uvicorn.handle_exit": "uvicorn notes that it has to stop.",
}
OUTSIDE = {
    ("asyncio.locks", "set"): "asyncio.Event.set",
    ("asyncio.locks", "wait"): "asyncio.Event.wait",
    ("uvicorn.server", "handle_exit"): "uvicorn.handle_exit",
}
# Whose turn it is, by the coroutine of its asyncio.Task.
WHOSE = {
    "_run_handler": "handler",
    "wait": "poll",
}


class OutdatedError(LookupError):
    """This file speaks of a call that the engine or a run has not."""


# How it is noted


@dataclass(frozen=True)
class Step:
    """A call, as it was made in a run."""

    at: float  # virtual seconds
    turn: int  # of the event loop, counted
    whose: str  # turn it is: the asyncio.Task
    # Below so many other steps of this turn.
    depth: int
    call: str
    what: str


class Recorder:
    """Notes the calls of CALLS in their order, while it is ``noting``.

    The interpreter tells of each call (``sys.setprofile``), so nothing
    of the engine is replaced. A coroutine is noted when it begins, not
    when it goes on; only the wait for an Event is noted when that ends.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.noting = False
        self.failures: list[str] = []
        self._turn = 0
        # In which turn each call began. It holds the frames, so that no
        # later one can be taken for one of them.
        self._begun: dict[FrameType, int] = {}
        self._events: list[object] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """See all that is called meanwhile."""
        before = sys.getprofile()
        sys.setprofile(self._see)
        try:
            yield
        finally:
            sys.setprofile(before)
            self._begun.clear()

    def _see(self, frame: FrameType, event: str, argument: object) -> None:
        if event != "call":
            return
        if frame.f_code is TURN:
            self._turn += 1
            return

        call = _name_of(frame)
        if call not in CALLS:
            return
        if self._counts(call, frame) and self.noting:
            self._note(call, frame)
        self._begun.setdefault(frame, self._turn)

    def _counts(self, call: str, frame: FrameType) -> bool:
        match call:
            case "asyncio.Event.wait":
                # An Event has no __eq__, so this goes by identity.
                return frame in self._begun and frame.f_locals["self"] in self._events
            case "asyncio.Event.set" if _is_engine(frame.f_back):
                self._events.append(frame.f_locals["self"])
                return True
            case "asyncio.Event.set":
                return False
            case _:
                return frame not in self._begun

    def _note(self, call: str, frame: FrameType) -> None:
        depth = 0
        caller = frame.f_back
        while caller is not None:
            depth += self._begun.get(caller) == self._turn
            caller = caller.f_back

        # Raised here, an error would end up in the engine.
        try:
            what = CALLS[call].format_map(dict(frame.f_locals))
        except (KeyError, AttributeError) as error:
            what = ""
            self.failures.append(f"{call} has no {error}")

        step = Step(
            at=asyncio.get_running_loop().time(),
            turn=self._turn,
            whose=_whose_turn(),
            depth=depth,
            call=call,
            what=what,
        )
        self.steps.append(step)


def _name_of(frame: FrameType) -> str:
    module = str(frame.f_globals.get("__name__"))
    name = frame.f_code.co_name
    if _is_engine(frame):
        return f"{module.removeprefix('taskmanager.')}.{name}"
    return OUTSIDE.get((module, name), "")


def _is_engine(frame: FrameType | None) -> bool:
    if frame is None:
        return False
    return str(frame.f_globals.get("__name__")).startswith("taskmanager.")


def _whose_turn() -> str:
    """The name of the asyncio.Task that runs.

    Where it was given none, its coroutine may have one, or is one of
    WHOSE.
    """
    task = asyncio.current_task()
    if task is None:
        return "the loop"
    if not task.get_name().startswith("Task-"):
        return task.get_name()

    coroutine: Any = task.get_coro()
    name = str(coroutine.cr_frame.f_locals.get("name", coroutine.__name__))
    return WHOSE.get(name, name)


# What is played


@asynccontextmanager
async def application() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a running application with one worker."""
    app = create_app(Settings(workers=1))
    async with running(app), client_of(app) as client:
        yield client


async def named(name: str, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run it in an asyncio.Task of this name."""
    return await asyncio.create_task(coroutine, name=name)


async def submitted(client: httpx.AsyncClient) -> str:
    """The path of a new task, which takes five seconds."""
    answer = await named("POST", client.post("/tasks", json=SUM))
    return str(answer.headers["Location"])


async def a_task(recorder: Recorder) -> None:
    async with application() as client:
        recorder.noting = True
        await submitted(client)
        await asyncio.sleep(660)
        recorder.noting = False


async def a_poll(recorder: Recorder) -> None:
    async with application() as client:
        path = await submitted(client)
        await asyncio.sleep(2.5)
        recorder.noting = True
        await named("GET", client.get(f"{path}?wait=true"))
        recorder.noting = False


async def a_cancel(recorder: Recorder) -> None:
    async with application() as client:
        processing = await submitted(client)
        queued = await submitted(client)
        await submitted(client)
        await asyncio.sleep(2.5)
        recorder.noting = True
        await named("DELETE", client.delete(queued))
        await named("DELETE", client.delete(processing))
        await asyncio.sleep(0.1)
        recorder.noting = False


async def a_stop(recorder: Recorder) -> None:
    asyncio.current_task().set_name("uvicorn")  # type: ignore[union-attr]
    # As it does when it runs, uvicorn gets the signal before the
    # lifespan starts, and ends that when all is answered.
    server = uvicorn.Server(uvicorn.Config("main:app"))
    before = signal.signal(signal.SIGTERM, server.handle_exit)
    try:
        async with application() as client:
            await submitted(client)
            path = await submitted(client)
            poll = asyncio.create_task(client.get(f"{path}?wait=true"), name="GET")
            await asyncio.sleep(2.5)
            recorder.noting = True
            # Its handler runs before this returns. In Python 3.10, that
            # of raise_signal runs somewhat later.
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
            await poll
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(frozen=True)
class Reason:
    """Why ``first`` comes before ``then``."""

    first: str
    then: str
    why: str
    # No other turn may come between them.
    in_one_turn: bool = False


@dataclass(frozen=True)
class Life:
    """What is played, and why its order matters."""

    title: str
    story: str
    play: Callable[[Recorder], Coroutine[Any, Any, None]]
    reasons: list[Reason]


LIVES = [
    Life(
        "The life of a task",
        "It is submitted, takes five seconds, and is kept for ten minutes more.",
        a_task,
        [
            Reason(
                "ratelimit.hit",
                "api.submit_task",
                "Bodies that turn out to be malformed are counted, too.",
            ),
            Reason(
                "store.add",
                "pending._put",
                "With an `await` between them, somebody could find a task that no "
                "worker will ever get.",
                in_one_turn=True,
            ),
            Reason(
                "task.to_dict",
                "pending._get",
                "Even where a worker is idle, the answer to a submission says "
                "*queued*: a full slot only makes the worker ready to run.",
            ),
            Reason(
                "manager._change_status",
                "task_types.run",
                "The task is *processing* before its handler does anything, so what "
                "the handler reports is never about a queued one.",
            ),
            Reason(
                "task.change_status",
                "store.forget_oldest",
                "The ten minutes count from the finish. The cleanup that comes next "
                "after them may be up to 30 s late.",
            ),
        ],
    ),
    Life(
        "The life of a poll",
        "Half-way through the task, a client asks to be told of its next change.",
        a_poll,
        [
            Reason(
                "api.get_task",
                "manager.wait",
                "The version that the client has seen is settled in the turn of its "
                "request. One turn later, the task may have changed already, and "
                "the poll would wait for another change.",
            ),
            Reason(
                "manager.wait",
                "task.next_change",
                "To look for news and to ask for the Event is one step. A change "
                "between the two would wake nobody, and the poll would sleep on.",
                in_one_turn=True,
            ),
            Reason(
                "task.change_status",
                "asyncio.Event.set",
                "Whoever is woken finds a task that has changed in all its fields. "
                "Progress alone wakes nobody.",
                in_one_turn=True,
            ),
            Reason(
                "asyncio.Event.set",
                "asyncio.Event.wait",
                "The poll runs in a later turn, when there may have been one more "
                "change. This Event stays set all the same, since the next change "
                "sets another: clearing one and the same could lose the wake-up.",
            ),
        ],
    ),
    Life(
        "The life of a cancel",
        "Of three tasks, the second, which is queued, is cancelled; then the first, "
        "which is processing. The third gets the worker.",
        a_cancel,
        [
            Reason(
                "pending.remove",
                "task.change_status",
                "The slot of a queued task is free as soon as the task is cancelled: "
                "an entry that waited for a worker would make an empty queue full.",
                in_one_turn=True,
            ),
            Reason(
                "task.change_status",
                "workers._interrupt",
                "The status is terminal before the handler hears of it, so whatever "
                "the handler makes of its CancelledError comes too late to count.",
            ),
            Reason(
                "task.to_dict",
                "workers._interrupt",
                "The answer waits for no handler, which might ignore its cancellation.",
            ),
            Reason(
                "workers._interrupt",
                "pending._get",
                "Nor does the worker: it takes the next task at once.",
                in_one_turn=True,
            ),
        ],
    ),
    Life(
        "The life of a stop",
        "SIGTERM comes while one task is processing, one is queued, and a poll waits "
        "for that one.",
        a_stop,
        [
            Reason(
                "stopping.on_signal",
                "manager.begin_stop",
                "A signal interrupts anything, even half a change of status. So its "
                "handler only asks the loop for a turn, in which nothing is half done.",
            ),
            Reason(
                "manager.begin_stop",
                "asyncio.Event.wait",
                "The poll is answered because its task ends: a stop wakes whoever "
                "waits, for free.",
            ),
            Reason(
                "asyncio.Event.wait",
                "manager.__aexit__",
                "uvicorn ends the lifespan when all is answered. If only that woke "
                "the poll, each would wait for the other.",
            ),
        ],
    ),
]


# How it is told

HEAD = """\
# The life of a task, a poll, a cancel and a stop

Each table is the log of a real run, in virtual time, with one worker. A
row is a call, by module and name: the modules stand beside this page.
One that begins with a dot was made by the one above it that has a dot
less. *At* counts the seconds since the start. *Whose turn* names the
asyncio task that the event loop runs: until the next name, nothing else
runs. `python -m tests.life` wrote this page, and a test plays the runs
again.
"""


def page() -> str:
    """LIFE.md, from new runs. Raises OutdatedError."""
    check_calls()
    return "\n".join([HEAD, *map(section, LIVES)])


def section(life: Life) -> str:
    """A life as it is told. Raises OutdatedError."""
    steps = played(life)
    rows = ["| at | whose turn | call | what happens |", "|---|---|---|---|"]
    turn = None
    for step in steps:
        when = f"{step.at:g} s | {step.whose}"
        if step.turn == turn:
            when = " | "
        rows.append(f"| {when} | {'· ' * step.depth}`{step.call}` | {step.what} |")
        turn = step.turn

    reasons = []
    for reason in life.reasons:
        check_reason(reason, steps)
        together = ", in one turn" if reason.in_one_turn else ""
        order = f"`{reason.first}` before `{reason.then}`{together}"
        reasons.append(f"- {order}: {reason.why}")

    return "\n".join(
        [
            f"## {life.title}\n",
            f"{life.story}\n",
            *rows,
            "\nWhy this order matters:\n",
            *reasons,
            "",
        ]
    )


def played(life: Life) -> list[Step]:
    """The steps of a new run. Raises OutdatedError."""
    recorder = Recorder()
    with recorder.watching():
        run_in_virtual_time(life.play(recorder))

    for failure in recorder.failures:
        raise OutdatedError(f"{failure}: mend CALLS in tests/life.py")
    return recorder.steps


def check_calls() -> None:
    """Raise OutdatedError where a name in CALLS is no single function.

    Each has to be exactly one function of the engine.
    """
    for call in sorted(CALLS.keys() - set(OUTSIDE.values())):
        module, name = call.split(".")
        path = PACKAGE / f"{module}.py"
        source = path.read_text(encoding="utf-8") if path.exists() else ""
        functions = [
            node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and node.name == name
        ]
        if len(functions) != 1:
            raise OutdatedError(
                f"the engine has {len(functions)} functions {call}, not one: "
                "mend CALLS in tests/life.py"
            )


def check_reason(reason: Reason, steps: list[Step]) -> None:
    """Raise OutdatedError where a run does not show the reason.

    Some call of it has to come before the other as it should.
    """
    for first in steps:
        for then in steps[steps.index(first) :]:
            together = first.turn == then.turn
            in_order = (first.call, then.call) == (reason.first, reason.then)
            if in_order and (together or not reason.in_one_turn):
                return
    raise OutdatedError(
        f"{reason.then} does not come after {reason.first} in this run: "
        "mend LIVES in tests/life.py"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
