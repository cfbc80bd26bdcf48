"""The application: ``uvicorn main:app``, or ``python main.py`` with the
settings that the README recommends.

Rule: the engine says what happens, through ``logging``; how that looks
is decided here, where the program starts.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping

import uvicorn

from taskmanager import executors
from taskmanager.api import create_app
from taskmanager.settings import SettingsError
from taskmanager.task import timestamp


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the
    fields of the event.

    The fields are those of a mapping given as the only argument, as in
    ``logger.info("%(a)s", {"a": 1})``. Whatever a user sent is escaped
    (newlines, control characters, all outside ASCII), so nobody can
    forge a line.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": timestamp(int(record.created * 1000)),
            "level": record.levelname.lower(),
        }
        line |= {"logger": record.name, "message": record.getMessage()}
        if isinstance(record.args, Mapping):
            line |= record.args
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        # DEL: ASCII, and yet a control character
        return json.dumps(line, default=str).replace("\x7f", "\\u007f")


def configure_logging() -> None:
    """Send the engine's log to stderr, unless logging has been set up
    already.

    uvicorn sets up its own loggers only: without this, nothing below a
    warning would be seen.
    """
    engine = logging.getLogger("taskmanager")
    if not (engine.handlers or logging.getLogger().handlers):
        handler = logging.StreamHandler()
        handler.setFormatter(JsonFormatter())
        engine.addHandler(handler)
        engine.setLevel(logging.INFO)
        engine.propagate = False


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the task manager.")
    parser.add_argument(
        "host",
        nargs="?",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s)",
    )
    parser.add_argument(
        "port",
        nargs="?",
        default=8000,
        type=int,
        help="port to listen on (default: %(default)s)",
    )
    arguments = parser.parse_args()
    # One process, since all is in memory. Forwarding headers are not
    # believed: without a proxy in front, whoever sends them would
    # choose the address that the rate limit counts.
    uvicorn.run(
        app, host=arguments.host, port=arguments.port, workers=1, proxy_headers=False
    )


# A spawned worker process imports this file again, as __mp_main__, and
# needs no application.
if __name__ != "__mp_main__":
    configure_logging()
    try:
        executor = executors.from_env(os.environ)
        app = create_app(executor=executor)
    except SettingsError as error:
        sys.exit(str(error))
    if executor is not None:
        app.router.lifespan_context = executors.around(
            executor, app.router.lifespan_context
        )

if __name__ == "__main__":
    main()
