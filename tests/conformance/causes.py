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
# The verdicts on one solution, by the name of the requirement.
Verdicts = dict[str, Verdict]
UNMET = ("failed", "remark")


def settled(
    jobs: list[Job], played: Iterable[tuple[int, Verdict]]
) -> Iterator[tuple[int, Verdict]]:
    """Yields the index and verdict of each job, once it is known.

    What passed is known at once; the others are held back until all
    that could explain them have been played.
    """
    held: list[tuple[int, Verdict]] = []
    of_solution: dict[str, Verdicts] = {}
    for index, verdict in played:
        solution, requirement = jobs[index]
        verdicts = of_solution.setdefault(repr(solution), {})
        verdicts[requirement.name] = verdict
        if verdict.mark == "passed":
            yield index, verdict
        else:
            held.append((index, verdict))

    for index, verdict in held:
        solution, requirement = jobs[index]
        yield index, explained(requirement, verdict, of_solution[repr(solution)])


def explained(
    requirement: Requirement, verdict: Verdict, verdicts: Verdicts
) -> Verdict:
    """The verdict on a line, given those on all others."""
    seen = frozenset({requirement.name})
    cause = _cause_of(requirement.needs, verdict, verdicts, seen)
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


def _cause_of(
    needs: tuple[str, ...], verdict: Verdict, verdicts: Verdicts, seen: frozenset[str]
) -> str:
    """The line that explains this verdict; empty where none does."""
    if verdict.mark == "passed":
        return ""

    if verdict.mark == "not graded":
        if verdict.cause and verdict.cause not in verdicts:
            # It was not chosen, and is worth a look all the same.
            return verdict.cause
        return _unmet_at_the_root(verdict.cause, verdicts, seen)

    for need in (*needs, *verdict.needs):
        root = _unmet_at_the_root(need, verdicts, seen)
        if root:
            return root
    return ""


def _unmet_at_the_root(need: str, verdicts: Verdicts, seen: frozenset[str]) -> str:
    """The unmet line that explains this one, or is it; else empty."""
    if need in seen or need not in verdicts:
        return ""

    verdict = verdicts[need]
    needs = REQUIREMENTS[need].needs
    root = _cause_of(needs, verdict, verdicts, seen | {need})
    if root:
        return root
    return need if verdict.mark in UNMET else ""
