"""Causes: a line that another one explains is not graded.

Rule: a fault is told once, by the line that is about it. A line whose
precondition is not met says nothing about the solution, whether it
failed or could not be played, and names the line that does.
"""

import dataclasses
from collections.abc import Iterable, Iterator

from tests.conformance.requirement import REQUIREMENTS, Requirement, Verdict
from tests.conformance.solution import Solution

Job = tuple[Solution, Requirement]
UNMET = ("failed", "remark")


def settled(
    jobs: list[Job], played: Iterable[tuple[int, Verdict]]
) -> Iterator[tuple[int, Verdict]]:
    """Yields the index and verdict of each job, once it is known.

    What passed is known at once; the others are held back until all
    that could explain them have been played.
    """
    held: list[tuple[int, Verdict]] = []
    of_solution: dict[str, Causes] = {}
    for index, verdict in played:
        solution, requirement = jobs[index]
        causes = of_solution.setdefault(repr(solution), Causes())
        causes.verdicts[requirement.name] = verdict
        if verdict.mark == "passed":
            yield index, verdict
        else:
            held.append((index, verdict))

    # Whichever was played first: of two lines that need each other, it
    # is always the same that is told.
    held.sort(key=_index_of)
    for index, verdict in held:
        solution, requirement = jobs[index]
        yield index, of_solution[repr(solution)].explained(requirement, verdict)


def _index_of(held: tuple[int, Verdict]) -> int:
    index, _ = held
    return index


class Causes:
    """What explains what among the verdicts on one solution."""

    def __init__(self) -> None:
        # By the name of the requirement.
        self.verdicts: dict[str, Verdict] = {}
        self._causes: dict[str, str] = {}
        # Those whose cause is being looked for: they explain no line
        # that explains them.
        self._under_way: set[str] = set()

    def explained(self, requirement: Requirement, verdict: Verdict) -> Verdict:
        """The verdict on a line, given those on all others."""
        name = requirement.name
        cause = self._cause_of(name, requirement.needs)
        if not cause:
            return dataclasses.replace(verdict, cause="")

        happened = "it needs what is not met"
        if verdict.mark == "not graded":
            happened = verdict.happened
        line = REQUIREMENTS[cause].text
        return dataclasses.replace(
            verdict,
            mark="not graded",
            expected="",
            happened=f"{happened}: see the line “{line}”",
            cause=cause,
        )

    def _cause_of(self, name: str, needs: tuple[str, ...]) -> str:
        """The line that explains this one; empty where none does."""
        if name in self._causes:
            return self._causes[name]

        self._causes[name] = ""
        self._under_way.add(name)
        verdict = self.verdicts[name]
        match verdict.mark:
            case "passed":
                candidates: tuple[str, ...] = ()
            case "not graded":
                candidates = (verdict.cause,)
            case _:
                candidates = (*needs, *verdict.needs)

        for need in candidates:
            cause = self._unmet_at_the_root(need)
            if cause:
                self._causes[name] = cause
                break
        self._under_way.discard(name)
        return self._causes[name]

    def _unmet_at_the_root(self, need: str) -> str:
        """The unmet line that explains this one, or is it; else empty."""
        if need not in self.verdicts or need in self._under_way:
            return ""
        root = self._cause_of(need, REQUIREMENTS[need].needs)
        if root:
            return root
        return need if self.verdicts[need].mark in UNMET else ""
