"""The log: one JSON object a line, which nobody can forge."""

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from taskmanager.logs import JsonFormatter, configure_logging

ENGINE = logging.getLogger("taskmanager")


@pytest.fixture
def unconfigured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The engine's logger as it is in a fresh program."""
    monkeypatch.setattr(ENGINE, "handlers", [])
    level = ENGINE.level
    propagate = ENGINE.propagate
    yield

    ENGINE.level = level
    ENGINE.propagate = propagate


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


@pytest.mark.usefixtures("unconfigured")
def test_the_log_goes_to_stderr_where_nothing_else_was_set_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Those of pytest are there during a test only.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)

    # A second call adds nothing.
    configure_logging()
    configure_logging()

    logging.getLogger("taskmanager.manager").info("hello")
    assert json.loads(stderr.getvalue())["message"] == "hello"


@pytest.mark.usefixtures("unconfigured")
def test_a_log_that_was_set_up_already_is_left_alone() -> None:
    assert logging.getLogger().handlers
    configure_logging()
    assert ENGINE.handlers == []


def test_what_json_does_not_know_appears_as_text() -> None:
    line = json.loads(formatted("%(what)s", {"what": {1}}))
    assert line["what"] == "{1}"


@pytest.mark.usefixtures("unconfigured")
def test_the_root_logger_does_not_write_the_engines_lines_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    configure_logging()
    assert ENGINE.propagate is False
