"""The command: plays seeds, and says which invariant breaks first, or
what happened in all those days.

Rule: the summary goes to stdout, the progress to stderr; the exit
status is 1 where an invariant was broken.
"""

import argparse
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial

from tests.simulation.day import SeedError, Summary, play
from tests.simulation.faults import FAULTS, OutdatedFaultError

TRIES = 20  # seeds in which a fault has to be found
BAR = 30  # characters
# Ctrl-C is for this process alone, which ends the others
DEAF = (signal.SIGINT, signal.SIG_IGN)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    options = _parse(arguments)
    try:
        if options.faults:
            return _find_faults()
        return _play_seeds(options)
    except (SeedError, OutdatedFaultError) as error:
        print(error)
        return 1
    except KeyboardInterrupt:
        return 130


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description="Play days of the engine."
    )
    parser.add_argument("--seed", type=_whole(0), metavar="N", help="play this day")
    parser.add_argument(
        "--seeds", type=_whole(1), metavar="N", help="play so many days (20)"
    )
    parser.add_argument(
        "--first", type=_whole(0), metavar="N", help="the first of their seeds (0)"
    )
    parser.add_argument(
        "--fault",
        choices=FAULTS,
        metavar="NAME",
        help="with this fault in the engine, of --faults",
    )
    parser.add_argument(
        "--faults", action="store_true", help=f"find each fault within {TRIES} seeds"
    )
    parser.add_argument(
        "--processes",
        type=_whole(1),
        metavar="N",
        default=os.cpu_count(),
        help="how many to use",
    )
    options = parser.parse_args(arguments)
    if options.seed is not None and (options.seeds or options.first is not None):
        parser.error("--seed plays one day, and goes with neither --seeds nor --first")
    if options.faults and (options.seed is not None or options.seeds or options.fault):
        parser.error("--faults goes with no other option")
    return options


def _whole(least: int) -> "partial[int]":
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"{text!r} is no whole number of at least {least}"
            )
        return int(text)

    return partial(parse)


def _play_seeds(options: argparse.Namespace) -> int:
    first = options.first or 0
    seeds = (
        [options.seed]
        if options.seed is not None
        else range(first, first + (options.seeds or TRIES))
    )
    job = partial(play, fault=FAULTS.get(options.fault))
    processes = min(options.processes, len(seeds))
    begun = time.perf_counter()
    if processes == 1:
        summaries = list(_with_progress(map(job, seeds), len(seeds)))
    else:
        with multiprocessing.get_context("spawn").Pool(
            processes, signal.signal, DEAF
        ) as pool:
            summaries = list(
                _with_progress(pool.imap_unordered(job, seeds), len(seeds))
            )
    _print_summary(summaries, time.perf_counter() - begun, processes)
    return 0


def _with_progress(summaries: Iterable[Summary], count: int) -> Iterator[Summary]:
    """The summaries, and a bar on stderr that grows with them."""
    begun = time.perf_counter()
    try:
        for done, summary in enumerate(summaries, 1):
            bar, left = (
                "#" * (BAR * done // count),
                (time.perf_counter() - begun) / done * (count - done),
            )
            print(
                f"\r[{bar:.<{BAR}}] {done}/{count} days, {left:.0f} s left ",
                end="",
                file=sys.stderr,
                flush=True,
            )
            yield summary
    finally:
        print(file=sys.stderr)


def _print_summary(summaries: list[Summary], seconds: float, processes: int) -> None:
    counts = sum((summary.counts for summary in summaries), Counter[str]())
    ends = {end: counts[f"task {end}"] for end in ("completed", "failed", "cancelled")}
    answers = {
        name[-3:]: counts[name]
        for name in sorted(counts)
        if name.startswith("answered")
    }
    days = (
        "1 seed, 1 simulated day"
        if len(summaries) == 1
        else f"{len(summaries)} seeds, as many simulated days"
    )
    lines = [
        f"{days}: no invariant was broken; {seconds:.1f} s in {processes} process{'es' if processes > 1 else ''}",
        f"requests: {counts['requests']:,}, answered "
        + ", ".join(f"{n} {count:,}x" for n, count in answers.items()),
        f"tasks: {sum(ends.values()):,}, of which "
        + ", ".join(f"{count:,} {end}" for end, count in ends.items()),
        f"background loops that died and were started again: {counts['deaths of loops']:,}",
        f"fingerprint: {sum(summary.fingerprint for summary in summaries) % 2**32:08x}",
    ]
    print("\n".join(lines))


def _find_faults() -> int:
    """Say by which seed each fault is found, and how."""
    missed = 0
    for fault in FAULTS.values():
        for seed in range(TRIES):
            try:
                play(seed, fault)
            except SeedError as broken:
                found = str(broken).splitlines()[0]
                break
        else:
            found, missed = "NOT FOUND", missed + 1
        print(f"{fault.name}: {fault.breaks}\n    {found}")
    print(f"{len(FAULTS) - missed} of {len(FAULTS)} faults found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
