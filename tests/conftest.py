"""The fixtures that several test modules share."""

import multiprocessing
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import freezegun
import pytest

from taskmanager import task_types
from taskmanager.api import create_app
from taskmanager.settings import Settings
from tests.helpers import Gate

freezegun.configure(extend_ignore_list=["_pytest.timing"])
# Once before any test freezes time: pydantic imports lazily, and breaks
# while frozen.
create_app(Settings())


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Each test ends the threads and the processes that it began.

    At its own end the interpreter waits for those that are no daemons,
    and might do so for ever. And Ctrl-C does what it did before.
    """
    on_interrupt = signal.getsignal(signal.SIGINT)
    threads = set(threading.enumerate())
    processes = set(multiprocessing.active_children())
    yield

    begun: set[Any] = set(threading.enumerate()) - threads
    begun |= set(multiprocessing.active_children()) - processes
    for each in begun:
        if not each.daemon:
            each.join(5)
            assert not each.is_alive(), each
    assert signal.getsignal(signal.SIGINT) == on_interrupt


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Handlers that hold their task until the test opens its gate."""
    gate = Gate()
    monkeypatch.setattr(task_types, "run", gate.run)
    return gate


@pytest.fixture
def handle_with(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Callable[..., Awaitable[Any]]], None]:
    """Replaces the handlers by one coroutine function.

    It is called with task_type, parameters and tools.
    """
    return lambda run: monkeypatch.setattr(task_types, "run", run)
