"""Policy: what each line of the card is worth to a teacher.

It is a TOML file: weights, lines that are switched off, and numbers
other than the exercise's, with which the lines then play.

Rule: a cause costs once. Of lines that failed for one and the same
reason, the heaviest is lost and the others are excused, and so is a
line that another one explains. But no more than a share of all points
is excused: what is beyond was not shown, and earns nothing.
"""

import dataclasses
import difflib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conformance import card
from tests.conformance.requirement import (
    GROUPS,
    REQUIREMENTS,
    Requirement,
    Verdict,
    load_all,
)
from tests.conformance.solution import NUMBERS, number_problem
from tests.conformance.toml import loads


class PolicyError(ValueError):
    """The policy cannot be used; the message names the key."""


@dataclasses.dataclass(frozen=True)
class Cause:
    """Why points were lost, or lines could not be graded: once."""

    requirement: Requirement
    verdict: Verdict
    # Points that it costs.
    lost: float
    # The names of other lines that it explains.
    others: list[str]


@dataclasses.dataclass(frozen=True)
class Points:
    """What a submission earned, of how much, and why no more."""

    earned: float
    most: float
    # What could not be graded, and is not excused.
    unshown: float
    causes: list[Cause]

    @property
    def percent(self) -> float:
        return 100 * self.earned / self.most if self.most else 0.0


@dataclasses.dataclass(frozen=True)
class Policy:
    """All that a teacher decides; each field is a key of the file."""

    # Of the assignment, at the head of tables and letters.
    title: str = "The task manager"
    # Points of a line that ``weights`` does not name.
    weight: float = 1.0
    # Points by the name of a line, or of a group of them.
    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    # Which share of its points a remark costs.
    remarks: float = 0.0
    # Lines that are neither shown nor counted.
    off: list[str] = dataclasses.field(default_factory=list)
    # Which share of all points may be excused.
    excused: float = 0.1
    # By name, those of NUMBERS that differ from the exercise's.
    numbers: dict[str, int] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Policy":
        """Raises PolicyError."""
        try:
            chosen = loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise PolicyError(f"{path}: {error}") from None

        for problem in _problems_of(chosen):
            raise PolicyError(f"{path}: {problem}")
        return cls(**chosen)

    def worth(self, requirement: Requirement) -> float:
        """The points that this line can earn."""
        by_group = self.weights.get(requirement.group, self.weight)
        return self.weights.get(requirement.name, by_group)

    def shown(self, graded: card.Graded) -> card.Graded:
        """The card, without the lines that are switched off."""
        return [
            (requirement, verdict)
            for requirement, verdict in graded
            if requirement.name not in self.off
        ]

    def most(self) -> float:
        """All points that there are."""
        return self._unplayed([])

    def points(self, graded: card.Graded) -> Points:
        """What these verdicts earn."""
        shown = self.shown(graded)
        earned = 0.0
        lost = 0.0
        excused = 0.0
        causes: list[Cause] = []

        for alike in card.by_cause(shown):
            requirement, verdict = max(alike, key=lambda line: self.worth(line[0]))
            worth = self.worth(requirement)
            names = [each.name for each, _ in alike if each is not requirement]
            match verdict.mark:
                case "passed":
                    earned += worth
                    continue
                case "not graded":
                    # The load of the machine, say, is nobody's fault.
                    excused += worth if verdict.cause else 0.0
                    continue
                case "remark":
                    cost = self.remarks * worth
                    earned += worth - cost
                case _ if card.is_preflight(requirement):
                    cost = self._unplayed(shown)
                case _:
                    cost = worth
                    excused += sum(self.worth(REQUIREMENTS[name]) for name in names)
                    names += _explained_by({requirement.name, *names}, shown)
            lost += cost
            if cost or verdict.mark == "failed":
                causes.append(Cause(requirement, verdict, cost, names))

        unshown = max(0.0, excused - self.excused * self.most())
        return Points(earned, earned + lost + unshown, unshown, causes)

    def _unplayed(self, shown: card.Graded) -> float:
        """The points of all lines that were not played."""
        played = {requirement.name for requirement, _ in shown}
        return sum(
            self.worth(requirement)
            for requirement in load_all()
            if requirement.name not in played and requirement.name not in self.off
        )


def _explained_by(names: set[str], shown: card.Graded) -> list[str]:
    """The lines that could not be graded because of these."""
    return [
        requirement.name for requirement, verdict in shown if verdict.cause in names
    ]


# What is wrong with a file


def _problems_of(chosen: dict[str, Any]) -> Iterator[str]:
    default = Policy()
    kinds = {field.name: getattr(default, field.name) for field in _fields()}
    for key, value in chosen.items():
        if key not in kinds:
            yield f"unknown key {key!r}; there are {', '.join(kinds)}"
        elif isinstance(kinds[key], float):
            if not _is_points(value):
                yield f"{key} is to be a number of at least 0, not {value!r}"
        elif not isinstance(value, type(kinds[key])):
            yield f"{key} is to be a {type(kinds[key]).__name__}, not {value!r}"

    yield from _unknown_lines(chosen)
    for key in ("remarks", "excused"):
        if chosen.get(key, 0) > 1:
            yield f"{key} is a share, from 0 to 1"


def _fields() -> tuple[Any, ...]:
    return dataclasses.fields(Policy)


def _is_points(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


def _unknown_lines(chosen: dict[str, Any]) -> Iterator[str]:
    """Lines, groups and numbers that are unknown or make no sense."""
    names = {requirement.name for requirement in load_all()}
    for name, weight in chosen.get("weights", {}).items():
        if name not in names | set(GROUPS):
            yield f"weights: there is no line or group {name!r}{_alike(name, names)}"
        elif not _is_points(weight):
            yield f"weights: {name} is to be a number of at least 0, not {weight!r}"

    for name in map(str, chosen.get("off", [])):
        if name not in names:
            yield f"off: there is no line {name!r}{_alike(name, names)}"

    for name, number in chosen.get("numbers", {}).items():
        if name not in NUMBERS:
            yield f"numbers: unknown {name!r}; there are {', '.join(NUMBERS)}"
        else:
            problem = number_problem(name, number)
            if problem:
                yield f"numbers: {problem}"


def _alike(name: str, names: set[str]) -> str:
    """Ends a sentence with the name that was probably meant."""
    close = difflib.get_close_matches(name, names, 1)
    return f"; is {close[0]!r} meant?" if close else ""
