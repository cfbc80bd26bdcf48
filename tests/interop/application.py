"""The application that servers and proxies are played with.

It is the project's own, in a wrapper that can be asked for two things
more: ``POST /fill`` puts tasks there without a rate limit, and a list
that is asked for with the header ``X-Slowly`` pauses after each piece,
so that one sees whether the pieces come as they are sent.
"""

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from main import app as project
from taskmanager.manager import TaskManager

# Not that of tests/helpers.py: servers' environments have no httpx.
TASK = {"task_type": "compute_sum", "parameters": {"numbers": [1]}}
# Several pages of a list, and tasks that are not cancelled: about one
# of each page.
FILLING = 768
NOT_CANCELLED = 96
# Seconds after each piece.
PAUSE = 0.25


class Application:
    """An ASGI application around another."""

    def __init__(self, inner: ASGIApp, state: Any) -> None:
        self.inner = inner
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_slowly(message: Message) -> None:
            await send(message)
            if message.get("more_body"):
                await asyncio.sleep(PAUSE)

        if scope["type"] == "http" and scope["path"] == "/fill":
            manager: TaskManager = self.state.manager
            for number in range(FILLING):
                task = manager.submit(TASK)
                if number % NOT_CANCELLED:
                    manager.cancel(task.task_id)
            headers = [(b"content-length", b"0")]
            start = {"type": "http.response.start", "status": 200, "headers": headers}
            await send(start)
            await send({"type": "http.response.body"})
        elif b"x-slowly" in dict(scope.get("headers", [])):
            await self.inner(scope, receive, send_slowly)
        else:
            await self.inner(scope, receive, send)


app = Application(project, project.state)
