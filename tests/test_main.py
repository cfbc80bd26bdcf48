"""main.py: the application and its command line."""

import runpy
import subprocess
import sys

import pytest

from benchmarks.load import environment
from tests.helpers import project_root


def test_a_worker_process_makes_no_application() -> None:
    path = str(project_root() / "main.py")
    assert "app" not in runpy.run_path(path, run_name="__mp_main__")


def test_help_names_the_arguments() -> None:
    run = subprocess.run(
        [sys.executable, "main.py", "--help"],
        cwd=project_root(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "host" in run.stdout
    assert "port" in run.stdout


@pytest.mark.parametrize(
    "command",
    [
        [
            "-m",
            "uvicorn",
            "main:app",
            "--port",
            "0",
        ],
        ["main.py", "127.0.0.1", "0"],
    ],
)
@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        (
            "WORKERS",
            "TASKMANAGER_WORKERS must be a whole number from 1 to 10000; got 'five'",
        ),
        (
            "EXECUTOR",
            "TASKMANAGER_EXECUTOR must be process, thread or dask; got 'five'",
        ),
    ],
)
def test_a_bad_setting_stops_the_start_with_one_line(
    command: list[str], name: str, complaint: str
) -> None:
    command = [sys.executable, *command]
    environ = environment(**{name: "five"})
    run = subprocess.run(
        command,
        cwd=project_root(),
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode != 0
    assert run.stderr == f"{complaint}\n"
    assert run.stdout == ""
