"""Logs: one JSON object a line, on stderr.

Rule: the engine says what happens, through ``logging``; how that looks
is decided here, by the program that serves.
"""

import json
import logging
from collections.abc import Mapping

from taskmanager.task import timestamp


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

        return json.dumps(line, default=str)


def configure_logging() -> None:
    """Send the engine's log to stderr, unless logging was set up
    already.

    uvicorn sets up its own loggers only: without this, nothing below a
    warning would be seen.
    """
    engine = logging.getLogger("taskmanager")
    if engine.handlers or logging.getLogger().handlers:
        return

    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    engine.addHandler(handler)
    engine.setLevel(logging.INFO)
    engine.propagate = False
