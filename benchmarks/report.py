"""What a run has to say: caveats, tables, targets; as text, as JSON, and between two lines of README.md.

Rule: every published figure is written by the command that measured it, with the machine and the versions of that run.
"""

import dataclasses
import json
import os
import platform
import re
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.harness import Bench, Table, shown

README = Path(__file__).parent / "README.md"
PACKAGES = [
    *("fastapi", "starlette", "pydantic", "uvicorn", "aiojobs", "huey", "limits", "pyrate-limiter", "slowapi", "taskiq")
]
BEGIN, END = "<!-- results -->", "<!-- end of results -->"


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
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1] if found else platform.processor() or "unknown"


def markdown(table: Table) -> str:
    """A table that reads well in a terminal and on a page."""
    rows = [table.header, *table.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.header))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 1) + (":" if column else "-") for column, width in enumerate(widths)) + "|"
    return f"**{table.title}**\n\n" + "\n".join([lines[0], rule, *lines[1:]])


def caveats() -> str:
    environ = environment()
    versions = ", ".join(f"{name} {version}" for name, version in environ["versions"].items())
    return (
        f"{environ['python']} on {environ['system']}, {environ['processor']}, {environ['cores']} cores\n"
        f"{versions}\n\n"
        "Read ratios, not absolute figures: each contestant runs in turn with its reference, round by round, and a\n"
        "ratio is the median over the rounds. In-process figures share one event loop with their own load."
    )


def text_of(bench: Bench) -> str:
    """One benchmark: its notes, then its tables, then its targets."""
    parts = [f"### {bench.name}, {bench.seconds:.0f} s", *bench.notes, *map(markdown, bench.tables)]
    if bench.left_out:
        parts.append("\n".join(f"Left out: {each}" for each in bench.left_out))
    return "\n\n".join(parts)


def targets_of(benches: Iterable[Bench]) -> Table:
    rows = [
        [bench.name, target.text, shown(target.value), "met" if target.met else "MISSED"]
        for bench in benches
        for target in bench.targets
    ]
    return Table("What the engine is to reach", ["benchmark", "target", "measured", ""], rows)


def write_json(path: Path, benches: list[Bench], command: str, date: str) -> None:
    found = [
        {field.name: getattr(bench, field.name) for field in dataclasses.fields(bench) if field.name != "say"}
        for bench in benches
    ]
    content = {"command": command, "date": date, "environment": environment(), "benchmarks": found}
    path.write_text(json.dumps(content, indent=1, default=dataclasses.asdict) + "\n", encoding="utf-8")


def write_readme(benches: list[Bench], command: str, date: str, seconds: float) -> None:
    head = f"`{command}`, {date}, {seconds:.0f} s\n\n```text\n{caveats()}\n```"
    body = "\n\n".join([head, markdown(targets_of(benches)), *map(text_of, benches)])
    text = README.read_text(encoding="utf-8")
    pattern = re.compile(f"{BEGIN}.*{END}", re.DOTALL)
    if not pattern.search(text):
        sys.exit(f"{README} has no lines {BEGIN} and {END} to write the results between")
    README.write_text(pattern.sub(lambda _: f"{BEGIN}\n{body}\n{END}", text), encoding="utf-8")
