"""``python -m tests.site SITE``: play the lessons of a site."""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from notebooks.site import NOTEBOOKS, lessons
from tests.site.compare import Difference, differences

PLAYER = Path(__file__).with_name("play.mjs")
CPU = 10.0  # seconds of a processor that a lesson may take


def code_cells(lesson: str) -> list[dict[str, Any]]:
    text = (NOTEBOOKS / f"{lesson}.ipynb").read_text(encoding="utf-8")
    cells = json.loads(text)["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


# A lesson, what its cells have shown, and what is wrong beside that.
Shown = tuple[str, list[list[dict[str, Any]]], list[str]]


def under_node(site: Path, chosen: list[str]) -> Iterator[Shown]:
    """Each lesson, run from its start; prints the time."""
    for lesson in chosen:
        file = site / "files/notebooks" / f"{lesson}.ipynb"
        command = ["node", str(PLAYER), str(site), str(file)]
        played = subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False
        )
        if played.returncode != 0 or not played.stdout:
            sys.exit(f"{lesson}: it ended, {played.stderr[-2000:]}")
        told = json.loads(played.stdout)
        print(f"{told['cpu']:5.1f} s of a processor ({told['to_start']:.1f} to start)")
        if told["cpu"] > CPU:
            print(
                f"    more than {CPU:.0f} s: is the machine busy, or the lesson slow?"
            )
        yield lesson, [cell["outputs"] for cell in told["cells"]], []


def in_chromium(site: Path, chosen: list[str]) -> Iterator[Shown]:
    """The same in a browser; it prints the time and the transfer.

    Its exercises are answered there as well. The first lesson is
    visited a second time.
    """
    from tests.site.answers import cells_of, faults
    from tests.site.chromium import played

    for lesson in chosen:
        again = lesson == chosen[0]
        told = played(site, lesson, cells_of(lesson), again)
        yield lesson, told.outputs, faults(lesson, told.said)


PLAYERS = {"node": under_node, "chromium": in_chromium}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.site")
    parser.add_argument("site", type=Path)
    parser.add_argument("player", choices=sorted(PLAYERS))
    parser.add_argument("lessons", nargs="*")
    arguments = parser.parse_args()
    everyone = [path.stem for path in lessons()]

    found: list[Difference] = []
    play = PLAYERS[arguments.player]
    for lesson, shown, faults in play(arguments.site, arguments.lessons or everyone):
        cells = code_cells(lesson)
        browser = arguments.player == "chromium"
        wrong = differences(lesson, cells, shown, browser)
        print(f"{lesson}: {len(cells) - len(wrong)} of {len(cells)} cells", flush=True)
        wrong += [Difference(lesson, "its answers", fault) for fault in faults]
        found += wrong
        for each in wrong:
            print(f"    {each.cell}\n        {each.fault}", flush=True)
    if found:
        sys.exit(f"{len(found)} cells differ from what is committed, or said here")


if __name__ == "__main__":
    main()
