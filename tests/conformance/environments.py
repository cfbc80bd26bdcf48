"""Environments: the Python that a submission is graded with.

It is one with what the submission's own requirements.txt asks for, or
else the dependencies of its pyproject.toml, and with what the grading
needs.

Rule: environments are kept by what they are made from, so that thirty
submissions with the same requirements share one, and a second run makes
none.
"""

import asyncio
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conformance.submissions import SubmissionError
from tests.conformance.toml import loads

OWN = Path(__file__).with_name("requirements.txt")
# What the exercise asks for, and the newest there may be.
VERSIONS = [f"3.{minor}" for minor in range(10, 20)]
# Real seconds, for installing one submission's requirements.
INSTALLING = 900
# What is installed where a submission does not say what it needs.
WITHOUT_REQUIREMENTS = "fastapi\nuvicorn\n"
# Written last: without it, an environment is half made.
STAMP = "made.txt"


# Of this environment, what others' code is given: no token, and no
# setting of this Python's.
PASSED_ON = (
    "CONFORMANCE_REAL_SECONDS",
    "HOME",
    "LANG",
    "LC_ALL",
    "PATH",
    "TMPDIR",
)
# Beside that, what an installation may need.
FOR_INSTALLING = re.compile(r"PIP_|SSL_CERT|REQUESTS_CA|(HTTPS?|NO|ALL)_PROXY", re.I)


def environ(*, installs: bool = False) -> dict[str, str]:
    """The variables for a process that runs code of others."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in PASSED_ON or (installs and FOR_INSTALLING.match(name))
    }


class Environments:
    """Makes environments below a folder, each once."""

    def __init__(self, folder: Path, *, current_only: bool) -> None:
        self._folder = folder
        # Everything is graded with this very Python.
        self._current_only = current_only
        self._locks: dict[str, asyncio.Lock] = {}

    async def python_for(self, project: Path) -> str:
        """The path of the Python for this submission.

        Raises SubmissionError.
        """
        if self._current_only:
            return sys.executable

        python = _python_wanted(project)
        requirements = requirements_of(project)
        if not requirements and python == sys.executable:
            return sys.executable

        key = _key(python, requirements)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            return await self._made(self._folder / key, python, requirements)

    async def _made(self, place: Path, python: str, requirements: str) -> str:
        made = str(place / "bin" / "python")
        stamp = place / STAMP
        if stamp.exists():
            return made

        wanted = _cleared(place, requirements or WITHOUT_REQUIREMENTS)
        try:
            await self._install(place, python, wanted)
        except SubmissionError:
            shutil.rmtree(place, ignore_errors=True)
            raise
        stamp.write_text(requirements, encoding="utf-8")
        return made

    async def _install(self, place: Path, python: str, wanted: Path) -> None:
        await _run([python, "-m", "venv", str(place)], "no environment could be made")
        made = str(place / "bin" / "python")
        install = [made, "-m", "pip", "install", "--quiet", "--no-input"]
        files = ["-r", str(wanted), "-r", str(OWN)]
        await _run(
            [*install, "--disable-pip-version-check", *files],
            "its requirements cannot be installed",
        )


def _cleared(place: Path, requirements: str) -> Path:
    """An empty folder, but for the file that says what to install."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    wanted = place / "requirements.txt"
    wanted.write_text(requirements, encoding="utf-8")
    return wanted


def _key(python: str, requirements: str) -> str:
    """What an environment is made from, as the name of its folder."""
    version = _version_of(python)
    parts = [os.path.realpath(python), version, requirements, OWN.read_text("utf-8")]
    return f"{version}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"


async def _run(command: list[str], problem: str) -> None:
    """Raises SubmissionError where it fails, with its last words."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environ(installs=True),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), INSTALLING)
    except asyncio.TimeoutError:
        raise SubmissionError(f"{problem}: it took over {INSTALLING} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    if process.returncode:
        lines = output.decode("utf-8", "replace").strip().splitlines()
        errors = [line for line in lines if line.startswith("ERROR: ")]
        told = (errors or lines or ["it does not say why"])[0]
        raise SubmissionError(f"{problem}: {told.removeprefix('ERROR: '):.300}")


# What a submission asks for


def requirements_of(project: Path) -> str:
    """What is to be installed, as a requirements.txt; may be empty."""
    file = project / "requirements.txt"
    if file.is_file():
        lines = _lines_of(file, project, set())
    else:
        lines = _pyproject_of(project).get("dependencies", [])
    return "\n".join(line for line in lines if isinstance(line, str))


def _lines_of(file: Path, project: Path, seen: set[Path]) -> list[str]:
    """Its lines, and in place of -r those of the file that it names.

    What would install the submission itself is left out: its folder is
    on the path, and that folder will be gone.
    """
    path = file.resolve()
    if path in seen or not path.is_file() or not path.is_relative_to(project.resolve()):
        return []

    seen.add(path)
    found = []
    for raw in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        line = re.sub(r"(^|\s)#.*", "", raw).strip()
        included = re.match(r"(?:-r|--requirement)[ =]*(\S+)$", line)
        if included:
            found += _lines_of(path.parent / included[1], project, seen)
        elif line and not re.match(r"(-e|--editable|\.|/|file:)", line):
            found.append(line)
    return found


def _pyproject_of(project: Path) -> dict[str, Any]:
    """The table [project] of its pyproject.toml; may be empty."""
    try:
        text = (project / "pyproject.toml").read_text(encoding="utf-8")
        found = loads(text).get("project", {})
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _python_wanted(project: Path) -> str:
    """The path of a Python that it asks for; this one, if that will do.

    Raises SubmissionError.
    """
    file = project / ".python-version"
    named = file.read_text("utf-8", "replace").strip() if file.is_file() else ""
    version = re.search(r"3\.\d+", named)
    if version:
        wanted = f"=={version[0]}"
    else:
        wanted = str(_pyproject_of(project).get("requires-python", ""))

    if allows(wanted, _version_of(sys.executable)):
        return sys.executable
    for candidate in reversed(VERSIONS):
        if allows(wanted, candidate):
            python = python_of(candidate)
            if python:
                return python
    raise SubmissionError(
        f"it asks for Python {wanted}, and this machine has none of 3.10 or later"
    )


def allows(wanted: str, version: str) -> bool:
    """Whether a version such as 3.12 is one of ">=3.11,<3.13".

    Only major and minor version count.
    """
    compared = _numbers(version)
    for condition in wanted.split(","):
        found = re.match(r"\s*(>=|<=|==|!=|~=|>|<)\s*(\d+(?:\.\d+)*)", condition)
        if found is None:
            continue

        sign = found[1]
        bound = _numbers(found[2])
        width = min(2, len(bound))
        here = compared[:width]
        there = bound[:width]
        # From 3.12.1 on, 3.12 has something; before 3.12.1 as well.
        is_met = {
            ">=": here >= there,
            "<=": here <= there,
            "==": here == there,
            "!=": here != there or len(bound) > width,
            "~=": compared >= bound[:2] and compared[0] == bound[0],
            ">": here > there or (len(bound) > width and here == there),
            "<": here < there or (len(bound) > width and here == there),
        }
        if not is_met[sign]:
            return False
    return True


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def python_of(version: str) -> str:
    """The path of such a Python; empty where there is none."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [shutil.which(f"python{version}")]
    candidates += [str(path) for path in root.glob(f"versions/{version}.*/bin/python")]
    for candidate in candidates:
        if candidate and _version_of(candidate) == version:
            return candidate
    return ""


def _version_of(python: str) -> str:
    """Such as 3.12; empty where it does not run."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        asked = subprocess.run(
            [python, "-c", ask], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip()
