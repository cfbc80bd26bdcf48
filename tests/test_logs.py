"""The log: one JSON object a line, and nobody waits for its reader."""

import atexit
import contextlib
import io
import json
import logging
import os
import queue
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO
from unittest import mock

import pytest

from taskmanager import logs
from taskmanager.logs import BackgroundStream, JsonFormatter


def formatted(message: str, *args: object, exc_info: object = None) -> str:
    record = logging.LogRecord(
        "taskmanager.test", logging.INFO, "", 1, message, args, exc_info
    )  # type: ignore[arg-type]
    return JsonFormatter().format(record)


def test_a_line_of_the_log_is_one_json_object_with_the_fields_of_the_event() -> None:
    fields = {"task_id": "7", "from": "a", "to": "b"}
    line = json.loads(formatted("task %(task_id)s: %(from)s -> %(to)s", fields))
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "taskmanager.test",
        "message": "task 7: a -> b",
        "task_id": "7",
        "from": "a",
        "to": "b",
    }


@pytest.mark.parametrize(
    "text",
    [
        'a\n{"level": "forged"}',
        "\r",
        "\x00\x1b[31m",
        "\x7f",
        "\x85",
        "\u2028",
        "\ud800",
        '"',
    ],
)
def test_nobody_can_forge_a_line(text: str) -> None:
    line = formatted("said %(text)s", {"text": text})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["text"] == text


def test_a_traceback_stays_in_its_line() -> None:
    try:
        raise ValueError("a\nb")
    except ValueError:
        line = formatted("failed", exc_info=sys.exc_info())

    assert line.isprintable()
    assert "ValueError: a\nb" in json.loads(line)["traceback"]


def test_a_record_with_ordinary_arguments_is_formatted_too() -> None:
    line = json.loads(formatted("unknown setting %s is ignored", "X"))
    assert line["message"] == "unknown setting X is ignored"


def test_what_json_does_not_know_appears_as_text() -> None:
    line = json.loads(formatted("%(what)s", {"what": {1}}))
    assert line["what"] == "{1}"


# BackgroundStream


class Pipe:
    """What stands for stderr; nobody reads it until ``lines``."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        self.stream: TextIO = os.fdopen(writer, "w")
        self.background = BackgroundStream(self.stream)

    def lines(self) -> Iterator[str]:
        """The lines that were written; each comes within 20 s."""
        read = b""
        while True:
            while b"\n" not in read:
                ready, _, _ = select.select([self.reader], [], [], 20)
                assert ready
                read += os.read(self.reader, 1_000_000)
            *lines, read = read.split(b"\n")
            yield from (line.decode() for line in lines)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait for lines is long enough for a busy machine."""
    monkeypatch.setattr(logs, "PATIENCE", 60)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe, with a thread that writes to it."""
    pipe = Pipe()
    yield pipe

    # Whoever writes still is told so, and writes no more.
    os.close(pipe.reader)
    pipe.stream.close()
    pipe.background.finish()
    logs.ENDING.clear()


@contextlib.contextmanager
def logging_to(pipe: Pipe) -> Iterator[logging.Logger]:
    """A logger that writes JSON to the pipe, beside the engine's."""
    handler = logging.StreamHandler(pipe.background)
    handler.setFormatter(JsonFormatter())
    engine = logging.getLogger("taskmanager")
    engine.addHandler(handler)
    try:
        yield engine
    finally:
        engine.removeHandler(handler)


def test_what_is_written_arrives_in_its_order(pipe: Pipe) -> None:
    lines = pipe.lines()
    for number in range(1000):
        pipe.background.write(f"{number}\n")
    assert [next(lines) for _ in range(1000)] == [str(n) for n in range(1000)]


def test_lines_gather_while_they_come_on_and_not_after_a_silence(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: queue.SimpleQueue[float] = queue.SimpleQueue()
    go_on: queue.SimpleQueue[None] = queue.SimpleQueue()

    def wait(seconds: float) -> None:
        pauses.put(seconds)
        go_on.get(timeout=60)

    ending = mock.Mock(wait=wait, is_set=lambda: False)
    monkeypatch.setattr(logs, "ENDING", ending)

    taken = []
    pipe.background.write("first\n")
    for _ in range(9):
        taken.append(pauses.get(timeout=20))
        pipe.background.write("it comes in the pause\n")
        go_on.put(None)
    assert taken[:3] == [0.001, 0.002, 0.004]
    assert taken[-2:] == [logs.PAUSE, logs.PAUSE]

    pause = pauses.get(timeout=20)
    while pause > logs.FIRST_PAUSE:
        go_on.put(None)
        # Time for the thread to see that nothing comes.
        time.sleep(0.01)
        pipe.background.write("it comes after a silence\n")
        pause = pauses.get(timeout=20)
    go_on.put(None)


def test_the_end_of_the_program_ends_a_pause(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(logs, "FIRST_PAUSE", 60)
    registered: list[Callable[[], object]] = []
    monkeypatch.setattr(atexit, "register", registered.append)
    pipe: Pipe = request.getfixturevalue("pipe")
    lines = pipe.lines()

    pipe.background.write("at once\n")
    assert next(lines) == "at once"
    pipe.background.write("in a pause of a minute\n")
    for function in reversed(registered):
        function()
    assert next(lines) == "in a pause of a minute"


def test_lines_that_nobody_reads_are_dropped_and_counted(pipe: Pipe) -> None:
    kilobyte = "x" * 1023 + "\n"
    written = logs.ROOM // 1024 + 500
    with logging_to(pipe):
        for _ in range(written):
            pipe.background.write(kilobyte)

        # Now somebody reads: the rest comes, and then their number.
        arrived = 0
        for line in pipe.lines():
            if line.startswith("{"):
                break
            arrived += 1

    told = json.loads(line)
    assert told["level"] == "warning"
    assert told["message"] == f"{written - arrived} lines of the log were dropped"
    assert written - arrived >= 500


@pytest.mark.usefixtures("patient")
def test_after_that_lines_arrive_again(pipe: Pipe) -> None:
    lines = pipe.lines()
    with logging_to(pipe) as engine:
        for time_around in (1, 2):
            pipe.background.write("x" * (logs.ROOM - 1) + "\n")
            for _ in range(3):
                pipe.background.write("dropped\n")

            assert len(next(lines)) == logs.ROOM - 1
            told = json.loads(next(lines))
            assert told["message"] == "3 lines of the log were dropped"

            engine.warning("%(a)s", {"a": time_around})
            assert json.loads(next(lines))["a"] == time_around
            # A line has room until the thread hears that it is written,
            # which may be after it is read.
            pipe.background.finish()


def test_a_stream_that_does_not_block_loses_nothing_of_a_slow_reader(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def block_once(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", write)
        raise BlockingIOError

    monkeypatch.setattr(os, "write", block_once)
    pipe.background.write("kept\n")
    assert next(pipe.lines()) == "kept"


def test_what_no_encoding_has_is_written_as_an_escape(pipe: Pipe) -> None:
    pipe.background.write("a\ud800b\n")
    assert next(pipe.lines()) == r"a\ud800b"


def test_what_comes_while_a_write_fails_is_written_later(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def fail_once(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", write)
        pipe.background.write("later\n")
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "write", fail_once)
    pipe.background.write("lost\n")
    assert next(pipe.lines()) == "later"


def test_a_line_is_made_when_it_is_logged(pipe: Pipe) -> None:
    with logging_to(pipe) as engine:
        try:
            raise ValueError("why")
        except ValueError as error:
            engine.exception("failed")
            # As Starlette does once the answer is sent.
            error.__traceback__ = None

        line = json.loads(next(pipe.lines()))
        assert "ValueError: why" in line["traceback"]
        assert "test_a_line_is_made" in line["traceback"]


@pytest.mark.usefixtures("patient")
def test_at_the_end_a_line_is_written_before_anything_else_is_done(pipe: Pipe) -> None:
    logs.ENDING.set()
    os.set_blocking(pipe.reader, False)
    for number in range(100):
        pipe.background.write(f"{number}\n")
        assert os.read(pipe.reader, 100) == f"{number}\n".encode()


def test_what_waits_is_written_at_the_end(pipe: Pipe) -> None:
    line = "x" * 1023 + "\n"
    for _ in range(1000):
        pipe.background.write(line)

    lines = pipe.lines()
    reader = threading.Thread(target=lambda: [next(lines) for _ in range(1000)])
    reader.start()
    pipe.background.finish()
    reader.join(20)
    assert not reader.is_alive()


def test_an_end_that_nobody_reads_is_waited_for_once(pipe: Pipe) -> None:
    pipe.background.write("x" * 100_000)
    logs.ENDING.set()

    begun = time.monotonic()
    for _ in range(100):
        pipe.background.write("x\n")
    pipe.background.finish()
    # A hundred times PATIENCE would be 20 s.
    assert time.monotonic() - begun < 2


@pytest.mark.usefixtures("patient")
def test_lines_for_a_reader_that_has_gone_do_not_pile_up() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        background = BackgroundStream(stream)
        background.write("x" * 100_000)
        os.close(reader)

        begun = time.monotonic()
        background.finish()
        assert time.monotonic() - begun < 20


def test_a_stream_without_a_descriptor_is_refused() -> None:
    with pytest.raises(OSError, match="fileno"):
        BackgroundStream(io.StringIO())
