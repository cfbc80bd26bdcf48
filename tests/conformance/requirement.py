"""A requirement: one line of the score card, and what decides it.

Rule: what the exercise fixes is a failure where it is not met; what it
leaves open (``open=True``) is a remark. Every requirement says which
notebook or module explains it.
"""

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

GROUPS = [
    "endpoints",
    "core functionality",
    "additional features",
    "constraints",
]
# In the order of the card.
MODULES = [
    "endpoints",
    "core",
    "features",
    "constraints",
]
# From the best to the worst.
MARKS = [
    "passed",
    "not graded",
    "remark",
    "failed",
]

# A scenario: it is called, or awaited, with an Api, or with a Source;
# raises UnmetError or NotGradedError.
Play = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Requirement:
    """What the exercise asks for, and the scenario that finds out."""

    name: str
    group: str
    # What the exercise asks for, as a sentence.
    text: str
    # What explains it.
    learn: str
    open: bool
    # Whether it reads the source, and needs no running application.
    source: bool
    play: Play
    # Names of lines that explain it where they are not met: it is then
    # not graded.
    needs: tuple[str, ...] = ()

    @property
    def worst(self) -> str:
        """The mark where it is not met."""
        return "remark" if self.open else "failed"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How a requirement went."""

    # One of passed, failed, remark and "not graded".
    mark: str
    expected: str = ""
    happened: str = ""
    # What the solution warned of meanwhile.
    warnings: list[str] = dataclasses.field(default_factory=list)
    # With how many seeds of random numbers it is to be played, before
    # this is believed.
    seeds: int = 1
    # Fields of the Solution, as the preflight saw them.
    found: dict[str, Any] = dataclasses.field(default_factory=dict)
    # Names of lines that explain it where they are not met, as the
    # scenario saw when it failed.
    needs: list[str] = dataclasses.field(default_factory=list)
    # The name of the line that explains why it is not graded.
    cause: str = ""
    # How often it went how, by mark, where it was played repeatedly.
    runs: dict[str, int] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, told: Any) -> "Verdict":
        """The verdict that another process tells.

        Raises ValueError where it is none.
        """
        fields = dataclasses.fields(cls)
        if not isinstance(told, dict) or set(told) != {each.name for each in fields}:
            raise ValueError(f"this is no verdict: {told!r:.200}")

        default = cls("passed")
        for name, value in told.items():
            if type(value) is not type(getattr(default, name)):
                raise ValueError(f"the {name} of a verdict is {value!r:.200}")
        if told["mark"] not in MARKS:
            raise ValueError(f"the mark of a verdict is {told['mark']!r:.200}")
        return cls(**told)

    @property
    def is_flaky(self) -> bool:
        """Whether it did not go the same way in all runs."""
        return len(self.runs) > 1


def worst_of(verdicts: list[Verdict]) -> Verdict:
    """One verdict for all runs of a requirement.

    It is the worst of them, which says how often it went how.
    """
    if len(verdicts) == 1:
        return verdicts[0]
    marks = [verdict.mark for verdict in verdicts]
    runs = {mark: marks.count(mark) for mark in MARKS if mark in marks}
    worst = max(verdicts, key=lambda verdict: MARKS.index(verdict.mark))
    return dataclasses.replace(worst, runs=runs)


# By name, in the order of the card.
REQUIREMENTS: dict[str, Requirement] = {}


def requirement(
    group: str,
    text: str,
    learn: str,
    *,
    open: bool = False,
    source: bool = False,
    needs: tuple[str, ...] = (),
) -> Callable[[Play], Play]:
    """Make a function the scenario of a requirement of its name."""

    def register(play: Play) -> Play:
        assert group in GROUPS
        assert play.__name__ not in REQUIREMENTS

        REQUIREMENTS[play.__name__] = Requirement(
            name=play.__name__,
            group=group,
            text=text,
            learn=learn,
            open=open,
            source=source,
            play=play,
            needs=needs,
        )
        return play

    return register


def load_all() -> list[Requirement]:
    """Every requirement, in the order of the card."""
    for module in MODULES:
        importlib.import_module(f"tests.conformance.{module}")
    return list(REQUIREMENTS.values())
