"""``python -m benchmarks [names] [--quick | --full] [--json FILE] [--plots DIR] [--readme]``."""

import argparse
import asyncio
import importlib
import logging
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

from benchmarks import plots, report
from benchmarks.harness import HOW_TO_GET, Bench, CheckFailedError, Size, progress_line

NAMES = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def run(name: str, size: Size, prefix: str = "") -> Bench:
    """Run one benchmark in an event loop of its own. Raises CheckFailedError."""
    module = importlib.import_module(f"benchmarks.bench_{name}")
    bench = Bench(name, size, progress_line(prefix))
    begun = time.perf_counter()
    asyncio.run(module.run(bench))
    bench.seconds = time.perf_counter() - begun
    return bench


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the engine beside its peers.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"which to run (default: all): {', '.join(NAMES)}")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", dest="size", const="quick", help="seconds, to see that all runs")
    size.add_argument("--full", action="store_const", dest="size", const="full", help="minutes: the largest sizes too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw the pictures into DIR, as SVG")
    parser.add_argument("--readme", action="store_true", help="write the results into benchmarks/README.md")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(NAMES)):
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")

    names = arguments.names or NAMES
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    date, begun = datetime.now(timezone.utc).strftime("%Y-%m-%d"), time.perf_counter()
    logging.disable(logging.INFO)  # log lines are off, and what they cost is measured apart
    print(report.caveats(), flush=True)
    benches = []
    for number, name in enumerate(names, 1):
        try:
            benches.append(run(name, arguments.size or "default", f"[{number}/{len(names)}] {name}: "))
        except CheckFailedError as error:
            sys.exit(f"\nCHECK FAILED: {error}")
        sys.stderr.write("\n")
        print(f"\n{report.text_of(benches[-1])}", flush=True)
    print(f"\n{report.markdown(report.targets_of(benches))}")
    seconds = time.perf_counter() - begun
    print(f"\n{len(benches)} benchmarks in {seconds:.0f} s")
    if arguments.json:
        report.write_json(arguments.json, benches, command, date)
    if arguments.plots:
        try:
            paths = plots.draw([chart for bench in benches for chart in bench.charts], arguments.plots)
        except ImportError:
            sys.exit(f"the pictures need matplotlib: {HOW_TO_GET}")
        print("drawn:", *paths)
    if arguments.readme:
        report.write_readme(benches, command, date, seconds)


if __name__ == "__main__":
    main()
