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

    What was not passed is held back until all that could explain it has
    been played, or the playing breaks off.
    """
    of_solution: dict[str, Causes] = {}
    for solution, requirement in jobs:
        causes = of_solution.setdefault(repr(solution), Causes())
        causes.awaited.add(requirement.name)

    held: dict[int, Verdict] = {}

    def known() -> Iterator[tuple[int, Verdict]]:
        # In their order, whichever was played first: of two lines that
        # need each other, it is always the same that is told.
        for each in sorted(held):
            solution, requirement = jobs[each]
            causes = of_solution[repr(solution)]
            if causes.are_known(requirement, held[each]):
                yield each, causes.explained(requirement, held.pop(each))

    try:
        for index, verdict in played:
            solution, requirement = jobs[index]
            of_solution[repr(solution)].add(requirement.name, verdict)
            held[index] = verdict
            yield from known()
    except (Exception, KeyboardInterrupt):
        for causes in of_solution.values():
            causes.awaited.clear()
        yield from known()
        raise


class Causes:
    """What explains what among the verdicts on one solution."""

    def __init__(self) -> None:
        # The names of requirements that have yet to be played.
        self.awaited: set[str] = set()
        self._verdicts: dict[str, Verdict] = {}
        self._causes: dict[str, str] = {}
        # Those whose cause is being looked for: they explain no line
        # that explains them.
        self._under_way: set[str] = set()

    def add(self, name: str, verdict: Verdict) -> None:
        self.awaited.discard(name)
        self._verdicts[name] = verdict

    def are_known(self, requirement: Requirement, verdict: Verdict) -> bool:
        """Whether all that could explain this verdict was played."""
        seen = {requirement.name}
        candidates = list(_candidates(requirement.needs, verdict))
        while candidates:
            name = candidates.pop()
            if name in self.awaited:
                return False
            if name in seen or name not in self._verdicts:
                continue

            seen.add(name)
            needs = REQUIREMENTS[name].needs
            candidates += _candidates(needs, self._verdicts[name])
        return True

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
        for need in _candidates(needs, self._verdicts[name]):
            cause = self._unmet_at_the_root(need)
            if cause:
                self._causes[name] = cause
                break
        self._under_way.discard(name)
        return self._causes[name]

    def _unmet_at_the_root(self, need: str) -> str:
        """The unmet line that explains this one, or is it; or empty."""
        if need not in self._verdicts or need in self._under_way:
            return ""
        root = self._cause_of(need, REQUIREMENTS[need].needs)
        if root:
            return root
        return need if self._verdicts[need].mark in UNMET else ""


def _candidates(needs: tuple[str, ...], verdict: Verdict) -> tuple[str, ...]:
    """The names of lines that may explain this verdict."""
    match verdict.mark:
        case "passed":
            return ()
        case "not graded":
            return (verdict.cause,)
        case _:
            return (*needs, *verdict.needs)
