"""The tables: what a run saw, written into a file between two marks.

Rule: whatever stands there was seen by the run whose date and versions
stand above it. What it says of a program is in its own words.
"""

import datetime
import json
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.interop.environment import (
    DEBIAN,
    ENVIRONMENTS,
    NEEDS,
    PACKAGES,
    PLACE,
    MissingError,
    find,
)

# How Debian's programs tell their version, and what is looked for.
VERSIONS = {
    "apache2": "-v",
    "caddy": "version",
    "curl": "--version",
    "haproxy": "-v",
    "lighttpd": "-v",
    "nginx": "-v",
    "node": "--version",
    "varnishd": "-V",
    "wget": "--version",
}
NUMBER = re.compile(r"\d+\.\d+(\.\d+)?")
# Of which group each is.
PROGRAMS = {
    "proxies": ["apache2", "caddy", "haproxy", "lighttpd", "nginx", "varnishd"],
    "servers": ["curl"],
    "clients": ["curl", "wget", "node"],
}
JAVASCRIPT = [
    "axios",
    "axios-retry",
    "got",
    "ky",
    "undici",
]


def write(
    file: Path,
    group: str,
    rows: Mapping[str, Mapping[str, str]],
    tables: Mapping[str, tuple[str, ...]],
    last: str,
) -> None:
    """Put the tables of a group between its marks, and a last part.

    Raises ValueError where the file has none.
    """
    begin = f"<!-- {group} -->\n"
    end = f"<!-- end of {group} -->"
    text = file.read_text(encoding="utf-8")
    before, found, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"{file} has no marks {begin.strip()} and {end}")

    parts = [_run(group)]
    for title, columns in tables.items():
        parts.append(f"**{title}**")
        parts.append("\n".join(_table(rows, columns)))
    if last:
        parts.append(last)
    text = before + begin + "\n" + "\n\n".join(parts) + "\n\n" + end + after
    file.write_text(text, encoding="utf-8")


def _run(group: str) -> str:
    today = datetime.datetime.now(datetime.timezone.utc).date()
    return (
        f"`python -m tests.interop {group} --table FILE`, {today}, "
        f"{platform.system()}; {', '.join(_versions(group))}."
    )


def _versions(group: str) -> Iterable[str]:
    """What was played, and with what, by exact versions."""
    for name in PROGRAMS.get(group, []):
        try:
            path = find(name)
        except MissingError:
            yield f"{DEBIAN.get(name, name)} missing"
            continue
        told = subprocess.run(
            [path, VERSIONS[name]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=20,
        ).stdout
        number = NUMBER.search(told)
        yield f"{name} {number.group() if number else 'of unknown version'}"

    for part in NEEDS[group]:
        if part in ENVIRONMENTS:
            (folder,) = (PLACE / part).glob("lib/python3*")
            yield f"C{folder.name.replace('p', 'P', 1)}"
            lines = ENVIRONMENTS[part].read_text(encoding="utf-8").splitlines()
            yield from (line for line in lines if not line.startswith("#"))
    if group == "clients":
        packages = json.loads(PACKAGES.read_text(encoding="utf-8"))["dependencies"]
        yield from (f"{name} {packages[name]}" for name in JAVASCRIPT)


def _table(
    rows: Mapping[str, Mapping[str, str]], columns: tuple[str, ...]
) -> Iterable[str]:
    yield f"| | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for name, row in rows.items():
        everything = row.get("everything")
        if everything is not None:
            yield f"| {name} | {everything} |" + " |" * (len(columns) - 1)
        elif any(column in row for column in columns):
            cells = [row.get(column, "") for column in columns]
            yield f"| {name} | {' | '.join(cells)} |"
