"""The table of a class: a row for each submission.

It is shown on a terminal, and written as CSV, JSON and HTML.

Rule: what submissions say is shown as text and nothing else: no control
character reaches a terminal, no formula a spreadsheet, no tag a page.
"""

import csv
import dataclasses
import html
import io
import json
import statistics
from collections import Counter

from tests.conformance import card
from tests.conformance.classroom import Graded
from tests.conformance.policy import Points, Policy
from tests.conformance.submissions import slug

# With which a cell begins that a spreadsheet takes for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
# Columns of a terminal for the last one, which says why.
REASON = 70


@dataclasses.dataclass(frozen=True)
class Row:
    """One submission; each field is a column."""

    name: str
    points: float
    of: float
    percent: float
    passed: int
    failed: int
    remarks: int
    not_graded: int
    # What to do first, or why it could not be graded; empty where there
    # is nothing to do.
    reason: str
    app: str
    path: str
    unchanged: bool
    seconds: float


def row_of(graded: Graded, policy: Policy) -> Row:
    points = points_of(graded, policy)
    counts = Counter(verdict.mark for _, verdict in policy.shown(graded.lines))
    return Row(
        name=plain(graded.submission.name),
        points=round(points.earned, 2),
        of=round(points.most, 2),
        percent=round(points.percent, 1),
        passed=counts["passed"],
        failed=counts["failed"],
        remarks=counts["remark"],
        not_graded=counts["not graded"],
        reason=plain(_reason(graded, points)),
        app=graded.solution.app if graded.solution else "",
        path=str(graded.submission.path),
        unchanged=graded.unchanged,
        seconds=graded.seconds,
    )


def points_of(graded: Graded, policy: Policy) -> Points:
    """What it earned; nothing of all there is where it has no card."""
    if graded.lines:
        return policy.points(graded.lines)
    return Points(0.0, policy.most(), 0.0, [])


def _reason(graded: Graded, points: Points) -> str:
    if graded.problem:
        return graded.problem
    for cause in points.causes:
        if card.is_preflight(cause.requirement):
            return f"it could not be played: {card.said_by(cause.verdict)}"

    shown = [(cause.requirement, cause.verdict) for cause in points.causes]
    failed = [line for line in shown if line[1].mark == "failed"]
    for requirement, _ in failed[:1]:
        others = len(failed) - 1
        more = f" (and {others} more)" if others else ""
        return f"{requirement.text}{more}"
    return ""


def plain(text: str) -> str:
    """On one line, and without control characters."""
    return " ".join(printable(text).split())


def printable(text: str) -> str:
    """With a space for each control character."""
    return "".join(each if each.isprintable() else " " for each in text)


# As text


def text(rows: list[Row]) -> str:
    """For a terminal."""
    width = min(30, max([4, *(len(row.name) for row in rows)]))
    signs = " ".join(f"{sign:>3}" for sign in card.SIGNS.values())
    head = f"{'name':{width}}  {'points':>13}  {'%':>5}  {signs}"
    lines = [f"{head}  what to mend first"]
    for row in rows:
        points = f"{row.points:g} of {row.of:g}"
        counts = (row.passed, row.failed, row.remarks, row.not_graded)
        cells = [
            f"{row.name[:width]:{width}} ",
            f"{points:>13} ",
            f"{row.percent:5.1f} ",
            *(f"{count:3}" for count in counts),
            f" {shortened(row.reason)}",
        ]
        lines.append(" ".join(cells).rstrip())
    return "\n".join(lines)


def shortened(reason: str) -> str:
    return reason if len(reason) <= REASON else f"{reason[: REASON - 1]}…"


# As files


def as_csv(rows: list[Row]) -> str:
    written = io.StringIO()
    names = [field.name for field in dataclasses.fields(Row)]
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_as_cell(getattr(row, name)) for name in names])
    return written.getvalue()


def _as_cell(value: object) -> str:
    """Not as a formula, whatever a submission is called."""
    cell = str(value)
    is_formula = isinstance(value, str) and cell.startswith(FORMULA)
    return f"'{cell}" if is_formula else cell


def as_json(rows: list[Row], policy: Policy) -> str:
    whole = {
        "title": policy.title,
        "submissions": [dataclasses.asdict(row) for row in rows],
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{
  font: 16px/1.5 system-ui, sans-serif; color: #222;
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
}}
table {{ border-collapse: collapse; width: 100% }}
th, td {{
  text-align: left; vertical-align: top; padding: .3rem .6rem;
  border-bottom: 1px solid #ddd;
}}
.number {{ text-align: right; white-space: nowrap }}
.failed {{ color: #8b1a1a }}
</style>
<h1>{title}</h1>
<p>{summary}</p>
<table>
<tr><th>name<th class="number">points<th class="number">%
<th class="number" title="passed">✓<th class="number" title="failed">✗
<th class="number" title="remarks">~<th class="number" title="not graded">?
<th>what to mend first<th>
{rows}
</table>
</html>
"""


def as_page(rows: list[Row], policy: Policy) -> str:
    """One HTML file, which links to the cards beside it."""
    return PAGE.format(
        title=html.escape(policy.title),
        summary=html.escape(summary(rows)),
        rows="\n".join(map(_table_row, rows)),
    )


def _table_row(row: Row) -> str:
    folder = html.escape(slug(row.name))
    links = f'<a href="{folder}/letter.md">letter</a>'
    if row.passed or row.failed:
        links = f'<a href="{folder}/card.html">card</a> {links}'

    numbers = [
        f"{row.points:g} of {row.of:g}",
        f"{row.percent:.1f}",
        row.passed,
        row.failed,
        row.remarks,
        row.not_graded,
    ]
    cells = "".join(f'<td class="number">{number}' for number in numbers)
    name = html.escape(row.name)
    return f"<tr><td>{name}{cells}<td>{html.escape(row.reason)}<td>{links}"


def summary(rows: list[Row]) -> str:
    """How the class did, in a sentence."""
    without_card = sum(not row.passed and not row.failed for row in rows)
    percents = [row.percent for row in rows]
    words = [f"{len(rows)} submission{'s' if len(rows) != 1 else ''}"]
    if without_card:
        words.append(f"{without_card} of them could not be graded")
    if len(rows) > 1:
        words.append(f"the median is {statistics.median(percents):.1f} %")
    return ", ".join(words) + "."
