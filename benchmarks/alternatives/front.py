"""What is the same in front of each: FastAPI's models, and slowapi.

The limit is so high that it is never met; slowapi counts all the same.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated

from fastapi import FastAPI
from pydantic import BaseModel, Field
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from slowapi.util import get_remote_address

from benchmarks.alternatives.job import Sum

LIMIT = "1000000000/minute"
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

limiter = Limiter(key_func=get_remote_address)


class Work(BaseModel):
    numbers: Annotated[list[int], Field(min_length=1, max_length=10_000)]
    seconds: Annotated[float, Field(ge=0, le=60)] = 0.0


class Answer(BaseModel):
    task_id: str
    status: str
    result: Sum | None = None


def limited_app(lifespan: Lifespan | None = None) -> FastAPI:
    """An application whose routes slowapi's decorator limits."""
    app = FastAPI(lifespan=lifespan)
    app.state.limiter = limiter
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)
    return app
