"""The score card: a line for each requirement.

It is text, Markdown or HTML.

Rule: a line that is not passed says what was expected, what happened,
and what explains it.
"""

import html
import json
import re
from collections import Counter
from pathlib import Path

from tests.conformance import gauge
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


# What it says


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


def reasons(requirement: Requirement, verdict: Verdict) -> list[str]:
    """The lines below one that is not passed."""
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
    else:
        lines.append(
            f"explained by: {requirement.learn}; played alone by: -k {requirement.name}"
        )
    return lines


def is_preflight(requirement: Requirement) -> bool:
    return requirement.name not in REQUIREMENTS


def same_reason(graded: Graded) -> list[str]:
    """What many lines have in common, most often one mistake."""
    told: dict[str, list[str]] = {}
    for _, verdict in graded:
        if verdict.mark in ("failed", "remark"):
            what = f"expected {verdict.expected}; {verdict.happened}"
            # They may differ in ids and numbers.
            alike = re.sub(r"\b[0-9a-f]{8}[0-9a-f-]{4,}\b|\d+", "", what)
            told.setdefault(alike, []).append(what)

    most = max(told.values(), key=len, default=[])
    if len(most) < 5:
        return []
    return [f"Mend this first: {len(most)} lines say “{most[0]}”."]


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


def text(graded: Graded, solution: Solution) -> str:
    lines = [title(solution), measured()]
    other = adopted(solution)
    if other:
        lines.append(other)

    for group, members in by_group(graded).items():
        lines += ["", group.upper()]
        for requirement, verdict in members:
            lines.append(f"  {sign_of(verdict)} {requirement.text}")
            lines += [f"      {line}" for line in reasons(requirement, verdict)]

    warned = warnings_in(graded)
    if warned:
        lines += ["", "WARNINGS of the solution, which cost nothing"]
        lines += [f"  {line}" for line in warned]

    lines.append("")
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


def markdown(graded: Graded, solution: Solution) -> str:
    lines = [f"# Score card of `{solution.app}`", ""]
    lines.append(_escaped(headline(graded, solution)))

    for group, members in by_group(graded).items():
        lines += ["", f"## {group.capitalize()}", ""]
        lines += ["| | requirement | notes |", "|---|---|---|"]
        for requirement, verdict in members:
            sign = sign_of(verdict)
            notes = "<br>".join(map(_escaped, reasons(requirement, verdict)))
            lines.append(f"| {sign} | {_escaped(requirement.text)} | {notes} |")

    warned = warnings_in(graded)
    if warned:
        lines += ["", "## Warnings of the solution", ""]
        lines += [f"- {_escaped(line)}" for line in warned]
    return "\n".join(lines) + "\n"


def _escaped(line: str) -> str:
    return html.escape(line, quote=False).replace("|", "\\|").replace("\n", " ")


# As HTML

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Score card of {app}</title>
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
<h1>Score card of <code>{app}</code></h1>
<p>{summary}</p>
{groups}
</html>
"""


def page(graded: Graded, solution: Solution) -> str:
    """One HTML file without anything from elsewhere."""
    groups = []
    for group, members in by_group(graded).items():
        items = [_item(requirement, verdict) for requirement, verdict in members]
        groups.append(_section(group.capitalize(), items))

    warned = warnings_in(graded)
    if warned:
        items = [f"<li>{html.escape(line)}</li>" for line in warned]
        groups.append(_section("Warnings of the solution", items))

    return PAGE.format(
        app=html.escape(solution.app),
        summary=html.escape(headline(graded, solution)),
        groups="\n".join(groups),
    )


def _section(heading: str, items: list[str]) -> str:
    return "\n".join([f"<h2>{heading}</h2>", "<ul>", *items, "</ul>"])


def _item(requirement: Requirement, verdict: Verdict) -> str:
    kind = verdict.mark.replace(" ", "-")
    sign = f'<b title="{verdict.mark}">{sign_of(verdict)}</b>'
    notes = ""
    for line in reasons(requirement, verdict):
        escaped = html.escape(line).replace("\n", "<br>")
        notes += f"<small>{escaped}</small>"
    return f'<li class="{kind}">{sign}{html.escape(requirement.text)}{notes}</li>'


# As a file

KINDS = {".md": markdown, ".html": page}


def write(path: Path, graded: Graded, solution: Solution) -> None:
    """Write it as the file's ending says, one of KINDS."""
    path.write_text(KINDS[path.suffix](graded, solution), encoding="utf-8")
