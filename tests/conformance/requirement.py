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
    # The name of the line that explains why it is not graded.
    cause: str = ""


# By name, in the order of the card.
REQUIREMENTS: dict[str, Requirement] = {}


def requirement(
    group: str, text: str, learn: str, *, open: bool = False, source: bool = False
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
        )
        return play

    return register


def load_all() -> list[Requirement]:
    """Every requirement, in the order of the card."""
    for module in MODULES:
        importlib.import_module(f"tests.conformance.{module}")
    return list(REQUIREMENTS.values())
