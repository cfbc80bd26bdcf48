"""Sitting: one submission, graded in a process of its own.

It is told the solution on its standard input, and writes what it finds
on its standard output, a line of JSON each: first what the preflight
found, then each verdict by the name of its requirement.

Rule: it runs on the submission's own Python, and needs of the project
only what grades.
"""

import dataclasses
import json
import sys
from typing import Any

from tests.conformance.play import grade
from tests.conformance.preflight import PREFLIGHT
from tests.conformance.requirement import Verdict, load_all
from tests.conformance.solution import Solution


def main() -> None:
    solution = Solution(**json.load(sys.stdin))
    [(_, first)] = grade([(solution, PREFLIGHT)])
    _tell(PREFLIGHT.name, first)

    solution = dataclasses.replace(solution, **first.found)
    is_running = first.mark == "passed"
    playable = [each for each in load_all() if each.source or is_running]
    for index, verdict in grade([(solution, each) for each in playable]):
        _tell(playable[index].name, verdict)


def _tell(name: str, verdict: Verdict) -> None:
    told: list[Any] = [name, dataclasses.asdict(verdict)]
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
