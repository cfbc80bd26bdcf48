"""What a run has to say: caveats, tables and targets.

It is said as text, as JSON, and between two lines of README.md. Rule:
every published figure is written by the command that measured it, with
the machine and the versions of that run.
"""

import dataclasses
import json
import math
import os
import platform
import re
import shutil
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.harness import Bench, Table, shown

README = Path(__file__).parent / "README.md"
PACKAGES = [
    "fastapi",
    "starlette",
    "pydantic",
    "uvicorn",
    "aiojobs",
    "distributed",
    "huey",
    "limits",
    "pyrate-limiter",
    "slowapi",
    "taskiq",
]
# The benchmarks of whole alternatives, which are run and published by
# themselves, and what these need.
WHOLE = ["alternatives", "survives"]
WHOLE_PACKAGES = [
    "fastapi",
    "starlette",
    "pydantic",
    "uvicorn",
    "uvloop",
    "httptools",
    "slowapi",
    "arq",
    "celery",
    "dramatiq",
    "huey",
    "redis",
    "saq",
    "taskiq",
    "taskiq-redis",
]
BEGIN = "<!-- results -->"
END = "<!-- end of results -->"
BEGIN_WHOLE = "<!-- results of whole alternatives -->"
END_WHOLE = "<!-- end of results of whole alternatives -->"

QUICK = (
    "Quick: no results. One round, without a warm-up, shows that everything runs; "
    "the figures mean nothing."
)
HOW_TO_READ = """\
Read ratios, not absolute figures: each contestant runs in turn with its reference, and
a ratio is the median of those of each round. Where 1 lies between its quartiles, no
difference could be measured. In-process figures share one event loop with their own
load."""
BUSY = (
    "THE MACHINE IS BUSY: its other work is in the figures, and may be why a target is "
    "missed."
)


def packages_of(names: Iterable[str]) -> list[str]:
    """What these benchmarks are about, and what they need."""
    packages = []
    if {*names} - {*WHOLE}:
        packages += PACKAGES
    if {*names} & {*WHOLE}:
        packages += WHOLE_PACKAGES
    return list(dict.fromkeys(packages))


def environment(names: Iterable[str]) -> dict[str, Any]:
    """The machine and the versions of a run of these benchmarks."""
    versions = {}
    for package in packages_of(names):
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
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""

    found = re.search(r"model name\s*: (.*)", text)
    if found:
        return found[1]
    return platform.processor() or "unknown"


def markdown(table: Table) -> str:
    """A table that reads well in a terminal and on a page."""
    rows = [table.header]
    rows += [[shown(cell) for cell in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append(f"| {' | '.join(cells)} |")

    # Names to the left, figures to the right.
    first, *others = widths
    rules = ["-" * (first + 2)]
    rules += [f"{'-' * (width + 1)}:" for width in others]
    lines.insert(1, f"|{'|'.join(rules)}|")
    return f"**{table.title}**\n\n" + "\n".join(lines)


def caveats(names: Iterable[str], quick: bool = False) -> str:
    environ = environment(names)
    where = (
        f"{environ['python']} on {environ['system']}, {environ['processor']}, "
        f"{environ['cores']} cores"
    )
    versions = environ["versions"].items()
    packages = ", ".join(f"{name} {version}" for name, version in versions)

    how = QUICK if quick else HOW_TO_READ
    return f"{where}\n{packages}\n\n{how}"


def load_average() -> float:
    """How many processes wanted a core, on average over a minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan


def load_line(loads: list[float]) -> str:
    """What else the machine had to do, at a run's start and at its end.

    A run itself needs two cores at most.
    """
    figures = ", then ".join(f"{load:.1f}" for load in loads)
    line = f"Load average: {figures}."

    spare = (os.cpu_count() or 1) / 4
    if loads[0] > spare or loads[-1] > 2 + spare:
        line += f" {BUSY}"
    return line


def text_of(bench: Bench) -> str:
    """One benchmark: its notes, what it left out, then its tables."""
    parts = [f"### {bench.name}, {bench.seconds:.0f} s"]
    parts += bench.notes
    parts += [f"Left out: {each}" for each in bench.left_out]
    parts += [markdown(table) for table in bench.tables]
    return "\n\n".join(parts)


def targets_of(benches: Iterable[Bench]) -> Table:
    rows: list[list[object]] = []
    for bench in benches:
        for target in bench.targets:
            verdict = "met" if target.met else "MISSED"
            row: list[object] = [
                bench.name,
                target.text,
                target.value,
                verdict,
            ]
            rows.append(row)

    header = [
        "benchmark",
        "target",
        "measured",
        "",
    ]
    return Table("What the engine is to reach", header, rows)


def write_json(path: Path, benches: Iterable[Bench], **about: object) -> None:
    found = [dataclasses.asdict(bench) for bench in benches]
    for each in found:
        del each["say"]

    environ = environment(bench["name"] for bench in found)
    text = json.dumps({**about, "environment": environ, "benchmarks": found})
    # JSON has no NaN.
    plain = json.loads(text, parse_constant=lambda _: None)
    path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def why_not_readme(names: Iterable[str]) -> str:
    """What keeps the results from being written into README.md.

    Nothing, if they can be.
    """
    names = list(names)
    versions = environment(names)["versions"].items()
    missing = [name for name, version in versions if version == "not installed"]
    if {*names} & {*WHOLE} and shutil.which("redis-server") is None:
        missing.append("redis-server")
    if missing:
        return f"not without {', '.join(missing)}"
    if not os.access(README, os.W_OK):
        return f"{README} cannot be written"

    text = README.read_text(encoding="utf-8")
    for begin, end in ((BEGIN, END), (BEGIN_WHOLE, END_WHOLE)):
        if not _between(begin, end).search(text):
            return f"{README} has no lines {begin} and {end}"
    return ""


def write_readme(benches: list[Bench], head: str, loads: list[float]) -> None:
    """Write the results between two lines, and leave the others."""
    whole = [bench for bench in benches if bench.name in WHOLE]
    others = [bench for bench in benches if bench.name not in WHOLE]
    if others:
        _write_between(BEGIN, END, others, head, loads)
    if whole:
        _write_between(BEGIN_WHOLE, END_WHOLE, whole, head, loads)


def _write_between(
    begin: str, end: str, benches: list[Bench], head: str, loads: list[float]
) -> None:
    names = [bench.name for bench in benches]
    parts = [
        head,
        f"```text\n{caveats(names)}\n\n{load_line(loads)}\n```",
    ]
    targets = targets_of(benches)
    if targets.rows:
        parts.append(markdown(targets))
    parts += _pictures(benches)

    details = [text_of(bench) for bench in benches]
    if begin == BEGIN:
        details = [
            "<details><summary>Every table</summary>",
            *details,
            "</details>",
        ]
    body = "\n\n".join(parts + details)

    text = README.read_text(encoding="utf-8")
    text = _between(begin, end).sub(lambda _: f"{begin}\n{body}\n{end}", text)
    README.write_text(text, encoding="utf-8")


def _pictures(benches: list[Bench]) -> list[str]:
    """Those that were drawn for the page."""
    return [
        f"![{chart.title}](plots/{chart.name}.svg)"
        for bench in benches
        for chart in bench.charts
        if (README.parent / "plots" / f"{chart.name}.svg").exists()
    ]


def _between(begin: str, end: str) -> re.Pattern[str]:
    return re.compile(f"{begin}.*{end}", re.DOTALL)
