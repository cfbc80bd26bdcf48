"""``python -m benchmarks [names] [--quick | --full] [--json FILE]
[--plots DIR] [--readme]``.
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

NAMES = sorted(
    path.stem.removeprefix("bench_")
    for path in Path(__file__).parent.glob("bench_*.py")
)


def run(name: str, size: Size, prefix: str = "") -> Bench:
    """Run one benchmark in an event loop of its own. Raises
    CheckFailedError.
    """
    module = importlib.import_module(f"benchmarks.bench_{name}")
    bench = Bench(name, size, progress_line(prefix))
    begun = time.perf_counter()
    asyncio.run(module.run(bench))
    bench.seconds = time.perf_counter() - begun
    return bench


def arguments() -> argparse.Namespace:
    """The arguments, once it is known that whatever is to be written
    can be: a run is too long to find out after it.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the engine beside its peers."
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"which to run (default: all): {', '.join(NAMES)}",
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
    given = parser.parse_args()
    if unknown := sorted(set(given.names) - set(NAMES)):
        parser.error(
            f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}"
        )
    if given.readme and (given.names or given.size == "quick"):
        parser.error(
            "--readme replaces all results, so it takes all benchmarks, and not --quick"
        )
    if given.readme and (why := report.why_not_readme()):
        parser.error(f"--readme: {why}")
    if given.plots and find_spec("matplotlib") is None:
        parser.error(f"--plots needs matplotlib: {HOW_TO_GET}")
    try:
        if given.plots:
            given.plots.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=given.plots).close()
        if given.json:
            given.json.write_text("")
    except OSError as error:
        parser.error(str(error))
    return given


def main() -> None:
    given = arguments()
    names, quick = given.names or NAMES, given.size == "quick"
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    date, begun, loads = (
        datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        time.perf_counter(),
        [report.load_average()],
    )
    benches: list[Bench] = []

    def keep(ended: str) -> None:
        if given.json:
            report.write_json(
                given.json,
                benches,
                command=command,
                date=date,
                ended=ended,
                load_average=loads,
            )

    def interrupt(number: int, frame: object) -> NoReturn:
        # Without an exception: from the midst of an event loop it could
        # leave what waits for ever. A server that was started ends with
        # this process, unlike the processes of an executor.
        for child in multiprocessing.active_children():
            child.kill()
        ended = f"interrupted, with {len(benches)} of {len(names)} benchmarks done"
        keep(ended)
        os.write(2, f"\n{ended}\n".encode())
        os._exit(130)

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    # log lines are off, and what they cost is measured apart
    logging.disable(logging.INFO)
    print(report.caveats(quick), report.load_line(loads), sep="\n\n", flush=True)
    ended = "by an error"
    try:
        for number, name in enumerate(names, 1):
            benches.append(run(name, given.size, f"[{number}/{len(names)}] {name}: "))
            sys.stderr.write("\n")
            print(f"\n{report.text_of(benches[-1])}", flush=True)
        loads.append(report.load_average())
        seconds = time.perf_counter() - begun
        if not quick:
            print(f"\n{report.markdown(report.targets_of(benches))}")
        print(
            f"\n{len(benches)} benchmarks in {seconds:.0f} s. {report.load_line(loads)}",
            flush=True,
        )
        if given.plots:
            print(
                "drawn:",
                *plots.draw(
                    [chart for bench in benches for chart in bench.charts], given.plots
                ),
            )
        if given.readme:
            report.write_readme(benches, f"`{command}`, {date}, {seconds:.0f} s", loads)
        ended = "complete"
    except CheckFailedError as error:
        ended = f"CHECK FAILED: {error}"
        sys.exit(f"\n{ended}")
    finally:
        keep(ended)


if __name__ == "__main__":
    main()
