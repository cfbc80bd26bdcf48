"""The application: ``uvicorn main:app``, or ``python main.py`` with the
settings that the README recommends.

Rule: this is where the program starts, and nothing else. The engine
says what happens, through ``logging``; where that goes, and how it
looks there, is for the program to decide.
"""

import argparse
import contextlib
import logging.config
import re
import socket
import sys
from typing import Any, NoReturn

import uvicorn
from fastapi import FastAPI

from taskmanager.api import create_app
from taskmanager.logs import BackgroundStream, JsonFormatter
from taskmanager.settings import SettingsError


def main() -> None:
    """Serve on the address that the command line names."""
    host, port = address()
    # As uvicorn does before it imports an application.
    logging.config.dictConfig(uvicorn.config.LOGGING_CONFIG)
    app = new_app()

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        sys.exit(f"{error.strerror}: choose another --port or --host")

    # One process, since all is in memory. Forwarding headers are not
    # believed: without a proxy in front, whoever sends them would
    # choose the address that the rate limit counts.
    uvicorn.run(
        app,
        host=host,
        port=port,
        workers=1,
        proxy_headers=False,
        log_config=None,
    )


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        """End the program."""
        self.exit(2, f"{self.prog}: {message}; see --help\n")


def address() -> tuple[str, int]:
    """The host and the port that the command line names."""
    parser = Parser(description="Serve the task manager.")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        default=8000,
        type=port_number,
        help="port to listen on (default: %(default)s)",
    )
    parser.add_argument("bare_host", metavar="HOST", nargs="?", help="as --host")
    parser.add_argument(
        "bare_port", metavar="PORT", nargs="?", type=port_number, help="as --port"
    )

    arguments = parser.parse_args()
    host = arguments.host
    if arguments.bare_host is not None:
        host = arguments.bare_host
    if host.isdecimal():
        parser.error(f"{host} is no host; give a port as --port {host}")
    if not host or "[" in host or re.fullmatch("[^:]*:[0-9]+", host):
        parser.error(f"'{host}' is no host; give host and port apart, as in ::1 8000")
    if arguments.bare_port is None:
        return host, arguments.port
    return host, arguments.bare_port


def port_number(text: str) -> int:
    """A port, for argparse."""
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port, which is 0 to 65535")
    return int(text)


def new_app() -> FastAPI:
    """The application, and its log; a bad setting ends the program."""
    configure_logging()
    try:
        return create_app()
    except SettingsError as error:
        sys.exit(str(error))


def configure_logging() -> None:
    """Send the engine's log to stderr.

    Where logging was set up already, nothing changes. uvicorn sets up
    its own loggers only: without this, nothing below a warning would be
    seen. What uvicorn writes stays as it is, but the event loop no
    longer waits for whoever reads it.
    """
    engine = logging.getLogger("taskmanager")
    if engine.hasHandlers():
        return

    ours = logging.StreamHandler()
    ours.setFormatter(JsonFormatter())
    # Where stderr was closed there is none, and the log goes nowhere.
    if sys.stderr is not None and sys.stderr.isatty():
        line = "%(asctime)s %(levelname)-8s %(message)s"
        ours.setFormatter(logging.Formatter(line, "%H:%M:%S"))
    engine.addHandler(ours)
    engine.setLevel(logging.INFO)
    engine.propagate = False
    # For loggers that nobody set up, such as asyncio's.
    logging.lastResort = ours

    handlers: list[logging.StreamHandler[Any]] = [
        handler
        for name in ("taskmanager", "uvicorn", "uvicorn.access")
        for handler in logging.getLogger(name).handlers
        if isinstance(handler, logging.StreamHandler)
    ]
    for stream in filter(None, (sys.stderr, sys.stdout)):
        # Pyodide has no threads, and what stands for stderr in a
        # notebook has no file descriptor.
        with contextlib.suppress(OSError, RuntimeError):
            background = BackgroundStream(stream)
            for handler in handlers:
                if handler.stream is stream:
                    handler.setStream(background)


# A spawned worker process imports this file again, as __mp_main__, and
# needs no application.
if __name__ == "__main__":
    main()
elif __name__ != "__mp_main__":
    app = new_app()
