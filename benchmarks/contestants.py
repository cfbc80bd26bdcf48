"""Who takes part where the engine is compared with whole alternatives.

Each is a web process that takes jobs by POST and tells of them by GET.
Most have Redis and a worker besides, all of them on loopback. Five jobs
run at once, everywhere, and a limiter counts every request.
"""

import contextlib
import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from benchmarks import load
from benchmarks.harness import Bench
from benchmarks.processes import PATIENCE, Program, Programs, free_port, programs

# Another checkout of this project, to be measured as well.
BESIDE: Path | None = None
if "BENCHMARKS_BESIDE" in os.environ:
    BESIDE = Path(os.environ["BENCHMARKS_BESIDE"]).resolve()
HOW_TO_GET = "pip install -r benchmarks/requirements-alternatives.txt"
REDIS_SERVER = shutil.which("redis-server")
WORKERS = 5
# They admit the load, and the limiter counts all the same.
SETTINGS: dict[str, object] = {
    "workers": WORKERS,
    "rate_limit": 10**9,
    "queue_size": 10**6,
    "max_tasks": 10**6,
}
PLAIN = ["--loop", "asyncio", "--http", "h11"]
STANDARD = ["--loop", "uvloop", "--http", "httptools"]
_POLLS = 0.01


@dataclass(frozen=True)
class Contestant:
    """A way to have jobs done, and to learn of their results."""

    name: str
    # A module of benchmarks.alternatives; taskmanager has none.
    module: str = ""
    # What has to be installed.
    needs: tuple[str, ...] = ()
    # How its worker is started, if it has one: after "python -m".
    worker: tuple[str, ...] = ()
    # uvicorn with uvloop and httptools.
    standard: bool = True
    # The engine's log, as main.py sets it up.
    log: bool = True
    # A request that waits for the result, in place of polls.
    long_poll: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    root: Path = load.ROOT

    @property
    def ours(self) -> bool:
        return not self.module

    @property
    def durable(self) -> bool:
        """Whether jobs are kept outside the web process."""
        return bool(self.worker)

    @property
    def query(self) -> str:
        return "?wait=true" if self.long_poll else ""

    @property
    def pause(self) -> float:
        """Seconds between two polls."""
        return 0.0 if self.long_poll else _POLLS

    def missing(self) -> list[str]:
        """What it needs and this machine does not have."""
        needed = list(self.needs)
        if self.standard:
            needed += ["uvloop", "httptools"]
        missing = [name for name in needed if find_spec(name) is None]
        if self.durable and REDIS_SERVER is None:
            missing.append("redis-server")
        return missing

    def job(self, number: int, seconds: float = 0.0) -> load.Job:
        """A job of its own, which takes so long.

        How long the engine's take is set at its start.
        """
        numbers = [
            number,
            1,
            2,
        ]
        body: dict[str, object] = {"numbers": numbers, "seconds": seconds}
        if self.ours:
            body = {"task_type": "compute_sum", "parameters": {"numbers": numbers}}
        return load.Job(number, json.dumps(body).encode(), {"sum": number + 3})

    def jobs(self, seconds: float = 0.0, first: int = 0) -> Iterator[load.Job]:
        return (self.job(number, seconds) for number in itertools.count(first))


class Running:
    """A contestant's programs, while they run."""

    def __init__(
        self,
        contestant: Contestant,
        together: Programs,
        seconds: float,
        noted: bool,
    ) -> None:
        self.contestant = contestant
        self.programs = together
        # Where each run of a job is noted, if it is.
        self.notes = together.folder / "notes"

        # The engine's sum takes five simulated seconds.
        self._variables = load.environment(**SETTINGS, work_scale=seconds / 5)
        self._variables |= contestant.variables
        if noted:
            self._variables["JOB_NOTES"] = str(self.notes)
        self._variables["ALTERNATIVE"] = contestant.module
        if contestant.durable:
            self._start_redis()

        self.port = 0
        self.begun = time.perf_counter()
        self.web = self.start_web()
        self.worker = self.start_worker() if contestant.durable else None

    async def do_jobs(
        self,
        jobs: Iterator[load.Job],
        clients: int,
        seconds: float,
        patience: float | None = None,
    ) -> load.Known:
        """Have clients do jobs, for some seconds."""
        return await load.do_jobs(
            self.port,
            jobs,
            clients=clients,
            seconds=seconds,
            query=self.contestant.query,
            pause=self.contestant.pause,
            patience=patience,
        )

    async def until_started(self, jobs: Iterator[load.Job]) -> int:
        """Wait for a first result; how many jobs were lost before."""
        for lost in range(10):
            with contextlib.suppress(load.JobUndoneError):
                await self.do_jobs(jobs, 1, 0.0, PATIENCE)
                return lost
        raise RuntimeError(f"{self.contestant.name} loses every job")

    def start_web(self) -> Program:
        target = "main:app"
        if self.contestant.module == "background_tasks":
            target = "benchmarks.alternatives.background_tasks:app"
        elif not self.contestant.ours:
            target = "benchmarks.alternatives.queue_app:app"
        elif not self.contestant.log:
            target = load.FACTORY
        options = STANDARD if self.contestant.standard else PLAIN
        web, self.port = self.programs.serve(
            target, options, self._variables, self.contestant.root
        )
        return web

    def start_worker(self) -> Program:
        return self.programs.start(
            [*_PYTHON, *self.contestant.worker], self._variables, self.contestant.root
        )

    def _start_redis(self) -> None:
        assert REDIS_SERVER is not None
        port = free_port()
        options = {
            "--bind": "127.0.0.1",
            "--port": str(port),
            "--dir": str(self.programs.folder),
            # Nothing is written to a disk.
            "--save": "",
            "--appendonly": "no",
        }
        command = [REDIS_SERVER, *itertools.chain.from_iterable(options.items())]
        redis = self.programs.start(command, dict(os.environ), load.ROOT)
        redis.until_said("Ready to accept connections")
        self._variables["REDIS_URL"] = f"redis://127.0.0.1:{port}"


_PYTHON = [sys.executable, "-m"]


@contextlib.contextmanager
def running(
    contestant: Contestant, seconds: float = 0.0, *, noted: bool = False
) -> Iterator[Running]:
    """Start a contestant, and end it.

    ``seconds`` is what the engine's jobs take; others are told so with
    each.
    """
    with programs() as together:
        yield Running(contestant, together, seconds, noted)


def present(bench: Bench, contestants: list[Contestant]) -> list[Contestant]:
    """Those that can take part; the report names the others."""
    able = []
    for contestant in contestants:
        missing = contestant.missing()
        if not missing:
            able.append(contestant)
            continue

        how = HOW_TO_GET
        if "redis-server" in missing:
            how += "; apt install redis-server, or brew install redis"
        bench.left_out.append(
            f"{contestant.name}: {', '.join(missing)} not installed; {how}"
        )
    return able


BACKGROUND = Contestant(
    "BackgroundTasks, slowapi's decorators", "background_tasks", needs=("slowapi",)
)
SAQ = Contestant(
    "SAQ",
    "with_saq",
    needs=("saq", "slowapi"),
    worker=("saq", "benchmarks.alternatives.with_saq.settings"),
)
HUEY = Contestant(
    "huey",
    "with_huey",
    needs=("huey", "redis", "slowapi"),
    worker=(
        "huey.bin.huey_consumer",
        "benchmarks.alternatives.with_huey.huey",
        "-w",
        str(WORKERS),
    ),
)
DRAMATIQ = Contestant(
    "dramatiq",
    "with_dramatiq",
    needs=("dramatiq", "redis", "slowapi"),
    worker=(
        "dramatiq",
        "benchmarks.alternatives.with_dramatiq:broker",
        "--processes",
        "1",
        "--threads",
        str(WORKERS),
    ),
)
TASKIQ = Contestant(
    "taskiq",
    "with_taskiq",
    needs=("taskiq_redis", "slowapi"),
    worker=(
        "taskiq",
        "worker",
        "benchmarks.alternatives.with_taskiq:broker",
        "--workers",
        "1",
        "--max-async-tasks",
        str(WORKERS),
    ),
)
CELERY = Contestant(
    "Celery",
    "with_celery",
    needs=("celery", "redis", "slowapi"),
    worker=(
        "celery",
        "-A",
        "benchmarks.alternatives.with_celery",
        "worker",
        "--concurrency",
        str(WORKERS),
    ),
)
ARQ = Contestant(
    "arq",
    "with_arq",
    needs=("arq", "slowapi"),
    worker=("arq", "benchmarks.alternatives.with_arq.WorkerSettings"),
)
