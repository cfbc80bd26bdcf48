"""Executors: where the CPU-bound work of tasks is done, chosen by the
environment; the engine takes any of them.

Rule: the seam is ``concurrent.futures.Executor``. One that may lose its
workers for a while says so: it raises BrokenExecutor for work that got
lost, and its ``lost`` is true until they are back. Nothing here needs
Dask, unless Dask is asked for.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from taskmanager.settings import PREFIX, SettingsError

KIND, SCHEDULER = PREFIX + "EXECUTOR", PREFIX + "DASK_SCHEDULER"
Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


def from_env(environ: Mapping[str, str]) -> Executor | None:
    """The executor that TASKMANAGER_EXECUTOR names, not started yet;
    None for the engine's own processes.

    Raises SettingsError.
    """
    match environ.get(KIND, "").strip().lower() or "process":
        case "process":
            return None
        case "thread":
            return ThreadPoolExecutor(thread_name_prefix="work")
        case "dask":
            scheduler = _address(environ.get(SCHEDULER, "").strip())
            try:
                from taskmanager.dask_executor import DaskExecutor
            except ModuleNotFoundError as error:
                needs = f"{KIND}=dask needs {error.name}: pip install -r taskmanager/requirements-dask.txt"
                raise SettingsError(needs) from None
            return DaskExecutor(scheduler)
        case other:
            raise SettingsError(
                f"{KIND} must be process, thread or dask; got {other!r:.40}"
            )


def around(executor: Executor, lifespan: Lifespan) -> Lifespan:
    """A lifespan that starts ``executor`` before the engine, and shuts
    it down after it.
    """

    @asynccontextmanager
    async def both(app: Any) -> AsyncIterator[Any]:
        # it blocks the event loop, which has nobody to serve before the
        # start and after the stop
        with executor:
            async with lifespan(app) as state:
                yield state

    return both


def _address(text: str) -> str | None:
    try:
        url = urlsplit(text)
        fits = (
            url.scheme == "tcp"
            and bool(url.hostname)
            and bool(url.port)
            and text == f"tcp://{url.netloc}"
        )
    except ValueError:  # the port is no number
        fits = False
    if text and not fits:
        raise SettingsError(f"{SCHEDULER} must be tcp://host:port; got {text!r:.80}")
    return text or None
