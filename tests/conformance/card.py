"""The score card: a line for each requirement, as text, Markdown or
HTML.

Rule: a line that is not passed says what was expected, what happened,
and what explains it.
"""

import html
import json
import re
from collections import Counter
from pathlib import Path

from tests.conformance.requirement import GROUPS, REQUIREMENTS, Requirement, Verdict
from tests.conformance.solution import Solution

Graded = list[tuple[Requirement, Verdict]]
SIGNS = {"passed": "✓", "failed": "✗", "remark": "~", "not graded": "?"}


def summary(graded: Graded) -> str:
    """Such as "86 passed, 2 failed, 1 remark"; a remark is no failure."""
    counts = Counter(verdict.mark for _, verdict in graded)
    plural = {"remark": "remarks"}
    words = [
        f"{n} {plural.get(mark, mark) if n != 1 else mark}"
        for mark in SIGNS
        if (n := counts[mark])
    ]
    return ", ".join(words)


def reasons(requirement: Requirement, verdict: Verdict) -> list[str]:
    """The lines below one that is not passed."""
    if verdict.mark == "passed":
        return []
    lines = [f"expected: {verdict.expected}"] if verdict.expected else []
    lines.append(
        f"{'because' if verdict.mark == 'not graded' else 'happened'}: {verdict.happened}"
    )
    if verdict.mark == "remark":
        lines.append("the exercise leaves this open: no failure")
    if requirement.name not in REQUIREMENTS:  # the preflight
        return [*lines, "no other line that needs a running application was played"]
    return [
        *lines,
        f"explained by: {requirement.learn}; played alone by: -k {requirement.name}",
    ]


def same_reason(graded: Graded) -> list[str]:
    """What many lines have in common, most often one mistake."""
    told: dict[str, list[str]] = {}
    for _, verdict in graded:
        if verdict.mark in ("failed", "remark"):
            what = f"expected {verdict.expected}; {verdict.happened}"
            # but for ids and numbers
            alike = re.sub(r"\b[0-9a-f]{8}[0-9a-f-]{4,}\b|\d+", "", what)
            told.setdefault(alike, []).append(what)
    most = max(told.values(), key=len, default=[])
    return (
        [f"Mend this first: {len(most)} lines say “{most[0]}”."]
        if len(most) >= 5
        else []
    )


def warnings_in(graded: Graded) -> list[str]:
    """What the solution warned of, each once."""
    return sorted({warning for _, verdict in graded for warning in verdict.warnings})


def title(solution: Solution) -> str:
    return f"{solution.app} in {solution.folder}"


def adopted(solution: Solution) -> str:
    """What its fields and states are called, where the preflight or a
    TOML file says so.
    """
    names = [
        f"{name} is called {value!r}" for name, value in solution.other_names().items()
    ]
    changed = [
        key for key in ("quick", "slow", "failing") if not solution.is_default(key)
    ]
    other = names + [
        f"the {key} task is {json.dumps(getattr(solution, key))}" for key in changed
    ]
    return f"In this solution, {', '.join(other)}." if other else ""


def headline(graded: Graded, solution: Solution) -> str:
    return " ".join(
        [f"{summary(graded)}.", *same_reason(graded), adopted(solution)]
    ).rstrip()


def by_group(graded: Graded) -> dict[str, Graded]:
    """In the order of the exercise, without groups of which nothing was
    graded.
    """
    groups = {
        group: [each for each in graded if each[0].group == group] for group in GROUPS
    }
    return {group: lines for group, lines in groups.items() if lines}


def text(graded: Graded, solution: Solution) -> str:
    lines = [title(solution), *filter(None, [adopted(solution)])]
    for group, members in by_group(graded).items():
        lines += ["", group.upper()]
        for requirement, verdict in members:
            lines.append(f"  {SIGNS[verdict.mark]} {requirement.text}")
            lines += [f"      {line}" for line in reasons(requirement, verdict)]
    if warned := warnings_in(graded):
        lines += [
            "",
            "WARNINGS of the solution, which cost nothing",
            *(f"  {line}" for line in warned),
        ]
    end = [line for line in graded[:1] if line[0].name not in REQUIREMENTS]
    why = [
        f"It could not be played: expected {verdict.expected}; {verdict.happened}"
        for _, verdict in end
    ]
    return "\n".join(
        [*lines, "", *why, *same_reason(graded), f"{solution.app}: {summary(graded)}"]
    )


def markdown(graded: Graded, solution: Solution) -> str:
    lines = [
        f"# Score card of `{solution.app}`",
        "",
        _escaped(headline(graded, solution)),
    ]
    for group, members in by_group(graded).items():
        lines += [
            "",
            f"## {group.capitalize()}",
            "",
            "| | requirement | notes |",
            "|---|---|---|",
        ]
        for requirement, verdict in members:
            notes = "<br>".join(
                _escaped(line) for line in reasons(requirement, verdict)
            )
            lines.append(
                f"| {SIGNS[verdict.mark]} | {_escaped(requirement.text)} | {notes} |"
            )
    if warned := warnings_in(graded):
        lines += [
            "",
            "## Warnings of the solution",
            "",
            *(f"- {_escaped(line)}" for line in warned),
        ]
    return "\n".join(lines) + "\n"


def _escaped(line: str) -> str:
    return html.escape(line, quote=False).replace("|", "\\|").replace("\n", " ")


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Score card of {app}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
ul {{ list-style: none; padding: 0 }} li {{ padding: .3rem 0 .3rem 2rem; text-indent: -1.6rem }}
li b {{ display: inline-block; width: 1.6rem; text-indent: 0 }}
li small {{ display: block; text-indent: 0; color: #555 }}
.passed b {{ color: #0072b2 }}
.failed {{ background: #fdf0ee }} .failed b {{ color: #8b1a1a }} .remark b {{ color: #b37700 }}
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
        groups.append(
            f"<h2>{group.capitalize()}</h2>\n<ul>\n" + "\n".join(items) + "\n</ul>"
        )
    if warned := warnings_in(graded):
        items = [f"<li>{html.escape(line)}</li>" for line in warned]
        groups.append(
            "<h2>Warnings of the solution</h2>\n<ul>\n" + "\n".join(items) + "\n</ul>"
        )
    first = html.escape(headline(graded, solution))
    return PAGE.format(
        app=html.escape(solution.app), summary=first, groups="\n".join(groups)
    )


def _item(requirement: Requirement, verdict: Verdict) -> str:
    notes = "".join(
        f"<small>{html.escape(line).replace(chr(10), '<br>')}</small>"
        for line in reasons(requirement, verdict)
    )
    sign, kind = SIGNS[verdict.mark], verdict.mark.replace(" ", "-")
    return f'<li class="{kind}"><b title="{verdict.mark}">{sign}</b>{html.escape(requirement.text)}{notes}</li>'


KINDS = {".md": markdown, ".html": page}


def write(path: Path, graded: Graded, solution: Solution) -> None:
    """By the file's ending, one of KINDS."""
    path.write_text(KINDS[path.suffix](graded, solution), encoding="utf-8")
