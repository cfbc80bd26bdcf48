"""taskmanager.testing: time that jumps, applications in a process."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from taskmanager import testing
from taskmanager.api import create_app
from taskmanager.testing import EPOCH, run_in_virtual_time
from tests.helpers import project_root, settings


def test_a_sleep_takes_no_time_and_exactly_its_time_by_every_clock() -> None:
    async def sleep() -> list[float]:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.sleep(600)
        return [loop.time() - begun, time.monotonic() - begun, time.time() - EPOCH]

    really_begun = time.perf_counter()
    assert run_in_virtual_time(sleep()) == [600, 600, 600]
    assert time.perf_counter() - really_begun < 60


def test_a_timer_is_found_after_years_too() -> None:
    async def sleep() -> float:
        await asyncio.sleep(3e7)
        await asyncio.sleep(0.001)
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(sleep(), limit=1e9) == pytest.approx(3e7 + 0.001)


def test_sleeps_end_in_the_order_of_their_times() -> None:
    log: list[int] = []

    async def sleep(seconds: int) -> None:
        await asyncio.sleep(seconds)
        log.append(seconds)

    async def sleep_all() -> None:
        await asyncio.gather(sleep(30), sleep(10), sleep(20))

    run_in_virtual_time(sleep_all())
    assert log == [10, 20, 30]


def test_time_stands_still_while_an_executor_works() -> None:
    async def work() -> float:
        loop = asyncio.get_running_loop()
        sleeping = asyncio.create_task(asyncio.sleep(600))
        await loop.run_in_executor(None, time.sleep, 0.01)
        worked_until = loop.time()
        await sleeping
        return worked_until

    assert run_in_virtual_time(work()) == 0


def test_what_does_not_end_is_stopped_at_its_limit() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(asyncio.TimeoutError):
        run_in_virtual_time(wait(), limit=3600)


def test_the_clocks_are_real_again_afterwards() -> None:
    before = time.time()
    run_in_virtual_time(asyncio.sleep(3600))
    assert time.time() - before < 60


@pytest.mark.slow
def test_other_peoples_tests_may_ask_for_it_as_a_fixture(tmp_path: Path) -> None:
    conftest = 'pytest_plugins = ["taskmanager.testing"]\n'
    (tmp_path / "conftest.py").write_text(conftest, encoding="utf-8")
    test = """
import asyncio

def test_a_sleep(virtual_time):
    assert virtual_time(asyncio.sleep(600, "slept")) == "slept"
"""
    (tmp_path / "test_theirs.py").write_text(test, encoding="utf-8")

    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(project_root())},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 passed" in run.stdout


async def test_a_client_speaks_to_a_running_application() -> None:
    app = create_app(settings(rate_limit=1))
    async with testing.running(app):
        for address in ("10.0.0.1", "10.0.0.2"):
            async with testing.client_of(app, address) as client:
                assert (await client.get("/tasks")).status_code == 200
                assert (await client.get("/tasks")).status_code == 429


async def test_a_request_is_called_as_a_server_would_call_it() -> None:
    app = create_app(settings())
    gone = asyncio.Event()
    receive = testing.receive_from(b"{}", gone)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async with testing.running(app):
        await app(testing.scope_of("POST", "/tasks"), receive, send)
    start, *_ = sent
    assert start["status"] == 400

    gone.set()
    assert await receive() == {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("used", "hint"),
    [
        ("client_of(None)", "client_of needs httpx: pip install httpx"),
        ("virtual_time", "virtual_time needs pytest: pip install pytest"),
    ],
)
def test_what_is_missing_is_told_with_how_to_install_it(used: str, hint: str) -> None:
    program = f"""
import sys
sys.modules["httpx"] = None
from taskmanager import testing
try:
    testing.{used}
except ModuleNotFoundError as error:
    print(error)
"""
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=project_root(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.stdout == hint + "\n", run.stderr
