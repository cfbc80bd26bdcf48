"""The command ``python -m benchmarks``, which measures and reports.

``--help`` lists what can be given to it.
"""

import argparse
import asyncio
import importlib
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from benchmarks import plots, report
from benchmarks.harness import HOW_TO_GET, Bench, CheckFailedError, Size, progress_line

FOLDER = Path(__file__).parent
# What the engine is for comes first.
FIRST = ["concurrency", "ratelimit"]
ALL = {path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py")}
NAMES = [*FIRST, *sorted(ALL - {*FIRST})]


def run(name: str, size: Size, prefix: str = "") -> Bench:
    """Run one benchmark in an event loop of its own.

    Raises CheckFailedError.
    """
    module = importlib.import_module(f"benchmarks.bench_{name}")
    bench = Bench(name, size, progress_line(prefix))

    begun = time.perf_counter()
    asyncio.run(module.run(bench))
    bench.seconds = time.perf_counter() - begun
    return bench


def arguments() -> argparse.Namespace:
    """The arguments, once it is known that all can be written.

    A run is too long to find out after it.
    """
    parser = _parser()
    given = parser.parse_args()

    complaint = _complaint(given)
    if complaint:
        parser.error(complaint)

    try:
        if given.plots:
            given.plots.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=given.plots).close()
        if given.json:
            given.json.write_text("")
    except OSError as error:
        parser.error(str(error))
    return given


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the engine beside its peers."
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"which to run: {', '.join(NAMES)}; by default all, "
        f"{' and '.join(report.WHOLE)} only with --full",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick",
        action="store_const",
        dest="size",
        const="quick",
        help="seconds, to see that all runs",
    )
    size.add_argument(
        "--full",
        action="store_const",
        dest="size",
        const="full",
        help="minutes: the largest sizes too",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write all figures to FILE"
    )
    parser.add_argument(
        "--plots", type=Path, metavar="DIR", help="draw the pictures into DIR, as SVG"
    )
    parser.add_argument(
        "--readme",
        action="store_true",
        help="write the results into benchmarks/README.md",
    )
    parser.set_defaults(size="default")
    return parser


def _complaint(given: argparse.Namespace) -> str:
    """Why these arguments cannot be followed; empty where they can."""
    unknown = sorted(set(given.names) - set(NAMES))
    if unknown:
        return (
            f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}"
        )

    partial = given.names and sorted(given.names) != report.WHOLE
    if given.readme and (partial or given.size == "quick"):
        whole = " and ".join(report.WHOLE)
        return (
            "--readme replaces all results, so it takes all benchmarks, or just "
            f"{whole}, and not --quick"
        )
    if given.readme:
        why = report.why_not_readme(names_of(given))
        if why:
            return f"--readme: {why}"

    if given.plots and find_spec("matplotlib") is None:
        return f"--plots needs matplotlib: {HOW_TO_GET}"
    return ""


def names_of(given: argparse.Namespace) -> list[str]:
    """The benchmarks that are to run."""
    if given.names:
        return list(given.names)
    return [name for name in NAMES if name not in report.WHOLE or given.size == "full"]


class Run:
    """All that one command measures, and where it is kept."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.names = names_of(given)
        self.quick = given.size == "quick"
        self.command = " ".join(["python -m benchmarks", *sys.argv[1:]])
        self.date = datetime.now(timezone.utc).strftime("%Y-%m-%d")
        self.begun = time.perf_counter()
        self.loads = [report.load_average()]
        self.benches: list[Bench] = []

    def keep(self, ended: str) -> None:
        """Write the JSON file, if there is to be one."""
        if not self.given.json:
            return

        report.write_json(
            self.given.json,
            self.benches,
            command=self.command,
            date=self.date,
            ended=ended,
            load_average=self.loads,
        )

    def interrupt(self, number: int, frame: object) -> NoReturn:
        """End whatever this process started, and keep what is done."""
        # Without an exception: from the midst of an event loop it could
        # leave what waits for ever. A server that was started ends with
        # this process, unlike the processes of an executor.
        for child in multiprocessing.active_children():
            child.kill()

        done = f"{len(self.benches)} of {len(self.names)}"
        ended = f"interrupted, with {done} benchmarks done"
        self.keep(ended)
        os.write(2, f"\n{ended}\n".encode())
        os._exit(130)

    def measure(self) -> None:
        """Run the benchmarks, and print each when it has ended."""
        print(
            report.caveats(self.names, self.quick),
            report.load_line(self.loads),
            sep="\n\n",
            flush=True,
        )
        for number, name in enumerate(self.names, 1):
            prefix = f"[{number}/{len(self.names)}] {name}: "
            bench = run(name, self.given.size, prefix)
            self.benches.append(bench)
            sys.stderr.write("\n")
            print(f"\n{report.text_of(bench)}", flush=True)
        self.loads.append(report.load_average())

    def sum_up(self) -> None:
        """Print the targets; draw and write what was asked for."""
        seconds = time.perf_counter() - self.begun
        targets = report.targets_of(self.benches)
        if targets.rows:
            print(f"\n{report.markdown(targets)}")
        print(
            f"\nBenchmarks measured: {len(self.benches)}, in {seconds:.0f} s.",
            report.load_line(self.loads),
            flush=True,
        )

        if self.given.plots:
            charts = [chart for bench in self.benches for chart in bench.charts]
            print("drawn:", *plots.draw(charts, self.given.plots))
        if self.given.readme:
            head = f"`{self.command}`, {self.date}, {seconds:.0f} s"
            report.write_readme(self.benches, head, self.loads)


def main() -> None:
    of_command = Run(arguments())
    signal.signal(signal.SIGINT, of_command.interrupt)
    signal.signal(signal.SIGTERM, of_command.interrupt)
    # Log lines are off, and what they cost is measured apart.
    logging.disable(logging.INFO)

    ended = "by an error"
    try:
        of_command.measure()
        of_command.sum_up()
        ended = "complete"
    except CheckFailedError as error:
        ended = f"CHECK FAILED: {error}"
        sys.exit(f"\n{ended}")
    finally:
        of_command.keep(ended)


if __name__ == "__main__":
    main()
