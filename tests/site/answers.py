"""Exercises answered, right and wrong: the same words as here.

A cell that a learner might run has the answers of a lesson, and asks
for a check of each. It is run by whoever plays the site, and by a
kernel of this machine.

Rule: words are compared, line by line. What never ends is ended by
counts where there are no threads, and by a clock here: that line is
named by both.
"""

import importlib
import re
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from notebooks import solutions
from notebooks.site import NOTEBOOKS, lessons
from tests import notebook_answers

ASKS = re.compile(r"^from notebooks\.checks import (\w+) as check$", re.MULTILINE)
RIGHT = "Right. "
WRONG = "Not yet: "
# Of the tour: one lets the others run, and the other does not.
RUNAWAYS = """\
async def awaits(client, submission):
    while True: await asyncio.sleep(0)

async def never_awaits(client, submission):
    while True: pass

check.run_task(awaits)
check.run_task(never_awaits)
"""
RUNAWAYS_SAID = f"""\
{WRONG}no time passes: line 2, `while True: await asyncio.sleep(0)`, is run again and \
again, and never sleeps.
{WRONG}no time passes: line 5, `while True: pass`, is run again and again, and never \
sleeps.
"""


def module_of(lesson: str) -> str:
    """The module that checks a lesson's exercises."""
    notebook = nbformat.read(NOTEBOOKS / f"{lesson}.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells)
    asked = ASKS.search(text)
    assert asked is not None, f"{lesson} asks for no checks"
    return asked[1]


def cells_of(lesson: str) -> list[str]:
    """Cells that answer all exercises of a lesson.

    The first answers each right. The second has the first of the wrong
    answers to each. The tour has a third, whose answers never end.
    """
    module = module_of(lesson)
    wrong = importlib.import_module(f"{notebook_answers.__name__}.{module}").WRONG
    begin = (
        f"import asyncio\nimport lab\nfrom notebooks.checks import {module} as check"
    )

    rights = [f"check.{name}({name})" for name in wrong]
    wrongs = [f"check.{name}(WRONG[{name!r}][0][0])" for name in wrong]
    cells = [
        "\n".join([_source(solutions, module), begin, *rights]),
        "\n".join([_source(notebook_answers, module), begin, *wrongs]),
    ]
    if module == "tour":
        cells.append(RUNAWAYS)
    return cells


def _source(package: Any, module: str) -> str:
    (folder,) = package.__path__
    return Path(folder, f"{module}.py").read_text(encoding="utf-8")


@cache
def said_here() -> dict[str, list[str]]:
    """What the cells of each lesson say in a kernel of this machine."""
    cells = {path.stem: cells_of(path.stem) for path in lessons()}
    notebook = nbformat.v4.new_notebook()
    for each in cells.values():
        notebook.cells += [nbformat.v4.new_code_cell(source) for source in each]
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(NOTEBOOKS)}},
    )
    client.execute()

    texts = iter([_text_of(cell.outputs) for cell in notebook.cells])
    return {lesson: [next(texts) for _ in each] for lesson, each in cells.items()}


def _text_of(outputs: list[Any]) -> str:
    return "".join(output["text"] for output in outputs)


def faults(lesson: str, said: list[str]) -> list[str]:
    """What was said there, where it is not what is said here."""
    right, wrong, *runaways = said_here()[lesson]
    found = []
    found += [f"not right here: {line}" for line in _others(right, RIGHT)]
    found += [f"right here: {line}" for line in _others(wrong, WRONG)]
    if runaways and runaways != [RUNAWAYS_SAID]:
        found.append(f"here, what never ends says {runaways[0]!r}")

    for here, there in zip([right, wrong, *runaways], said, strict=True):
        if here != there:
            found.append(f"here: {here!r}, there: {there!r}")
    return found


def _others(text: str, begin: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(begin)]
