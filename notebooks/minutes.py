"""``python -m notebooks.minutes``: how long each lesson takes.

It counts words, lines of code, predictions and exercises, at the rates
that stand here, and writes the minutes into the table of README.md.
Nobody's reading was timed: the rates are assumptions, the same for all.
"""

import re
from typing import Any

from notebooks.refresh import FOLDER, names, read

WORDS_A_MINUTE = 150  # of prose that one has to think about
LINES_A_MINUTE = 20  # of code
A_PREDICTION = 0.5  # minutes
AN_EXERCISE = 5.0  # minutes
STEP = 5  # minutes, to which the sum is rounded


def minutes_of(notebook: Any) -> int:
    """How long it takes to read, to predict and to do the exercises."""
    words = 0
    lines = 0
    predictions = 0
    exercises = 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            words += len(re.findall(r"\w[\w'-]*", _without_links(cell.source)))
            predictions += "**Predict" in cell.source
        else:
            lines += len(re.findall(r"^.*\S", cell.source, re.MULTILINE))
            exercises += "\ncheck." in cell.source

    total = words / WORDS_A_MINUTE + lines / LINES_A_MINUTE
    total += predictions * A_PREDICTION + exercises * AN_EXERCISE
    return round(total / STEP) * STEP


def _without_links(text: str) -> str:
    return re.sub(r"\]\([^)]*\)", "]", text)


def with_minutes(page: str) -> str:
    """README.md, with the minutes that its lessons take now."""
    for name in names():
        minutes = minutes_of(read(name))
        row = rf"(\]\({name}\.ipynb\) \| [^|]* \| )\d+( \|)"
        page = re.sub(row, rf"\g<1>{minutes}\g<2>", page)
    return page


def main() -> None:
    path = FOLDER / "README.md"
    page = path.read_text(encoding="utf-8")
    path.write_text(with_minutes(page), encoding="utf-8")
    for name in names():
        print(f"{name:32} {minutes_of(read(name)):3} minutes")


if __name__ == "__main__":
    main()
