"""main.py: the application, its log and its command line."""

import io
import json
import logging
import runpy
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest

from benchmarks.load import environment
from taskmanager import logs
from taskmanager.logs import BackgroundStream
from tests.helpers import project_root

ENGINE = logging.getLogger("taskmanager")


def main_module() -> dict[str, Any]:
    """The names in main.py, where it makes no application."""
    path = str(project_root() / "main.py")
    return runpy.run_path(path, run_name="__mp_main__")


def test_a_worker_process_makes_no_application() -> None:
    assert "app" not in main_module()


# The command line


def run_main(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "main.py", *arguments],
        cwd=project_root(),
        env=environment(**settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.slow
def test_help_names_the_options_even_with_a_bad_setting() -> None:
    run = run_main("--help", WORKERS="five")
    assert run.returncode == 0
    assert run.stderr == ""
    assert "--host HOST" in run.stdout
    assert "--port PORT" in run.stdout


def address(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[str, int]:
    monkeypatch.setattr(sys, "argv", ["main.py", *arguments])
    found: tuple[str, int] = main_module()["address"]()
    return found


@pytest.mark.parametrize(
    ("arguments", "host", "port"),
    [
        ("", "127.0.0.1", 8000),
        ("--port 8080", "127.0.0.1", 8080),
        ("--port=0", "127.0.0.1", 0),
        ("--host ::1", "::1", 8000),
        ("--port 65535 --host 10.0.0.1", "10.0.0.1", 65535),
        ("localhost", "localhost", 8000),
        ("localhost 0", "localhost", 0),
        ("localhost --port 1", "localhost", 1),
        ("--port 1 localhost", "localhost", 1),
    ],
)
def test_the_command_line_names_an_address(
    arguments: str, host: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert address(monkeypatch, *arguments.split()) == (host, port)


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        ("8080", "8080 is no host; give a port as --port 8080"),
        ("--host 8080", "8080 is no host; give a port as --port 8080"),
        ("a:80", "'a:80' is no host; give host and port apart, as in ::1 8000"),
        ("[::1]", "'[::1]' is no host; give host and port apart, as in ::1 8000"),
        ("--host=", "'' is no host; give host and port apart, as in ::1 8000"),
        (
            "--port 99999",
            "argument --port: 99999 is no port, which is 0 to 65535",
        ),
        (
            "localhost 99999",
            "argument PORT: 99999 is no port, which is 0 to 65535",
        ),
        ("--port=-1", "argument --port: -1 is no port, which is 0 to 65535"),
        ("--port x", "argument --port: x is no port, which is 0 to 65535"),
        ("--port ٨٠", "argument --port: ٨٠ is no port, which is 0 to 65535"),
        ("--workers=2", "unrecognized arguments: --workers=2"),
        ("localhost 1 2", "unrecognized arguments: 2"),
    ],
)
def test_a_command_line_is_refused_in_one_line(
    arguments: str,
    refusal: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as refused:
        address(monkeypatch, *arguments.split())
    assert refused.value.code == 2

    [line] = capsys.readouterr().err.splitlines()
    assert line == f"main.py: {refusal}; see --help"


@pytest.mark.slow
def test_a_port_in_use_is_told_in_one_line_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        _, port = other.getsockname()
        run = run_main("--port", str(port))

    assert run.returncode == 1
    [line] = run.stderr.splitlines()
    assert "in use" in line
    assert str(port) in line
    assert line.endswith(": choose another --port or --host")


# Settings


@pytest.mark.slow
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


# The log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def unconfigured() -> Iterator[pytest.MonkeyPatch]:
    """Puts back what ``configure_logging`` changes."""
    level = ENGINE.level
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ENGINE, "handlers", [])
        patch.setattr(ENGINE, "propagate", ENGINE.propagate)
        patch.setattr(logging, "lastResort", logging.lastResort)
        yield patch
    ENGINE.setLevel(level)


def fresh(patch: pytest.MonkeyPatch, stderr: TextIO | None) -> None:
    """Have stderr be this, and no handlers on the root logger.

    pytest adds its own for a test only, so this cannot be a fixture.
    """
    patch.setattr(logging.getLogger(), "handlers", [])
    patch.setattr(sys, "stderr", stderr)


def configure_logging() -> None:
    main_module()["configure_logging"]()


def test_the_log_goes_to_stderr_where_nothing_else_was_set_up(
    unconfigured: pytest.MonkeyPatch,
) -> None:
    stderr = io.StringIO()
    fresh(unconfigured, stderr)
    # A second call adds nothing.
    configure_logging()
    configure_logging()

    logging.getLogger("taskmanager.manager").info("hello")
    assert json.loads(stderr.getvalue())["message"] == "hello"


def test_where_stderr_is_closed_the_log_goes_nowhere(
    unconfigured: pytest.MonkeyPatch,
) -> None:
    fresh(unconfigured, None)
    configure_logging()
    logging.getLogger("taskmanager.manager").info("hello")


def test_what_others_warn_of_has_the_same_form(
    unconfigured: pytest.MonkeyPatch,
) -> None:
    stderr = io.StringIO()
    fresh(unconfigured, stderr)
    configure_logging()
    logging.getLogger("asyncio").info("not told")
    logging.getLogger("asyncio").warning("told")
    assert json.loads(stderr.getvalue())["message"] == "told"


def test_on_a_terminal_it_is_a_short_line(unconfigured: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    fresh(unconfigured, terminal)
    configure_logging()
    fields = {"task_id": "7", "to": "completed"}
    logging.getLogger("taskmanager.manager").info("task %(task_id)s: %(to)s", fields)

    time, rest = terminal.getvalue().split(" ", 1)
    assert len(time) == len("00:00:00")
    assert rest == "INFO     task 7: completed\n"


def test_the_root_logger_does_not_write_the_engines_lines_again(
    unconfigured: pytest.MonkeyPatch,
) -> None:
    stderr = io.StringIO()
    fresh(unconfigured, stderr)
    configure_logging()
    logging.getLogger().addHandler(logging.StreamHandler(stderr))
    logging.getLogger("taskmanager").warning("once")
    assert stderr.getvalue().count("once") == 1


@pytest.mark.usefixtures("unconfigured")
def test_a_log_that_was_set_up_already_is_left_alone() -> None:
    assert logging.getLogger().handlers
    configure_logging()
    assert ENGINE.handlers == []


def test_uvicorns_lines_are_written_in_the_background_too(
    unconfigured: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = logging.getLogger("uvicorn")
    access = logging.getLogger("uvicorn.access")
    with (tmp_path / "err").open("w") as err, (tmp_path / "out").open("w") as out:
        fresh(unconfigured, err)
        unconfigured.setattr(sys, "stdout", out)
        on_stderr = logging.StreamHandler(err)
        on_stderr.setFormatter(logging.Formatter("of uvicorn's form: %(message)s"))
        on_stdout = logging.StreamHandler(out)
        to_a_file = logging.FileHandler(tmp_path / "file")
        unconfigured.setattr(server, "handlers", [on_stderr, to_a_file])
        unconfigured.setattr(access, "handlers", [on_stdout])
        unconfigured.setattr(access, "propagate", False)

        # Long enough for a busy machine.
        unconfigured.setattr(logs, "PATIENCE", 60)
        configure_logging()
        server.warning("hello")
        access.warning("a request")
        ENGINE.warning("a task")
        for handler in (on_stderr, on_stdout):
            assert isinstance(handler.stream, BackgroundStream)
            handler.stream.finish()
        to_a_file.close()

    first, second = (tmp_path / "err").read_text().splitlines()
    assert first == "of uvicorn's form: hello"
    assert json.loads(second)["message"] == "a task"
    assert (tmp_path / "out").read_text() == "a request\n"
    assert (tmp_path / "file").read_text() == "hello\n"
