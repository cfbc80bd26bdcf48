"""A task manager: the skeleton, in which every route answers 501.

pip install -r requirements.txt
uvicorn main:app --reload
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

logger = logging.getLogger(__name__)


class Submission(BaseModel):
    """What a client hands in."""

    task_type: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    priority: str = "normal"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start what runs in the background, and end it."""
    logger.info("starting")
    yield
    logger.info("stopping")


app = FastAPI(title="Task manager", lifespan=lifespan)


@app.post("/tasks", status_code=202)
async def submit(submission: Submission) -> Any:
    """Take a task."""
    raise HTTPException(501, "POST /tasks is not implemented yet")


@app.get("/tasks")
async def list_tasks(status: str | None = None, limit: int | None = None) -> Any:
    """List the tasks."""
    raise HTTPException(501, "GET /tasks is not implemented yet")


@app.get("/tasks/{task_id}")
async def read(task_id: str, wait: bool = False) -> Any:
    """Show a task, or wait for news of it."""
    raise HTTPException(501, "GET /tasks/{task_id} is not implemented yet")


@app.delete("/tasks/{task_id}")
async def cancel(task_id: str) -> Any:
    """Cancel a task."""
    raise HTTPException(501, "DELETE /tasks/{task_id} is not implemented yet")
