"""Requirement: one line of the score card, and the scenario that
decides it.

Rule: what the exercise fixes is a failure where it is not met; what it
leaves open (``open=True``) is a remark. Every requirement says which
notebook or module explains it.
"""

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

GROUPS = ["endpoints", "core functionality", "additional features", "constraints"]
MODULES = ["endpoints", "core", "features", "constraints"]  # in the order of the card


@dataclasses.dataclass(frozen=True)
class Requirement:
    name: str
    group: str
    text: str  # what the exercise asks for, as a sentence
    learn: str  # what explains it
    open: bool
    source: bool  # reads the source, and needs no running application
    # async with an Api, or with a Source; raises UnmetError or
    # NotGradedError
    play: Callable[..., Any]

    @property
    def worst(self) -> str:
        """The mark where it is not met."""
        return "remark" if self.open else "failed"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How it went; the mark is one of passed, failed, remark and "not
    graded".
    """

    mark: str
    expected: str = ""
    happened: str = ""
    # what the solution warned of meanwhile
    warnings: list[str] = dataclasses.field(default_factory=list)
    # with how many seeds of random numbers it is to be played, before
    # this is believed
    seeds: int = 1
    # fields of the Solution, as the preflight saw them
    found: dict[str, Any] = dataclasses.field(default_factory=dict)


REQUIREMENTS: dict[str, Requirement] = {}  # by name, in the order of the card


def requirement(
    group: str, text: str, learn: str, *, open: bool = False, source: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function the scenario of a requirement, which has the
    function's name.
    """

    def register(play: Callable[..., Any]) -> Callable[..., Any]:
        assert group in GROUPS
        assert play.__name__ not in REQUIREMENTS
        REQUIREMENTS[play.__name__] = Requirement(
            play.__name__, group, text, learn, open, source, play
        )
        return play

    return register


def load_all() -> list[Requirement]:
    """Every requirement, in the order of the card."""
    for module in MODULES:
        importlib.import_module(f"tests.conformance.{module}")
    return list(REQUIREMENTS.values())
