"""The command: plays groups of checks, and says what became of each.

Rule: what fails is told in full, and the rest still runs; the exit
status is 1 where something failed, and 2 where something is missing.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.interop import http_clients, proxies, servers, tables, tools
from tests.interop.environment import (
    NEEDS,
    PLACE,
    FailedError,
    MissingError,
    check_installed,
    install,
)

Row = dict[str, str]


class Group(NamedTuple):
    """Checks by their names, and what each of them finds in its
    folder: nothing, or a row of the tables whose columns are here.
    """

    what: str
    prepare: Callable[[Path], None]
    checks: Mapping[str, Callable[[Path], Row | None]]
    tables: Mapping[str, tuple[str, ...]] = {}
    # What stands below them.
    last: Callable[[], str] = str


def nothing(folder: Path) -> None:
    """Prepare nothing."""


GROUPS = {
    "tools": Group("OpenAPI tools on /openapi.json", tools.prepare, tools.CHECKS),
    "servers": Group(
        "servers of ASGI applications", nothing, servers.CHECKS, servers.TABLES
    ),
    "proxies": Group(
        "proxies in front of uvicorn",
        nothing,
        proxies.CHECKS,
        proxies.TABLES,
        proxies.snippets,
    ),
    "clients": Group(
        "HTTP clients and their ways to retry",
        http_clients.prepare,
        http_clients.CHECKS,
        http_clients.TABLES,
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    options = _parse(arguments)
    try:
        if options.group == "install":
            groups = options.names or list(NEEDS)
            print(f"installing into {PLACE}: up to 600 MB, a minute", flush=True)
            install(groups)
            return 0

        check_installed(options.group)
        return _play(options.group, options.names, options.table)
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
        description="Play other people's programs with this project.",
    )
    groups = parser.add_subparsers(dest="group", required=True, metavar="GROUP")
    part = groups.add_parser("install", help="get what the others need")
    part.add_argument("names", nargs="*", metavar="GROUP", help="only for these")
    for name, group in GROUPS.items():
        part = groups.add_parser(name, help=group.what, description=group.what)
        there = f"only these, of {', '.join(group.checks)}"
        part.add_argument("names", nargs="*", metavar="NAME", help=there)
        part.add_argument(
            "--table", type=Path, metavar="FILE", help="write the table into it"
        )

    options = parser.parse_args(arguments)
    known: list[str] = list(NEEDS)
    if options.group != "install":
        known = list(GROUPS[options.group].checks)
    for name in options.names:
        if name not in known:
            parser.error(f"{options.group} has no {name!r}, but {', '.join(known)}")
    if getattr(options, "table", None) and not GROUPS[options.group].tables:
        parser.error(f"{options.group} has no table")
    return options


def _play(name: str, names: list[str], table: Path | None) -> int:
    group = GROUPS[name]
    PLACE.mkdir(exist_ok=True)
    status = 0
    rows: dict[str, Row] = {}
    for check in names or group.checks:
        print(f"{check:26}", end=" ", flush=True)
        begun = time.monotonic()
        try:
            # Within the project: a path of a temporary folder may be a
            # link, which some of the tools do not follow.
            with tempfile.TemporaryDirectory(dir=PLACE) as folder:
                group.prepare(Path(folder))
                row = group.checks[check](Path(folder))
        except MissingError as error:
            status = max(status, 2)
            rows[check] = {"everything": f"not run: {error}"}
            print(error, flush=True)
        except Exception as error:
            status = 1
            rows[check] = {"everything": f"not run: {type(error).__name__}"}
            print(f"FAILED, {type(error).__name__}: {error}", flush=True)
        else:
            rows[check] = row or {}
            print(f"ok, {time.monotonic() - begun:.1f} s", flush=True)
            for column, told in rows[check].items():
                if told != "yes":
                    print(f"    {column}: {told}", flush=True)

    if table is not None:
        for missing in group.checks.keys() - rows.keys():
            rows[missing] = {"everything": "not run"}
        ordered = {check: rows[check] for check in group.checks}
        tables.write(table, name, ordered, group.tables, group.last())
    return status


if __name__ == "__main__":
    sys.exit(main())
