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
# Each set of Python packages has an environment of its own.
ENVIRONMENTS = {
    "venv": REQUIREMENTS,
    "servers": HERE / "requirements-servers.txt",
    "clients": HERE / "requirements-clients.txt",
}
# What a group of checks needs.
NEEDS = {
    "tools": ["node_modules", "venv"],
    "servers": ["servers"],
    "proxies": ["servers"],
    "clients": ["node_modules", "servers", "clients"],
}
# The package of Debian's that has a program.
DEBIAN = {
    "apache2": "apache2",
    "caddy": "caddy",
    "curl": "curl",
    "haproxy": "haproxy",
    "lighttpd": "lighttpd",
    "nginx": "nginx",
    "varnishd": "varnish",
    "wget": "wget",
}
PATIENCE = 300.0  # seconds, for one command


class MissingError(Exception):
    """Something is not installed; the text says how to get it."""


class FailedError(Exception):
    """A tool found a fault; the text is what it printed."""


def variables() -> dict[str, str]:
    """The environment in which the tools are found, and ask nobody."""
    folders = [PLACE / "node_modules" / ".bin"]
    for name in ENVIRONMENTS:
        folders.append(PLACE / name / "bin")
        folders.append(PLACE / name / "Scripts")
    # Where Debian has what serves.
    others = [os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]
    return os.environ | {
        "PATH": os.pathsep.join([*map(str, folders), *others]),
        "NO_COLOR": "1",
        "REDOCLY_TELEMETRY": "off",
        "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
        "SCARF_ANALYTICS": "false",
    }


def install(groups: list[str]) -> None:
    """Get what these groups of checks need.

    Raises MissingError without npm, and FailedError where something
    cannot be had.
    """
    PLACE.mkdir(exist_ok=True)
    for part in _parts(groups):
        if part == "node_modules":
            if shutil.which("npm") is None:
                raise MissingError("npm is missing; on Debian: apt install nodejs npm")
            shutil.copy(PACKAGES, PLACE)
            run(
                *("npm", "install", "--no-package-lock", "--no-audit", "--no-fund"),
                folder=PLACE,
            )
        else:
            wanted = ENVIRONMENTS[part]
            run(sys.executable, "-m", "venv", part, folder=PLACE)
            shutil.copy(wanted, PLACE / part)
            python = PLACE / part / ("Scripts" if os.name == "nt" else "bin") / "python"
            run(
                *(str(python), "-m", "pip", "install", "--quiet"),
                *("--requirement", str(wanted)),
                folder=PLACE,
            )


def check_installed(group: str) -> None:
    """Raises MissingError where the tools are not those asked for."""
    for part in _parts([group]):
        wanted = ENVIRONMENTS.get(part, PACKAGES)
        there = PLACE / wanted.name
        if part in ENVIRONMENTS:
            there = PLACE / part / wanted.name
        if not there.exists() or there.read_bytes() != wanted.read_bytes():
            raise MissingError(
                f"the tools of {wanted.name} are not installed: "
                f"python -m tests.interop install {group}"
            )


def _parts(groups: list[str]) -> list[str]:
    """What these groups need, each once."""
    parts = [part for group in groups for part in NEEDS[group]]
    return list(dict.fromkeys(parts))


def run(*command: str, folder: Path) -> str:
    """What a command prints.

    Raises FailedError with that where it fails or takes too long, and
    MissingError where there is no such command.
    """
    name, *arguments = command
    try:
        done = subprocess.run(
            [find(name), *arguments],
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
            [find(name), *arguments],
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


def find(name: str) -> str:
    """Where a program is. Raises MissingError."""
    path = shutil.which(name, path=variables()["PATH"])
    if path is None:
        how = "python -m tests.interop install"
        if name in DEBIAN:
            how = f"apt install {DEBIAN[name]}"
        raise MissingError(f"{name} is missing: {how}")
    return path


def _text(file: int) -> str:
    """All of a file that another process appends to."""
    return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")
