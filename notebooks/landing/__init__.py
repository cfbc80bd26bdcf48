"""The page on which the course's site begins.

Rule: nothing is written twice. The lessons, their questions and minutes
are those of the table in notebooks/README.md and of the lessons' own
headings; the moving picture is an output of a lesson.
"""

import html
import json
import re
import shutil
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

NOTEBOOKS = Path(__file__).parent.parent
HERE = Path(__file__).parent
# Where a lesson is in the site, seen from this page.
LESSON = "notebooks/index.html?path=notebooks/{file}"
# The lesson whose first movie is shown.
SHOWN = "03-queue-and-workers"
ROW = re.compile(
    r"^\| \d\d \| \[[^]]+\]\(([^)]+)\) \| ([^|]+) \| (\d+) \|", re.MULTILINE
)
DESCRIPTION = re.compile("<desc>(.*?)</desc>", re.DOTALL)


class Lesson(NamedTuple):
    """A lesson of the table, and its file."""

    file: str
    title: str
    question: str
    minutes: int

    @property
    def link(self) -> str:
        return LESSON.format(file=self.file)


def write(out: Path, *, commit: str, date: str, source: str = "") -> None:
    """Write index.html and what it shows into the folder ``out``.

    ``source`` is the address of the repository, where there is one.
    """
    found = lessons()
    (shown,) = [lesson for lesson in found if lesson.file.startswith(SHOWN)]
    movie = first_movie(shown)
    (out / "movie.svg").write_text(movie, encoding="utf-8")
    shutil.copy(HERE / "page.css", out)

    where = "The source is in the folder that this was built from"
    exercise = "<code>tests/conformance/EXERCISE.md</code>"
    if source:
        address = html.escape(source.rstrip("/"))
        where = f'<a href="{address}">The source</a>'
        file = f"{address}/blob/main/tests/conformance/EXERCISE.md"
        exercise = f'<a href="{file}">told in full</a>'

    described = DESCRIPTION.search(movie)
    first, *_ = found
    page = Template((HERE / "page.html").read_text(encoding="utf-8")).substitute(
        count=len(found),
        first=first.link,
        # It is escaped in the picture already.
        movie_alt=(described[1] if described else shown.title).replace('"', "&quot;"),
        movie_lesson=shown.link,
        movie_title=html.escape(shown.title),
        lessons="\n".join(map(_item, found)),
        exercise=exercise,
        source=where,
        commit=html.escape(commit),
        date=html.escape(date),
    )
    (out / "index.html").write_text(page, encoding="utf-8")


def lessons() -> list[Lesson]:
    """All lessons, in their order."""
    table = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    found = []
    for file, question, minutes in ROW.findall(table):
        heading = "".join(_cells(file)[0]["source"]).partition("\n")[0]
        title, _, _ = heading.removeprefix("# ").partition(":")
        found.append(Lesson(file, title, question, int(minutes)))
    return found


def first_movie(lesson: Lesson) -> str:
    """The first picture that moves, as the lesson's run has left it."""
    for cell in _cells(lesson.file):
        for output in cell.get("outputs", []):
            picture = "".join(output.get("data", {}).get("image/svg+xml", ""))
            if "@keyframes" in picture:
                return picture
    raise LookupError(f"no movie in {lesson.file}")


def _item(lesson: Lesson) -> str:
    title = html.escape(lesson.title)
    question = html.escape(lesson.question)
    # The table has Markdown's code, and no other form.
    question = re.sub("`([^`]+)`", r"<code>\1</code>", question)
    return (
        f'<li><a href="{lesson.link}">{title}</a> '
        f'<span class="minutes">{lesson.minutes} min</span>'
        f'<span class="question">{question[0].upper()}{question[1:]}</span></li>'
    )


def _cells(file: str) -> list[dict[str, Any]]:
    text = (NOTEBOOKS / file).read_text(encoding="utf-8")
    cells: list[dict[str, Any]] = json.loads(text)["cells"]
    return cells
