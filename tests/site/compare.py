"""What a lesson has shown in a browser, against what is committed.

Rule: a cell shows the same text and the same pictures, or stands in
differs.py with its reason. One that is there and shows the same is a
fault as well.
"""

import re
from dataclasses import dataclass
from typing import Any

from notebooks.recorded import FOLLOWS, NOT_HERE, NOT_RUN
from tests.site.differs import DIFFERS, IN_A_BROWSER, MEASURED


@dataclass(frozen=True)
class Difference:
    """A cell, named by its first line, and what is wrong with it."""

    lesson: str
    cell: str
    fault: str


def shown_by(outputs: list[dict[str, Any]]) -> str:
    """The text of outputs, be it folded or not, and their pictures."""
    parts = []
    for output in outputs:
        data = output.get("data", {})
        if output["output_type"] == "error":
            parts.append(f"{output['ename']}: {output['evalue']}")
        elif "image/svg+xml" in data:
            parts.append(_text(data["image/svg+xml"]))
        else:
            parts.append(_text(output.get("text") or data.get("text/plain", "")))
    return "".join(parts)


def _text(pieces: Any) -> str:
    return "".join(pieces)


def name_of(cell: dict[str, Any]) -> str:
    """The first line of a cell that says something."""
    return _text(cell["source"]).strip().partition("\n")[0]


def differences(
    lesson: str,
    cells: list[dict[str, Any]],
    shown: list[list[dict[str, Any]]],
    browser: bool = True,
) -> list[Difference]:
    """What is wrong with a lesson's code cells, in their order."""
    found = []
    for cell, outputs in zip(cells, shown, strict=True):
        fault = _fault(lesson, cell, outputs, browser)
        if fault:
            found.append(Difference(lesson, name_of(cell), fault))
    return found


def _fault(
    lesson: str,
    cell: dict[str, Any],
    outputs: list[dict[str, Any]],
    browser: bool,
) -> str:
    wanted = shown_by(cell["outputs"])
    got = shown_by(outputs)
    if NOT_HERE in cell["metadata"].get("tags", []):
        wanted = _recorded(NOT_RUN, wanted)
    elif got.startswith(FOLLOWS.partition(" On a computer")[0]):
        wanted = _recorded(FOLLOWS, wanted)

    name = (lesson, name_of(cell))
    if any(output["output_type"] == "error" for output in outputs):
        return f"it raises {got[:1000]}"
    if name in DIFFERS or (browser and name in IN_A_BROWSER):
        return "it shows the same, and is in differs.py" if got == wanted else ""
    if name in MEASURED:
        wanted = _without_figures(wanted)
        got = _without_figures(got)
    if got != wanted:
        return _first_difference(wanted, got)
    return ""


def _recorded(words: str, shown: str) -> str:
    """What a browser shows in the place of what it does not run."""
    if not shown:
        words = words.partition(" On a computer")[0]
    return f"{words}\n{shown}"


def _without_figures(text: str) -> str:
    if "<svg" in text:
        return "a picture"
    return re.sub(r"[\d.,]+|\s+", " ", text)


def _first_difference(wanted: str, got: str) -> str:
    pairs = zip(f"{wanted}\0", f"{got}\0", strict=False)
    same = next(place for place, (one, two) in enumerate(pairs) if one != two)
    here = slice(max(0, same - 40), same + 80)
    return f"committed: ...{wanted[here]!r}, shown: ...{got[here]!r}"
