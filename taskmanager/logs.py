r"""Logs: one JSON object a line, which a log processor can parse and no user can forge.

Rule: whatever a user sent is escaped. Newlines, control characters and everything outside ASCII become \uXXXX, so
every line of the log is one that this program wrote.
"""

import json
import logging
from collections.abc import Mapping
from datetime import datetime, timezone


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds and a ``Z``, from seconds since the epoch."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")[:-6] + "Z"


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object: time, level, logger, message, and the fields of the event.

    The fields are those of a mapping given as the only argument, as in ``logger.info("%(a)s", {"a": 1})``.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {"time": timestamp(record.created), "level": record.levelname.lower()}
        line |= {"logger": record.name, "message": record.getMessage()}
        if isinstance(record.args, Mapping):
            line |= record.args
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str).replace("\x7f", "\\u007f")  # DEL: ASCII, and yet a control character


def configure_logging() -> None:
    """Send the engine's log to stderr, unless the program around it has set up logging itself.

    uvicorn configures its own loggers only; without this, nothing below a warning would be seen.
    """
    engine = logging.getLogger("taskmanager")
    if not (engine.handlers or logging.getLogger().handlers):
        handler = logging.StreamHandler()
        handler.setFormatter(JsonFormatter())
        engine.addHandler(handler)
        engine.setLevel(logging.INFO)
        engine.propagate = False
