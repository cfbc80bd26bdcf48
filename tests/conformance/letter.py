"""A short letter to the author of a submission.

Rule: each cause is told once, in the order in which one would build,
with all that it explains; what costs nothing comes last.
"""

from tests.conformance import card, steps
from tests.conformance.classroom import Graded
from tests.conformance.policy import Cause, Policy
from tests.conformance.requirement import REQUIREMENTS, Requirement
from tests.conformance.table import plain, points_of

# More than that is no letter any more.
MOST_CAUSES = 8
MOST_REMARKS = 5
CHARACTERS = 400


def letter(graded: Graded, policy: Policy, *, hints: bool) -> str:
    """In Markdown."""
    points = points_of(graded, policy)
    lines = [
        f"# {policy.title}: {_told(graded.submission.name)}",
        "",
        f"You have {_number(points.earned)} of {_number(points.most)} points "
        f"({points.percent:.0f} %).",
    ]
    if points.unshown:
        lines.append(
            f"Of those, {_number(points.unshown)} are for what could not be graded."
        )
    if graded.solution is None:
        lines += ["", f"Your submission could not be graded: {_told(graded.problem)}."]
        return "\n".join(lines) + "\n"

    shown = policy.shown(graded.lines)
    for sentence in card.progress(shown, graded.solution)[:1]:
        counted, _, _ = sentence.partition(": next: ")
        lines += ["", f"{counted.rstrip('.')}. The card beside this letter has all."]

    causes = sorted(points.causes, key=lambda cause: _place(cause.requirement))
    failed = [cause for cause in causes if cause.verdict.mark != "remark"]
    if failed:
        lines += ["", "## To mend, in this order"]
    for number, cause in enumerate(failed[:MOST_CAUSES], 1):
        text = card.spoken(cause.requirement.text, graded.solution)
        lines += _paragraph(f"{number}. **{_told(text)}**", cause, hints=hints)
    if len(failed) > MOST_CAUSES:
        lines.append("")
        lines.append(f"And {len(failed) - MOST_CAUSES} more, which are on the card.")

    lines += _remarks(shown, policy)
    if not failed:
        lines += ["", "Nothing has to be mended. Well done."]
    return "\n".join(lines).rstrip() + "\n"


def _paragraph(head: str, cause: Cause, *, hints: bool) -> list[str]:
    """One cause, with what it costs and what it explains."""
    lines = [
        "",
        f"{head} ({_points(cause.lost)})",
        f"   Expected: {_told(cause.verdict.expected)}.",
        f"   What happened: {_told(cause.verdict.happened)}.",
    ]
    others = [REQUIREMENTS[name].text for name in cause.others if name in REQUIREMENTS]
    if others:
        first, *more = map(_told, others)
        rest = f" and {len(more)} more" if more else ""
        lines.append(f"   It also explains “{first}”{rest}.")
    if hints and not card.is_preflight(cause.requirement):
        lines.append(f"   It is explained in: {_told(cause.requirement.learn)}.")
    return lines


def _remarks(shown: card.Graded, policy: Policy) -> list[str]:
    """What differs where the exercise leaves it open."""
    remarks = [
        f"- {_told(requirement.text)}: {_told(verdict.happened)}."
        for requirement, verdict in shown
        if verdict.mark == "remark"
    ]
    if not remarks:
        return []

    cost = "counted in part" if policy.remarks else "at no cost"
    lines = ["", f"## Left open by the exercise, {cost}", "", *remarks[:MOST_REMARKS]]
    if len(remarks) > MOST_REMARKS:
        lines.append(f"- And {len(remarks) - MOST_REMARKS} more, on the card.")
    return lines


def _place(requirement: Requirement) -> tuple[int, int]:
    """Where one would build what this line is about."""
    step = steps.step_of().get(requirement.name)
    if step is None:
        return -1, 0
    is_named = requirement.name in step.lines
    line = step.lines.index(requirement.name) if is_named else len(step.lines)
    return steps.STEPS.index(step), line


def _told(text: str) -> str:
    """What a submission says, as one line of Markdown."""
    whole = plain(text).rstrip(".")
    cut = whole if len(whole) <= CHARACTERS else f"{whole[:CHARACTERS]}…"
    return card.escaped(cut)


def _number(points: float) -> str:
    return f"{round(points, 2):g}"


def _points(lost: float) -> str:
    if not lost:
        return "no points"
    return "1 point" if lost == 1 else f"{_number(lost)} points"
