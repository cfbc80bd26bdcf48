"""Programs that a benchmark starts: what they take, and their end.

Rule: whatever is started here ends with this process, however that
ends. Each program has a session of its own, so that its children are
known, and can be killed with it.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.load import FACTORY, ROOT

# It reads who was started, and kills them at the end of its input: of
# the process that writes there. Then it clears up after them.
_KEEPER = """
import contextlib, os, shutil, signal, sys
started = set()
for line in sys.stdin:
    event, number = line.split()
    (started.add if event == "started" else started.discard)(int(number))
for number in started:
    with contextlib.suppress(OSError):
        os.killpg(number, signal.SIGKILL)
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""
_PROC = Path("/proc")
# Seconds in which a program has to start.
PATIENCE = 60.0


class Memory(NamedTuple):
    """Megabytes of some processes.

    The second figure counts what they share once.
    """

    rss: float
    pss: float


class Program:
    """One that was started, with its children, and its log."""

    def __init__(
        self, command: list[str], variables: dict[str, str], root: Path, folder: Path
    ) -> None:
        self.command = command
        handle, name = tempfile.mkstemp(prefix="log-", dir=folder)
        self.log = Path(name)
        # Into a file: a pipe that nobody reads would fill up.
        with open(handle, "wb") as file:
            self.process = subprocess.Popen(
                command,
                cwd=root,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self) -> str:
        """What its log has by now."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def until_said(self, pattern: str) -> "re.Match[str]":
        """Wait for a line of its log. Raises RuntimeError."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < end:
            found = re.search(pattern, self.said())
            if found:
                return found
            time.sleep(0.005)
        raise RuntimeError(f"{self.command} did not start: {self.said()}")

    def pids(self) -> list[int]:
        """Those of its session that run, where the system tells."""
        if not _PROC.is_dir():
            return [self.pid]

        found = []
        for entry in _PROC.iterdir():
            if not entry.name.isdecimal():
                continue
            with contextlib.suppress(OSError):
                # The name, which may have anything in it, ends there.
                _, _, after = (entry / "stat").read_text().rpartition(")")
                _state, _parent, _group, session, *_ = after.split()
                if int(session) == self.pid:
                    found.append(int(entry.name))
        return found

    def kill(self) -> None:
        """End it at once, with its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()


class Programs:
    """Those that belong together; see ``programs``."""

    def __init__(self, keeper: "subprocess.Popen[str]", folder: Path) -> None:
        self.folder = folder
        self._keeper = keeper
        self._running: list[Program] = []

    def start(
        self, command: list[str], variables: dict[str, str], root: Path
    ) -> Program:
        """Start a program in this folder and environment."""
        program = Program(command, variables, root, self.folder)
        self._running.append(program)
        self._tell("started", program)
        return program

    def serve(
        self,
        target: str,
        options: list[str],
        variables: dict[str, str],
        root: Path = ROOT,
    ) -> tuple[Program, int]:
        """Start a uvicorn; its free port on loopback."""
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            target,
            "--port",
            "0",
            "--no-access-log",
            *options,
        ]
        if target == FACTORY:
            command.append("--factory")
        program = self.start(command, variables, root)
        found = program.until_said(r"running on http://127\.0\.0\.1:(\d+)")
        return program, int(found[1])

    def kill(self, program: Program) -> None:
        self._running.remove(program)
        program.kill()
        self._tell("ended", program)

    def kill_all(self) -> None:
        for program in list(self._running):
            self.kill(program)

    def pids(self) -> list[int]:
        return [pid for program in self._running for pid in program.pids()]

    def cpu_seconds(self) -> float:
        """What they have taken; NaN where the system does not tell.

        What has ended by now is not in it.
        """
        return sum(map(cpu_seconds_of, self.pids()))

    def memory(self) -> Memory:
        """What they hold; NaN where the system does not tell."""
        found = [_memory_of(pid) for pid in self.pids()]
        return Memory(
            sum(memory.rss for memory in found), sum(memory.pss for memory in found)
        )

    def _tell(self, event: str, program: Program) -> None:
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(f"{event} {program.pid}\n")
        self._keeper.stdin.flush()


@contextlib.contextmanager
def programs() -> Iterator[Programs]:
    """Start programs, which are killed at the end."""
    with contextlib.ExitStack() as stack:
        # The keeper removes it.
        folder = tempfile.mkdtemp(prefix="benchmark-")
        keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _KEEPER, folder],
            stdin=subprocess.PIPE,
            text=True,
            # Ctrl-C in a terminal is not meant for it.
            start_new_session=True,
        )
        stack.enter_context(keeper)
        together = Programs(keeper, Path(folder))
        stack.callback(together.kill_all)
        yield together


def cpu_seconds_of(pid: int) -> float:
    """What a process has taken so far; NaN where nobody tells.

    Linux makes a clock's number of a process's, as its C library's
    clock_getcpuclockid does.
    """
    if sys.platform != "linux":
        return float("nan")
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        # It has just ended.
        return 0.0


def _memory_of(pid: int) -> Memory:
    try:
        text = (_PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return Memory(float("nan"), float("nan"))

    kilobytes = dict(re.findall(r"^(Rss|Pss): +(\d+)", text, re.MULTILINE))
    return Memory(int(kilobytes["Rss"]) / 1024, int(kilobytes["Pss"]) / 1024)


def free_port() -> int:
    """A loopback port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
