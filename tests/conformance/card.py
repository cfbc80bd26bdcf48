"""The score card: a line for each requirement.

It is text, Markdown, HTML or JSON.

Rule: a line that is not passed says what was expected, what happened,
and, unless hints are not wanted, what explains it.
"""

import dataclasses
import html
import json
import re
from collections import Counter
from pathlib import Path

from tests.conformance import gauge, steps
from tests.conformance.requirement import GROUPS, REQUIREMENTS, Requirement, Verdict
from tests.conformance.solution import Solution

Graded = list[tuple[Requirement, Verdict]]
SIGNS = {
    "passed": "✓",
    "failed": "✗",
    "remark": "~",
    "not graded": "?",
}
# Beside the sign of a line that did not go the same way in all runs.
FLAKY = "≈"


# How a text names a number of the exercise, and how another number is
# told.
SPOKEN = {
    "workers": (r"\b(five|sixth|other four)\b", "{} workers"),
    "queue_size": (r"\b100\b(?! %)", "{} places in the queue"),
    "rate_limit": (r"\bten (requests|are accepted)\b", "{} requests a minute"),
    "wait_timeout": (r"\b(10 s|ten seconds)\b", "{} s"),
    "retention": (r"\bten minutes\b", "{} s"),
}


# What it says


def spoken(text: str, solution: Solution) -> str:
    """With the number that this solution was played with.

    The text names that of the exercise.
    """
    here = [
        words.format(getattr(solution, name))
        for name, (pattern, words) in SPOKEN.items()
        if not solution.is_default(name) and re.search(pattern, text, re.IGNORECASE)
    ]
    return f"{text} (here: {', '.join(here)})" if here else text


def summary(graded: Graded) -> str:
    """The marks counted, such as "86 passed, 2 failed, 1 remark"."""
    counts = Counter(verdict.mark for _, verdict in graded)
    words = []
    for mark in SIGNS:
        count = counts[mark]
        if count:
            plural = "s" if mark == "remark" and count != 1 else ""
            words.append(f"{count} {mark}{plural}")
    flaky = sum(verdict.is_flaky for _, verdict in graded)
    if flaky:
        words.append(f"{flaky} flaky ({FLAKY})")
    return ", ".join(words)


def sign_of(verdict: Verdict) -> str:
    return SIGNS[verdict.mark] + FLAKY * verdict.is_flaky


def measured() -> str:
    """By what a verdict does not depend on the load."""
    return f"A busy machine is told from an application that blocks by {gauge.NAME}."


def reasons(
    requirement: Requirement, verdict: Verdict, *, hints: bool = True
) -> list[str]:
    """The lines below one that is not passed.

    With hints, what of this project explains it.
    """
    if verdict.mark == "passed":
        return []

    lines = []
    if verdict.is_flaky:
        runs = ", ".join(f"{count} {mark}" for mark, count in verdict.runs.items())
        lines.append(
            f"flaky: of {sum(verdict.runs.values())} runs, {runs}; this is one"
        )
    if verdict.expected:
        lines.append(f"expected: {verdict.expected}")
    word = "because" if verdict.mark == "not graded" else "happened"
    lines.append(f"{word}: {verdict.happened}")
    if verdict.mark == "remark":
        lines.append("the exercise leaves this open: no failure")

    if is_preflight(requirement):
        lines.append("no other line that needs a running application was played")
        return lines

    alone = f"played alone by: -k {requirement.name}"
    lines.append(f"explained by: {requirement.learn}; {alone}" if hints else alone)
    return lines


def is_preflight(requirement: Requirement) -> bool:
    return requirement.name not in REQUIREMENTS


def by_cause(graded: Graded) -> list[Graded]:
    """The lines, with those together that failed for one reason."""
    together: dict[str, Graded] = {}
    for requirement, verdict in graded:
        key = requirement.name
        if verdict.mark == "failed":
            key = f"failed: {_without_numbers(said_by(verdict))}"
        together.setdefault(key, []).append((requirement, verdict))
    return list(together.values())


def said_by(verdict: Verdict) -> str:
    return f"expected {verdict.expected}; {verdict.happened}"


def _without_numbers(text: str) -> str:
    """Reasons that are alike may differ in ids and numbers."""
    return re.sub(r"\b[0-9a-f]{8}[0-9a-f-]{4,}\b|\d+", "", text)


def same_reason(graded: Graded) -> list[str]:
    """What many lines have in common, most often one mistake."""
    told: dict[str, list[str]] = {}
    for _, verdict in graded:
        if verdict.mark in ("failed", "remark"):
            what = said_by(verdict)
            told.setdefault(_without_numbers(what), []).append(what)

    most = max(told.values(), key=len, default=[])
    if len(most) < 5:
        return []
    return [f"Mend this first: {len(most)} lines say “{most[0]}”."]


def progress(graded: Graded, solution: Solution) -> list[str]:
    """How many steps are done, and which is next."""
    built = steps.built(graded)
    if built is None:
        return []
    counted = f"Steps done: {built.done} of {built.total}"
    if not built.next:
        return [f"{counted}."]
    return [f"{counted}: next: {spoken(built.next, solution)}"]


def warnings_in(graded: Graded) -> list[str]:
    """What the solution warned of, each once."""
    return sorted({warning for _, verdict in graded for warning in verdict.warnings})


def title(solution: Solution) -> str:
    return f"{solution.app} in {solution.folder}"


def adopted(solution: Solution) -> str:
    """What is not called, or done, by the names of the exercise.

    The preflight or a TOML file says so.
    """
    names = [
        f"{name} is called {value!r}" for name, value in solution.other_names().items()
    ]
    tasks = [
        f"the {key} task is {json.dumps(getattr(solution, key))}"
        for key in ("quick", "slow", "failing")
        if not solution.is_default(key)
    ]
    other = ", ".join(names + tasks)
    return f"In this solution, {other}." if other else ""


def headline(graded: Graded, solution: Solution) -> str:
    sentences = [
        f"{summary(graded)}.",
        *same_reason(graded),
        *progress(graded, solution),
        adopted(solution),
        measured(),
    ]
    return " ".join(filter(None, sentences))


def by_group(graded: Graded) -> dict[str, Graded]:
    """The lines by group, without groups that have none."""
    groups: dict[str, Graded] = {group: [] for group in GROUPS}
    for requirement, verdict in graded:
        groups[requirement.group].append((requirement, verdict))
    return {group: lines for group, lines in groups.items() if lines}


# As text


def text(graded: Graded, solution: Solution, *, hints: bool = True) -> str:
    lines = [title(solution), measured()]
    other = adopted(solution)
    if other:
        lines.append(other)

    for group, members in by_group(graded).items():
        lines += ["", group.upper()]
        for requirement, verdict in members:
            told = spoken(requirement.text, solution)
            lines.append(f"  {sign_of(verdict)} {told}")
            below = reasons(requirement, verdict, hints=hints)
            lines += [f"      {line}" for line in below]

    warned = warnings_in(graded)
    if warned:
        lines += ["", "WARNINGS of the solution, which cost nothing"]
        lines += [f"  {line}" for line in warned]

    lines += ["", *progress(graded, solution)]
    for requirement, verdict in graded[:1]:
        if is_preflight(requirement):
            lines.append(
                "It could not be played: "
                f"expected {verdict.expected}; {verdict.happened}"
            )
    lines += same_reason(graded)
    lines.append(f"{solution.app}: {summary(graded)}")
    return "\n".join(lines)


# As Markdown


def markdown(graded: Graded, solution: Solution, *, hints: bool = True) -> str:
    place = escaped(solution.folder.name)
    lines = [f"# Score card of `{solution.app}` in {place}", ""]
    lines.append(escaped(headline(graded, solution)))

    for group, members in by_group(graded).items():
        lines += ["", f"## {group.capitalize()}", ""]
        lines += ["| | requirement | notes |", "|---|---|---|"]
        for requirement, verdict in members:
            sign = sign_of(verdict)
            below = reasons(requirement, verdict, hints=hints)
            notes = "<br>".join(map(escaped, below))
            told = escaped(spoken(requirement.text, solution))
            lines.append(f"| {sign} | {told} | {notes} |")

    warned = warnings_in(graded)
    if warned:
        lines += ["", "## Warnings of the solution", ""]
        lines += [f"- {escaped(line)}" for line in warned]
    return "\n".join(lines) + "\n"


def escaped(line: str) -> str:
    """As a line of Markdown, also in a table."""
    return html.escape(line, quote=False).replace("|", "\\|").replace("\n", " ")


# As HTML

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Score card of {app} in {place}</title>
<style>
body {{
  font: 16px/1.5 system-ui, sans-serif; color: #222;
  max-width: 50rem; margin: 2rem auto; padding: 0 1rem;
}}
ul {{ list-style: none; padding: 0 }}
li {{ padding: .3rem 0 .3rem 2rem; text-indent: -1.6rem }}
li b {{ display: inline-block; width: 1.6rem; text-indent: 0 }}
li small {{ display: block; text-indent: 0; color: #555 }}
.passed b {{ color: #0072b2 }}
.failed {{ background: #fdf0ee }}
.failed b {{ color: #8b1a1a }}
.remark b {{ color: #b37700 }}
</style>
<h1>Score card of <code>{app}</code> in {place}</h1>
<p>{summary}</p>
{groups}
</html>
"""


def page(graded: Graded, solution: Solution, *, hints: bool = True) -> str:
    """One HTML file without anything from elsewhere."""
    groups = []
    for group, members in by_group(graded).items():
        items = []
        for requirement, verdict in members:
            below = reasons(requirement, verdict, hints=hints)
            told = spoken(requirement.text, solution)
            items.append(_item(verdict, told, below))
        groups.append(_section(group.capitalize(), items))

    warned = warnings_in(graded)
    if warned:
        items = [f"<li>{html.escape(line)}</li>" for line in warned]
        groups.append(_section("Warnings of the solution", items))

    return PAGE.format(
        app=html.escape(solution.app),
        place=html.escape(solution.folder.name),
        summary=html.escape(headline(graded, solution)),
        groups="\n".join(groups),
    )


def _section(heading: str, items: list[str]) -> str:
    return "\n".join([f"<h2>{heading}</h2>", "<ul>", *items, "</ul>"])


def _item(verdict: Verdict, told: str, below: list[str]) -> str:
    kind = verdict.mark.replace(" ", "-")
    sign = f'<b title="{verdict.mark}">{sign_of(verdict)}</b>'
    notes = ""
    for line in below:
        note = html.escape(line).replace("\n", "<br>")
        notes += f"<small>{note}</small>"
    return f'<li class="{kind}">{sign}{html.escape(told)}{notes}</li>'


# As JSON


def data(graded: Graded, solution: Solution, *, hints: bool = True) -> str:
    """The card for a program, such as compare.py."""
    lines = []
    for requirement, verdict in graded:
        line = {
            "name": requirement.name,
            "group": requirement.group,
            "text": spoken(requirement.text, solution),
            **dataclasses.asdict(verdict),
        }
        if hints:
            line["explained_by"] = requirement.learn
        lines.append(line)

    whole = {
        "app": solution.app,
        "folder": str(solution.folder),
        "summary": headline(graded, solution),
        "lines": lines,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


# As a file

KINDS = {
    ".md": markdown,
    ".html": page,
    ".json": data,
}


def write(
    path: Path, graded: Graded, solution: Solution, *, hints: bool = True
) -> None:
    """Write it as the file's ending says, one of KINDS."""
    written = KINDS[path.suffix](graded, solution, hints=hints)
    path.write_text(written, encoding="utf-8")
