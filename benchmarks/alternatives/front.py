"""What is the same in front of each: FastAPI's models, and slowapi.

The limit is so high that it is never met; slowapi counts all the same.
It does so in a decorator of each route, as its docs begin. SLOWAPI can
name its middleware in place of that, which counts what is refused or
unknown as well.
"""

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from slowapi import Limiter
from slowapi.errors import RateLimitExceeded
from slowapi.middleware import SlowAPIMiddleware
from slowapi.util import get_remote_address

from benchmarks.alternatives.job import Sum

LIMIT = "1000000000/minute"
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
Route = TypeVar("Route", bound=Callable[..., object])


def as_it_is(route: Route) -> Route:
    """A decorator that leaves a route alone."""
    return route


limiter = Limiter(key_func=get_remote_address)
limited = limiter.limit(LIMIT)
in_middleware = os.environ.get("SLOWAPI") == "middleware"
if in_middleware:
    limiter = Limiter(key_func=get_remote_address, default_limits=[LIMIT])
    limited = as_it_is


class Work(BaseModel):
    numbers: Annotated[list[int], Field(min_length=1, max_length=10_000)]
    seconds: Annotated[float, Field(ge=0, le=60)] = 0.0


class Answer(BaseModel):
    task_id: str
    status: str
    result: Sum | None = None


def refused(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 429)


def limited_app(lifespan: Lifespan | None = None) -> FastAPI:
    """An application; each of its routes is to be ``limited``."""
    app = FastAPI(lifespan=lifespan)
    app.state.limiter = limiter
    app.add_exception_handler(RateLimitExceeded, refused)
    if in_middleware:
        app.add_middleware(SlowAPIMiddleware)
    return app
