"""The application: ``uvicorn main:app``, or ``python main.py`` with the
settings that the README recommends.

Rule: this is where the program starts, and nothing else.
"""

import argparse
import sys

import uvicorn

from taskmanager.api import create_app
from taskmanager.logs import configure_logging
from taskmanager.settings import SettingsError


def main() -> None:
    """Serve on the address that the command line names."""
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
        app,
        host=arguments.host,
        port=arguments.port,
        workers=1,
        proxy_headers=False,
    )


# A spawned worker process imports this file again, as __mp_main__, and
# needs no application.
if __name__ != "__mp_main__":
    configure_logging()
    try:
        app = create_app()
    except SettingsError as error:
        sys.exit(str(error))

if __name__ == "__main__":
    main()
