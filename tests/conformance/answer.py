"""Answer: the pipe by which a process tells its verdicts.

Rule: the pipe is inherited by a process that runs the solution, so what
comes out of it is a verdict only behind a mark that was made for this
one process. It is written by means that the solution can hardly replace
by accident. That keeps out mistakes and quick tricks; it is no sandbox.
"""

import contextlib
import dataclasses
import marshal
import os
import secrets
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any

from tests.conformance.requirement import Verdict
from tests.conformance.solution import Solution

# Captured before the solution may put something else there. JSON would
# go through Python code that some libraries replace.
_dumps = marshal.dumps
_write = os.write
_exit = os._exit
_frame = sys._getframe
LENGTH = struct.Struct("!Q")
# The exit code of a process whose pipe the solution has closed.
UNHEARD = 74
# In bytes: no verdict is longer.
MOST = 8 * 1024 * 1024


class Answer:
    """Made before the fork; then each side takes its end."""

    def __init__(self) -> None:
        self._read, self._written = os.pipe()
        self._mark = secrets.token_bytes(32)
        self._data = b""
        # Whether the other end was closed, as by the end of its
        # process.
        self.is_closed = False

    # In the process that plays

    def teller(self, solution: Solution) -> Callable[[list[Verdict]], None]:
        """What tells the verdicts, and ends the process with that."""
        os.close(self._read)
        pipe = self._written
        mark = self._mark
        self._mark = b""
        once = threading.Lock()

        def tell(verdicts: list[Verdict]) -> None:
            if _is_called_by(solution):
                return
            once.acquire()
            content = _written_down(verdicts)
            data = mark + LENGTH.pack(len(content)) + content
            try:
                while data:
                    data = data[_write(pipe, data) :]
            except OSError:
                _exit(UNHEARD)
            finally:
                _exit(0)

        return tell

    # In the process that grades

    def listen(self) -> int:
        """The end to read from, once the other process is there."""
        os.close(self._written)
        os.set_blocking(self._read, False)
        return self._read

    def told(self) -> list[Verdict] | None:
        """The verdicts, once they are there to the end.

        Raises ValueError where there are none.
        """
        with contextlib.suppress(BlockingIOError):
            while len(self._data) < MOST:
                more = os.read(self._read, 65_536)
                if not more:
                    self.is_closed = True
                    break
                self._data += more

        _, mark, told = self._data.partition(self._mark)
        if not mark or len(told) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(told)
        content = told[LENGTH.size :]
        if len(content) < length:
            return None
        try:
            told_of_all = marshal.loads(content[:length])
        except (EOFError, TypeError) as error:
            raise ValueError(f"the verdict cannot be read: {error}") from None
        if not isinstance(told_of_all, list):
            raise ValueError(f"this is no list of verdicts: {told_of_all!r:.200}")
        return [Verdict.read(each) for each in told_of_all]

    @property
    def strays(self) -> int:
        """How many bytes came that are no verdict."""
        stray, _, _ = self._data.partition(self._mark)
        return len(stray)

    @property
    def is_flooded(self) -> bool:
        return len(self._data) >= MOST

    def close(self) -> None:
        os.close(self._read)


def _written_down(verdicts: list[Verdict]) -> bytes:
    try:
        return _dumps([dataclasses.asdict(verdict) for verdict in verdicts])
    except ValueError as error:
        happened = f"the grading failed: its verdict cannot be told ({error})"
        failure = dataclasses.asdict(Verdict("not graded", "", happened))
        return _dumps([failure] * len(verdicts))


def _is_called_by(solution: Solution) -> bool:
    frame: Any = _frame()
    while frame is not None:
        if solution.owns(frame.f_code.co_filename):
            return True
        frame = frame.f_back
    return False
