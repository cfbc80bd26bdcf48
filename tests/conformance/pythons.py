"""Pythons: for which other version of Python a solution was written.

Where its import fails for want of something that another version has,
that version is named.
"""

import re
import sys
from pathlib import Path

Version = tuple[int, int]
# What a message about a missing name contains, and since when there is
# that name.
SINCE: dict[str, Version] = {
    "'tomllib'": (3, 11),
    "'StrEnum'": (3, 11),
    "'TaskGroup'": (3, 11),
    "'Self'": (3, 11),
    "'UTC'": (3, 11),
    "'Runner'": (3, 11),
    "'assert_never'": (3, 11),
    "'NotRequired'": (3, 11),
    "'ExceptionGroup'": (3, 11),
    "'timeout' from 'asyncio'": (3, 11),
    "'asyncio' has no attribute 'timeout'": (3, 11),
    "'override'": (3, 12),
    "'batched'": (3, 12),
    "'TypeAliasType'": (3, 12),
    "'QueueShutDown'": (3, 13),
    "'TypeIs'": (3, 13),
    "'ReadOnly'": (3, 13),
    "'deprecated'": (3, 13),
}
# And the last version that had it.
UNTIL: dict[str, Version] = {
    "'asyncore'": (3, 11),
    "'asynchat'": (3, 11),
    "'distutils'": (3, 11),
    "'imp'": (3, 11),
    "'cgi'": (3, 12),
    "'pipes'": (3, 12),
    "'telnetlib'": (3, 12),
}
# What a line looks like that an older version cannot read.
SYNTAX: dict[str, Version] = {
    r"except\s*\*": (3, 11),
    r"^\s*type\s+\w+": (3, 12),
    r"\b(?:def|class)\s+\w+\[": (3, 12),
    r"\bf(?:'[^']*\{[^}]*'|\"[^\"]*\{[^}]*\")": (3, 12),
}


def advice(error: BaseException, folder: Path) -> str:
    """Ends a sentence with the version to use; empty if none helps."""
    here = sys.version_info[:2]
    wanted = _wanted_by(error) or _wanted_in(folder)
    if not wanted or _satisfies(here, wanted):
        return ""
    return (
        f"; it needs Python {wanted}, and this is {_shown(here)}: "
        "grade it with that version"
    )


def _shown(version: Version) -> str:
    major, minor = version
    return f"{major}.{minor}"


def _satisfies(here: Version, wanted: str) -> bool:
    found = re.match(r"(\d+)\.(\d+)( or later| or earlier)?", wanted)
    if found is None:
        return True

    major, minor, direction = found.groups()
    version = (int(major), int(minor))
    match direction:
        case " or later":
            return here >= version
        case " or earlier":
            return here <= version
        case _:
            return here == version


def _wanted_by(error: BaseException) -> str:
    """Such as "3.12 or later", as far as the error tells."""
    if isinstance(error, SyntaxError):
        for pattern, version in SYNTAX.items():
            if re.search(pattern, error.text or ""):
                return f"{_shown(version)} or later"
        return ""

    if not isinstance(error, ImportError | AttributeError | NameError):
        return ""
    message = str(error)
    for name, version in SINCE.items():
        if name in message:
            return f"{_shown(version)} or later"
    for name, version in UNTIL.items():
        if name in message:
            return f"{_shown(version)} or earlier"
    return ""


def _wanted_in(folder: Path) -> str:
    """Such as "3.12 or later", as far as the project says."""
    project = folder / "pyproject.toml"
    if project.is_file():
        text = project.read_text(encoding="utf-8", errors="replace")
        least = re.search(r"requires-python\s*=\s*[\"']\s*>=\s*(\d+\.\d+)", text)
        if least:
            return f"{least.group(1)} or later"

    pinned = folder / ".python-version"
    if pinned.is_file():
        text = pinned.read_text(encoding="utf-8", errors="replace")
        exact = re.match(r"\s*(\d+\.\d+)", text)
        if exact:
            return exact.group(1)
    return ""
