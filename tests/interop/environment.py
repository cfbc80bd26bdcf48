"""The tools: where they are, how to get them, and how to run one.

Rule: everything that is installed or written is under ``.interop/``,
and every process that is started here has ended when its block does.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PLACE = ROOT / ".interop"
PACKAGES = HERE / "package.json"
REQUIREMENTS = HERE / "requirements.txt"
PATIENCE = 300.0  # seconds, for one command


class MissingError(Exception):
    """Something is not installed; the text says how to get it."""


class FailedError(Exception):
    """A tool found a fault; the text is what it printed."""


def variables() -> dict[str, str]:
    """The environment in which the tools are found, and ask nobody."""
    folders = [
        PLACE / "node_modules" / ".bin",
        PLACE / "venv" / "bin",
        PLACE / "venv" / "Scripts",
    ]
    return os.environ | {
        "PATH": os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")]),
        "NO_COLOR": "1",
        "REDOCLY_TELEMETRY": "off",
        "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
        "SCARF_ANALYTICS": "false",
    }


def install() -> None:
    """Get all tools.

    Raises MissingError without npm, and FailedError where one cannot be
    had.
    """
    if shutil.which("npm") is None:
        raise MissingError("npm is missing; on Debian: apt install nodejs npm")

    PLACE.mkdir(exist_ok=True)
    shutil.copy(PACKAGES, PLACE)
    shutil.copy(REQUIREMENTS, PLACE)
    run(
        *("npm", "install", "--no-package-lock", "--no-audit", "--no-fund"),
        folder=PLACE,
    )
    run(sys.executable, "-m", "venv", "venv", folder=PLACE)
    run("pip", "install", "-r", "requirements.txt", folder=PLACE)


def check_installed() -> None:
    """Raises MissingError where the tools are not those asked for."""
    for wanted in (PACKAGES, REQUIREMENTS):
        there = PLACE / wanted.name
        if not there.exists() or there.read_bytes() != wanted.read_bytes():
            raise MissingError(
                f"the tools of {wanted.name} are not installed: "
                "python -m tests.interop install"
            )


def run(*command: str, folder: Path) -> str:
    """What a command prints.

    Raises FailedError with that where it fails or takes too long, and
    MissingError where there is no such command.
    """
    name, *arguments = command
    try:
        done = subprocess.run(
            [_found(name), *arguments],
            cwd=folder,
            env=variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise FailedError(f"{name} took more than {PATIENCE:.0f} s") from None

    if done.returncode != 0:
        raise FailedError(f"{' '.join(command)}\n{done.stdout}")
    return done.stdout


@contextlib.contextmanager
def running(
    *command: str, folder: Path, until: str
) -> "Iterator[subprocess.Popen[bytes]]":
    """A command that serves, from when it prints ``until``.

    Raises FailedError where it ends before, or takes too long.
    """
    name, *arguments = command
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [_found(name), *arguments],
            cwd=folder,
            env=variables(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + PATIENCE
            while until not in _text(output.fileno()):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise FailedError(f"{name}\n{_text(output.fileno())}")
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _found(name: str) -> str:
    path = shutil.which(name, path=variables()["PATH"])
    if path is None:
        raise MissingError(f"{name} is missing: python -m tests.interop install")
    return path


def _text(file: int) -> str:
    """All of a file that another process appends to."""
    return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")
