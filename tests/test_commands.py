"""The commands of the exercise and of EXECUTORS.md, run as told.

They are run in the environment that runs the tests.

Each is bounded, and a server is stopped by its process id. Nothing is
installed: pip has no index, so it fails where something is missing.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.load import environment
from tests.helpers import PRIMES, Server, project_root

BIN = Path(sys.executable).parent
EXECUTORS = project_root() / "taskmanager" / "EXECUTORS.md"
PATIENCE = 30.0  # seconds

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells and signals"),
]
needs_pip = pytest.mark.skipif(
    not find_spec("pip"), reason="this environment has no pip"
)


def surroundings() -> dict[str, str]:
    """The variables of a shell in which this environment is active."""
    return environment(RATE_LIMIT="off") | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def run(command: str) -> str:
    """What a command prints; a failure shows it."""
    done = subprocess.run(
        command.split(),
        cwd=project_root(),
        env=surroundings(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@contextlib.contextmanager
def started(command: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that runs this command meanwhile.

    The command may begin with variables of its own.
    """
    with subprocess.Popen(
        ["env", *command.split()],
        cwd=project_root(),
        env=surroundings(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until(holds: Callable[[], bool]) -> None:
    """Wait until this holds; fails when PATIENCE is at its end."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


# The exercise's


@needs_pip
def test_pip_installs_the_requirements() -> None:
    assert "already satisfied: fastapi" in run("pip install -r requirements.txt")


def test_pytest_finds_the_tests_and_runs_them() -> None:
    plain = "pytest -q -p no:cacheprovider"
    assert "tests/test_commands.py" in run(f"{plain} --collect-only")
    assert " passed" in run(f"{plain} tests/test_errors.py")


def test_uvicorn_with_reload_serves_until_it_is_stopped() -> None:
    with started("uvicorn main:app --reload --port 0") as process:
        server = Server(process)
        until(lambda: listens(server.port))
        assert server.request("/health")["status"] == "ok"
        assert server.stop(signal.SIGINT) < PATIENCE
    # The process that it had started to serve is gone as well.
    until(lambda: not listens(server.port))
    assert any("Stopping reloader process" in line for line in server.lines)


# Those of EXECUTORS.md


def told() -> list[str]:
    """All commands of the page, for this environment and machine."""
    blocks = re.findall(r"```sh\n(.*?)```", EXECUTORS.read_text("utf-8"), re.DOTALL)
    return "".join(blocks).replace(".venv/bin/", f"{BIN}/").splitlines()


def told_with(words: str) -> str:
    """The one command of the page that holds these words."""
    [command] = [each for each in told() if words in each]
    return command


def count_primes(server: Server) -> None:
    """Have a task of real work done."""
    path = f"/tasks/{server.request('/tasks', PRIMES)['task_id']}"
    until(lambda: server.request(path)["status"] == "completed")
    assert server.request(path)["result"] == {"count": 25}


needs_dask = pytest.mark.skipif(
    not find_spec("distributed"),
    reason="pip install -r taskmanager/requirements-dask.txt",
)


def test_each_command_of_the_page_is_run_here() -> None:
    assert len(told()) == 5, "run the new one here as well"


@pytest.mark.dask
@needs_dask
@needs_pip
def test_pip_installs_dask() -> None:
    assert "already satisfied: distributed" in run(told_with("pip install"))


@pytest.mark.dask
@needs_dask
def test_a_server_has_a_cluster_of_its_own() -> None:
    command = told_with(f"TASKMANAGER_EXECUTOR=dask {BIN}")
    with started(f"{command} 127.0.0.1 0") as process:
        server = Server(process)
        count_primes(server)
        assert server.stop() < PATIENCE


@pytest.mark.dask
@needs_dask
def test_a_server_works_on_the_cluster_of_a_scheduler() -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]

    def here(words: str) -> str:
        command = told_with(words)
        return command.replace("10.0.0.1", "127.0.0.1").replace("8786", str(port))

    with contextlib.ExitStack() as stack:
        scheduler = stack.enter_context(started(here("dask scheduler")))
        until(lambda: listens(port))
        worker = stack.enter_context(started(here("dask worker")))
        process = stack.enter_context(
            started(f"{here('TASKMANAGER_DASK_SCHEDULER')} 127.0.0.1 0")
        )
        server = Server(process)
        count_primes(server)

        assert server.stop() < PATIENCE
        for each in (worker, scheduler):
            each.send_signal(signal.SIGTERM)
            each.communicate(timeout=PATIENCE)
