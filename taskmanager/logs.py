"""Logs: one JSON object a line, written without making anybody wait.

Rule: the engine says what happens, through ``logging``, and never sets
that up. This is what a program sets it up with, as main.py does.
"""

import atexit
import json
import logging
import os
import threading
from collections.abc import Mapping
from typing import TextIO

from taskmanager.task import timestamp

logger = logging.getLogger(__name__)

# Bytes that may wait to be written: some 15,000 lines.
ROOM = 4 * 2**20
# Seconds in which lines gather after a write, so that the next does for
# many: at first, and at most. While lines come on it grows, and after a
# silence a line is written at once.
FIRST_PAUSE = 0.001
PAUSE = 0.1
# Seconds that the end waits for whoever reads, at most.
PATIENCE = 0.2
# Set when the process is about to end.
ENDING = threading.Event()

# json.dumps would make one for each line (benchmarks: shortcuts).
_ENCODER = json.JSONEncoder(default=str)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and fields.

    The fields are those of a mapping given as the only argument, as in
    ``logger.info("%(a)s", {"a": 1})``. Whatever a user sent is escaped
    (newlines, control characters, all outside ASCII), so nobody can
    forge a line.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line of this record, without its end."""
        line: dict[str, object] = {
            "time": timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if isinstance(record.args, Mapping):
            line |= record.args
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)

        return _ENCODER.encode(line)


class BackgroundStream:
    """What a log handler writes to, in front of a stream.

    The stream may block. ``write`` notes the line, and a thread writes
    it when somebody reads: the event loop never waits for that. Beyond
    ROOM lines are dropped, and their number is told once there is room.
    What comes here is text: a log handler has made the line of the
    record at once, since a traceback is not kept for later.

    Raises OSError where the stream has no file descriptor, and
    RuntimeError where there are no threads.
    """

    def __init__(self, stream: TextIO) -> None:
        # The thread writes to a copy of the descriptor. With the stream
        # itself, it would hold the stream's lock while nobody reads,
        # and at its exit Python needs that lock. The copy also stays
        # open when the stream is closed.
        self._descriptor = os.dup(stream.fileno())
        self._waiting = bytearray()
        self._dropped = 0
        # Guards these two, and tells that something waits, or that it
        # has been written.
        self._changed = threading.Condition()
        self._patience = PATIENCE

        threading.Thread(target=self._write_on, daemon=True).start()
        atexit.register(self.finish)
        # Called before that: from then on nothing gathers.
        atexit.register(ENDING.set)

    def write(self, line: str) -> None:
        """Have a line written; at the end, wait for that."""
        data = line.encode(errors="backslashreplace")
        with self._changed:
            if len(self._waiting) + len(data) > ROOM:
                self._dropped += 1
            else:
                self._waiting += data
                self._changed.notify_all()

        if ENDING.is_set():
            self.finish()

    def finish(self) -> None:
        """Wait until all is written.

        Where nobody reads, that is in vain, and tried once.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: not self._waiting, self._patience):
                self._patience = 0.0

    def _write_on(self) -> None:
        """Write what waits, for ever."""
        pause = FIRST_PAUSE
        while True:
            with self._changed:
                if not self._waiting:
                    pause = FIRST_PAUSE
                self._changed.wait_for(lambda: self._waiting)
                data = bytes(self._waiting)

            try:
                written = os.write(self._descriptor, data)
            except BlockingIOError:
                # Somebody made the stream so, and its reader is slow.
                # At the end no pause would give it time.
                written = 0
                with self._changed:
                    self._changed.wait(FIRST_PAUSE)
            except OSError:
                # The reader is gone, or the disk is full.
                written = len(data)

            with self._changed:
                del self._waiting[:written]
                self._changed.notify_all()
                dropped = self._dropped
                self._dropped = 0

            # At the end this thread would wait for itself.
            if dropped and not ENDING.is_set():
                logger.warning("%s lines of the log were dropped", dropped)
            ENDING.wait(pause)
            pause = min(2 * pause, PAUSE)
