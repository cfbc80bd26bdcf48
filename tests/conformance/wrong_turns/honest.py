"""A minimal honest solution of the exercise, in one class.

A wrong turn overrides the one method that it breaks.
"""

import asyncio
import json
import logging
import math
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

logger = logging.getLogger(__name__)
FINAL = ("completed", "failed", "cancelled")
STATUSES = ("queued", "processing", *FINAL)
RANK = {"high": 0, "normal": 1, "low": 2}
# What a client sees of a task.
SHOWN = (
    "task_id",
    "task_type",
    "priority",
    "status",
    "progress",
    "result",
    "error",
)


class TaskFailedError(Exception):
    """The work cannot be done."""


class Submission(BaseModel):
    task_type: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    priority: str = "normal"


class Honest:
    """The whole application; a server serves ``Honest().app``."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}
        self.running: dict[str, asyncio.Task[Any]] = {}
        self.clients: dict[str, deque[float]] = {}
        self.submitted = 0

        self.app: FastAPI = FastAPI(title="Tasks", lifespan=self.lifespan)
        self.app.add_exception_handler(RequestValidationError, self.invalid)
        self.app.post("/tasks", status_code=202)(self.submit)
        self.app.get("/tasks/{task_id}")(self.read)
        self.app.get("/tasks")(self.list_tasks)
        self.app.delete("/tasks/{task_id}")(self.cancel)
        self.limiter_goes_first()

    def limiter_goes_first(self) -> None:
        self.app.add_middleware(Limiter, allow=self.allow)

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        self.queue: asyncio.Queue[Any] = asyncio.PriorityQueue()
        self.lock = asyncio.Lock()
        background = [
            asyncio.create_task(self.work()),
            asyncio.create_task(self.clean_regularly()),
        ]
        yield

        for task in [*background, *self.running.values()]:
            task.cancel()
        await asyncio.gather(
            *background, *self.running.values(), return_exceptions=True
        )

    # Routes

    async def submit(self, submission: Submission) -> JSONResponse:
        self.check(submission)
        task = self.new_task(submission)
        if self.full():
            raise HTTPException(503, "the queue is full; try again later")

        self.tasks[task["task_id"]] = task
        self.put(task)
        return JSONResponse(self.shown(task), 202)

    def new_task(self, submission: Submission) -> dict[str, Any]:
        self.submitted += 1
        return {
            "task_id": str(uuid.uuid4()),
            "number": self.submitted,
            **submission.model_dump(),
            "status": "queued",
            "progress": 0,
            "result": None,
            "error": None,
            "event": asyncio.Event(),
            "created": time.monotonic(),
            "finished": math.inf,
        }

    def full(self) -> bool:
        statuses = [task["status"] for task in self.tasks.values()]
        return statuses.count("queued") >= 100

    def put(self, task: dict[str, Any]) -> None:
        self.queue.put_nowait((RANK[task["priority"]], task["number"], task["task_id"]))

    async def read(self, task_id: str, wait: bool = False) -> JSONResponse:
        task = self.find(task_id)
        if wait:
            await self.wait(task)
        return JSONResponse(self.shown(task))

    async def wait(self, task: dict[str, Any]) -> None:
        if task["status"] not in FINAL:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(task["event"].wait(), 10)

    async def list_tasks(
        self, status: str | None = None, limit: int | None = None
    ) -> StreamingResponse:
        if status not in (None, *STATUSES):
            raise HTTPException(400, f"status is to be one of {', '.join(STATUSES)}")
        if limit is not None and limit < 1:
            raise HTTPException(400, "limit is to be at least 1")

        pieces = self.stream(status, limit or 10**9)
        return StreamingResponse(pieces, media_type="application/json")

    async def stream(self, status: str | None, limit: int) -> AsyncIterator[str]:
        yield "["
        sent = 0
        for task in self.listed():
            if sent < limit and status in (None, task["status"]):
                yield self.piece(task, first=sent == 0)
                sent += 1
        yield "]"

    def listed(self) -> Iterable[dict[str, Any]]:
        return list(self.tasks.values())

    def piece(self, task: dict[str, Any], first: bool) -> str:
        comma = "" if first else ","
        return comma + self.written(task)

    def written(self, task: dict[str, Any]) -> str:
        return json.dumps(self.shown(task))

    async def cancel(self, task_id: str) -> JSONResponse:
        task = self.find(task_id)
        if task["status"] in ("completed", "failed"):
            raise HTTPException(409, f"the task has {task['status']} already")

        # A second DELETE leaves the time of its end as it is.
        if task["status"] != "cancelled":
            self.cancel_task(task)
        return JSONResponse(self.shown(task))

    def cancel_task(self, task: dict[str, Any]) -> None:
        run = self.running.get(task["task_id"])
        self.change(task, "cancelled")
        if run is not None:
            run.cancel()

    def find(self, task_id: str) -> dict[str, Any]:
        if task_id not in self.tasks:
            raise HTTPException(404, "there is no such task")
        return self.tasks[task_id]

    def shown(self, task: dict[str, Any]) -> dict[str, Any]:
        return {name: task[name] for name in SHOWN}

    def check(self, submission: Submission) -> None:
        match submission.task_type:
            case "compute_sum":
                numbers = submission.parameters.get("numbers")
                if not numbers or not all(map(self.is_number, numbers)):
                    raise HTTPException(
                        400, "parameters.numbers is to be a list of numbers"
                    )
            case "generate_report" | "simulate_failure":
                pass
            case _:
                raise HTTPException(
                    400, f"there is no task type {submission.task_type!r}"
                )

        if submission.priority not in RANK:
            raise HTTPException(400, f"priority is to be one of {', '.join(RANK)}")

    def is_number(self, value: Any) -> bool:
        # Infinity, or 1e999, cannot be written as JSON.
        return type(value) in (int, float) and math.isfinite(value)

    async def invalid(self, request: Request, error: Exception) -> JSONResponse:
        errors = error.errors() if isinstance(error, RequestValidationError) else []
        detail = [{"where": each["loc"], "what": each["msg"]} for each in errors]
        return JSONResponse({"detail": detail}, 400)

    # Work

    async def work(self) -> None:
        await asyncio.gather(*(self.worker() for _ in range(5)))

    async def worker(self) -> None:
        while True:
            await self.work_once()

    async def work_once(self) -> None:
        *_, task_id = await self.fetch()
        task = self.tasks.get(task_id)
        # It may have been cancelled meanwhile.
        if task is not None and task["status"] == "queued":
            await self.process(task)

    async def fetch(self) -> Any:
        return await self.queue.get()

    async def process(self, task: dict[str, Any]) -> None:
        self.change(task, "processing")
        run = asyncio.create_task(self.perform(task))
        self.running[task["task_id"]] = run
        try:
            result = await run
        except asyncio.CancelledError:
            # Not the task was cancelled, but this worker.
            if task["status"] != "cancelled":
                run.cancel()
                raise
        except Exception as error:
            self.fail(task, error)
        else:
            self.complete(task, result)
        finally:
            del self.running[task["task_id"]]

    def complete(self, task: dict[str, Any], result: Any) -> None:
        if task["status"] == "processing":
            task["result"] = result
            self.change(task, "completed")

    def fail(self, task: dict[str, Any], error: Exception) -> None:
        match error:
            case TaskFailedError():
                task["error"] = str(error)
            case _:
                logger.exception("a task crashed")
                task["error"] = "internal error"
        self.change(task, "failed")

    async def perform(self, task: dict[str, Any]) -> Any:
        match task["task_type"]:
            case "compute_sum":
                await self.take(task, 5)
                return sum(task["parameters"]["numbers"])
            case "generate_report":
                await self.take(task, 15)
                return {"report": "nothing happened"}
            case _:
                await self.take(task, 5)
                raise TaskFailedError("it was to fail")

    async def take(self, task: dict[str, Any], seconds: int) -> None:
        for second in range(seconds):
            await asyncio.sleep(1)
            task["progress"] = 100 * (second + 1) // seconds

    def change(self, task: dict[str, Any], status: str) -> None:
        """Go to a status, and wake those who wait for it.

        Each change has an event of its own.
        """
        logger.info("task %s: %s -> %s", task["task_id"], task["status"], status)
        task["status"] = status
        if status in FINAL:
            task["finished"] = time.monotonic()

        changed = task["event"]
        task["event"] = asyncio.Event()
        changed.set()

    # Limits and cleanup

    async def allow(self, scope: Any) -> bool:
        """Whether this request is within the limit of its address.

        That is ten in any sixty seconds.
        """
        now = time.monotonic()
        times = self.clients.setdefault(self.address(scope), deque())
        async with self.lock:
            while times and self.has_left(times[0], now):
                times.popleft()
            if self.too_many(len(times)):
                return False
            times.append(now)
            return True

    def has_left(self, accepted: float, now: float) -> bool:
        return accepted <= now - 60

    def too_many(self, accepted: int) -> bool:
        return accepted >= 10

    def address(self, scope: Any) -> str:
        address, _ = scope["client"]
        return str(address)

    async def clean_regularly(self) -> None:
        while True:
            await asyncio.sleep(30)
            self.clean(time.monotonic())

    def clean(self, now: float) -> None:
        for task_id, task in list(self.tasks.items()):
            if self.is_old(task, now):
                self.remove(task_id)
        self.forget_clients(now)

    def is_old(self, task: dict[str, Any], now: float) -> bool:
        return bool(task["finished"] + 600 <= now)

    def remove(self, task_id: str) -> None:
        del self.tasks[task_id]

    def forget_clients(self, now: float) -> None:
        for address, times in list(self.clients.items()):
            if not times or times[-1] <= now - 60:
                del self.clients[address]


class Limiter:
    """Pure ASGI middleware, which decides before the body is read."""

    def __init__(self, app: Any, allow: Callable[[Any], Awaitable[bool]]) -> None:
        self.app = app
        self.allow = allow

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        is_counted = scope["type"] == "http" and scope["path"].startswith("/tasks")
        if is_counted and not await self.allow(scope):
            await self.refusal()(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def refusal(self) -> Any:
        return JSONResponse({"detail": "ten requests a minute are the limit"}, 429)


app = Honest().app
