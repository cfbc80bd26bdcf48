"""The command: plays groups of checks, and says what became of each.

Rule: what fails is told in full, and the rest still runs; the exit
status is 1 where something failed, and 2 where something is missing.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.interop import tools
from tests.interop.environment import (
    PLACE,
    FailedError,
    MissingError,
    check_installed,
    install,
)


class Group(NamedTuple):
    """Checks by their names, and what each of them finds in its
    folder.
    """

    what: str
    prepare: Callable[[Path], None]
    checks: dict[str, Callable[[Path], None]]


GROUPS = {
    "tools": Group("OpenAPI tools on /openapi.json", tools.prepare, tools.CHECKS),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    options = _parse(arguments)
    try:
        if options.group == "install":
            print(f"installing into {PLACE}: some 500 MB, a minute", flush=True)
            install()
            return 0

        check_installed()
        return _play(GROUPS[options.group], options.names)
    except MissingError as error:
        print(error, file=sys.stderr)
        return 2
    except FailedError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.interop",
        description="Play other people's tools against this project.",
    )
    groups = parser.add_subparsers(dest="group", required=True, metavar="GROUP")
    groups.add_parser("install", help="get what the others need, into .interop/")
    for name, group in GROUPS.items():
        part = groups.add_parser(name, help=group.what, description=group.what)
        there = f"only these, of {', '.join(group.checks)}"
        part.add_argument("names", nargs="*", metavar="NAME", help=there)

    options = parser.parse_args(arguments)
    for name in getattr(options, "names", []):
        known = GROUPS[options.group].checks
        if name not in known:
            parser.error(f"{options.group} has no {name!r}, but {', '.join(known)}")
    return options


def _play(group: Group, names: list[str]) -> int:
    PLACE.mkdir(exist_ok=True)
    status = 0
    for name in names or group.checks:
        print(f"{name:26}", end=" ", flush=True)
        begun = time.monotonic()
        try:
            # Within the project: a path of a temporary folder may be a
            # link, which some of the tools do not follow.
            with tempfile.TemporaryDirectory(dir=PLACE) as folder:
                group.prepare(Path(folder))
                group.checks[name](Path(folder))
        except Exception as error:
            status = 1
            print(f"FAILED, {type(error).__name__}: {error}", flush=True)
        else:
            print(f"ok, {time.monotonic() - begun:.1f} s", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
