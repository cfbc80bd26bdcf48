"""The fixtures that several test modules share.

Rule: it imports what a fixture needs where it needs it. The grading in
conformance/ is loaded below this, and needs none of that.
"""

import logging
import multiprocessing
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.helpers import Gate


@pytest.fixture(autouse=True, scope="session")
def ready_to_freeze() -> None:
    """Once before any test freezes time.

    pydantic imports lazily, and breaks while frozen.
    """
    import freezegun

    from taskmanager.api import create_app
    from taskmanager.settings import Settings

    freezegun.configure(extend_ignore_list=["_pytest.timing"])
    create_app(Settings())


@pytest.fixture(autouse=True, scope="session")
def no_word_of_slow_turns() -> None:
    """asyncio's debug mode logs each turn of the loop that took long.

    On a busy machine that may be any, and tests read what is logged.
    """

    def is_of_a_fault(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Executing ")

    logging.getLogger("asyncio").addFilter(is_of_a_fault)


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
def gate(monkeypatch: pytest.MonkeyPatch) -> "Gate":
    """Handlers that hold their task until the test opens its gate."""
    from taskmanager import task_types
    from tests.helpers import Gate

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
    from taskmanager import task_types

    return lambda run: monkeypatch.setattr(task_types, "run", run)
