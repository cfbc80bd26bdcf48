"""The command: plays seeds, and says what happened in all those days.

Rule: the summary, or which invariant breaks first, goes to stdout, the
progress to stderr; the exit status is 1 where an invariant was broken.
"""

import argparse
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from tests.simulation.day import SeedError, Summary, play
from tests.simulation.faults import FAULTS, Fault, OutdatedFaultError

TRIES = 20  # seeds for each fault
BAR = 30  # characters


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


def _whole(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"{text!r} is no whole number of at least {least}"
            )
        return int(text)

    return parse


def _seeds(options: argparse.Namespace) -> Sequence[int]:
    if options.seed is not None:
        return [options.seed]

    first = options.first or 0
    count = options.seeds or TRIES
    return range(first, first + count)


def _play_seeds(options: argparse.Namespace) -> int:
    seeds = _seeds(options)
    processes = min(options.processes, len(seeds))
    play_seed = partial(play, fault=FAULTS.get(options.fault))

    begun = time.perf_counter()
    if processes == 1:
        summaries = list(_with_progress(map(play_seed, seeds), len(seeds)))
    else:
        # Ctrl-C is for this process alone, which ends the others.
        ignore_interrupts = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
        context = multiprocessing.get_context("spawn")
        with context.Pool(processes, ignore_interrupts) as pool:
            played = pool.imap_unordered(play_seed, seeds)
            summaries = list(_with_progress(played, len(seeds)))

    _print_summary(summaries, time.perf_counter() - begun, processes)
    return 0


def _with_progress(summaries: Iterable[Summary], count: int) -> Iterator[Summary]:
    """The summaries, and a bar on stderr that grows with them."""
    begun = time.perf_counter()
    try:
        for done, summary in enumerate(summaries, 1):
            bar = "#" * (BAR * done // count)
            each = (time.perf_counter() - begun) / done
            left = each * (count - done)
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
    days = f"{len(summaries)} seeds, as many simulated days"
    if len(summaries) == 1:
        days = "1 seed, 1 simulated day"
    in_processes = "1 process" if processes == 1 else f"{processes} processes"

    answers = ", ".join(
        f"{name.removeprefix('answered ')} {counts[name]:,}x"
        for name in sorted(counts)
        if name.startswith("answered ")
    )
    ends = {end: counts[f"task {end}"] for end in ("completed", "failed", "cancelled")}
    told_ends = ", ".join(f"{count:,} {end}" for end, count in ends.items())
    deaths = counts["deaths of loops"]
    fingerprint = sum(summary.fingerprint for summary in summaries) % 2**32

    print(f"{days}: no invariant was broken; {seconds:.1f} s in {in_processes}")
    print(f"requests: {counts['requests']:,}, answered {answers}")
    print(f"tasks: {sum(ends.values()):,}, of which {told_ends}")
    print(f"background loops that died and were started again: {deaths:,}")
    print(f"fingerprint: {fingerprint:08x}")


def _find_faults() -> int:
    """Say by which seed each fault is found, and how."""
    missed = 0
    for fault in FAULTS.values():
        found = _find(fault)
        missed += found is None
        print(f"{fault.name}: {fault.breaks}\n    {found or 'NOT FOUND'}")
    print(f"{len(FAULTS) - missed} of {len(FAULTS)} faults found")
    return 1 if missed else 0


def _find(fault: Fault) -> str | None:
    """What the first seed that finds a fault says in its first line."""
    for seed in range(TRIES):
        try:
            play(seed, fault)
        except SeedError as broken:
            first_line, *_ = str(broken).splitlines()
            return first_line
    return None


if __name__ == "__main__":
    sys.exit(main())
