"""What a run has to say: caveats, tables, targets; as text, as JSON,
and between two lines of README.md.

Rule: every published figure is written by the command that measured it,
with the machine and the versions of that run.
"""

import dataclasses
import json
import math
import os
import platform
import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.harness import Bench, Table, shown

README = Path(__file__).parent / "README.md"
PACKAGES = [
    *(
        "fastapi",
        "starlette",
        "pydantic",
        "uvicorn",
        "aiojobs",
        "huey",
        "limits",
        "pyrate-limiter",
        "slowapi",
        "taskiq",
    )
]
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
RESULTS = re.compile(f"{BEGIN}.*{END}", re.DOTALL)


def environment() -> dict[str, Any]:
    """The machine and the versions of a run."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "versions": versions,
    }


def _processor() -> str:
    try:
        found = re.search(
            r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8")
        )
    except OSError:
        found = None
    return found[1] if found else platform.processor() or "unknown"


def markdown(table: Table) -> str:
    """A table that reads well in a terminal and on a page."""
    rows = [table.header, *([shown(cell) for cell in row] for row in table.rows)]
    widths = [
        max(len(row[column]) for row in rows) for column in range(len(table.header))
    ]
    lines = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        + " |"
        for row in rows
    ]
    rule = (
        "|"
        + "|".join(
            "-" * (width + 1) + (":" if column else "-")
            for column, width in enumerate(widths)
        )
        + "|"
    )
    return f"**{table.title}**\n\n" + "\n".join([lines[0], rule, *lines[1:]])


def caveats(quick: bool = False) -> str:
    environ = environment()
    versions = ", ".join(
        f"{name} {version}" for name, version in environ["versions"].items()
    )
    if quick:
        how = "Quick: no results. One round, without a warm-up, shows that everything runs; the figures mean nothing."
    else:
        how = (
            "Read ratios, not absolute figures: each contestant runs in turn with its reference, and a ratio is the\n"
            "median of those of each round. Where 1 lies between its quartiles, no difference could be measured.\n"
            "In-process figures share one event loop with their own load."
        )
    return (
        f"{environ['python']} on {environ['system']}, {environ['processor']}, {environ['cores']} cores\n"
        f"{versions}\n\n{how}"
    )


def load_average() -> float:
    """How many processes wanted a core, on average over a minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan


def load_line(loads: list[float]) -> str:
    """What else the machine had to do, at the start of a run and at its
    end; a run itself needs two cores at most.
    """
    cores = os.cpu_count() or 1
    line = f"Load average: {', then '.join(f'{load:.1f}' for load in loads)}."
    if loads[0] > cores / 4 or loads[-1] > 2 + cores / 4:
        line += " THE MACHINE IS BUSY: its other work is in the figures, and may be why a target is missed."
    return line


def text_of(bench: Bench) -> str:
    """One benchmark: its notes, what it left out, then its tables."""
    left_out = [f"Left out: {each}" for each in bench.left_out]
    return "\n\n".join(
        [
            f"### {bench.name}, {bench.seconds:.0f} s",
            *bench.notes,
            *left_out,
            *map(markdown, bench.tables),
        ]
    )


def targets_of(benches: Iterable[Bench]) -> Table:
    rows: list[list[object]] = [
        [bench.name, target.text, target.value, "met" if target.met else "MISSED"]
        for bench in benches
        for target in bench.targets
    ]
    return Table(
        "What the engine is to reach", ["benchmark", "target", "measured", ""], rows
    )


def write_json(path: Path, benches: Iterable[Bench], **about: object) -> None:
    found = [dataclasses.asdict(bench) for bench in benches]
    for each in found:
        del each["say"]
    text = json.dumps({**about, "environment": environment(), "benchmarks": found})
    plain = json.loads(text, parse_constant=lambda _: None)  # JSON has no NaN
    path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def why_not_readme() -> str:
    """What keeps the results from being written into README.md;
    nothing, if they can be.
    """
    if missing := [
        name
        for name, version in environment()["versions"].items()
        if version == "not installed"
    ]:
        return f"not without {', '.join(missing)}"
    if not os.access(README, os.W_OK):
        return f"{README} cannot be written"
    return (
        ""
        if RESULTS.search(README.read_text(encoding="utf-8"))
        else f"{README} has no lines {BEGIN} and {END}"
    )


def write_readme(benches: list[Bench], head: str, loads: list[float]) -> None:
    parts = [
        head,
        f"```text\n{caveats()}\n\n{load_line(loads)}\n```",
        markdown(targets_of(benches)),
        *map(text_of, benches),
    ]
    body = "\n\n".join(parts)
    text = README.read_text(encoding="utf-8")
    README.write_text(
        RESULTS.sub(lambda _: f"{BEGIN}\n{body}\n{END}", text), encoding="utf-8"
    )
