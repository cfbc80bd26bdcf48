"""Compares two cards, or two tables of a class: before and after."""

import json
from pathlib import Path
from typing import Any

from tests.conformance.card import SIGNS
from tests.conformance.table import plain

# The best comes last.
RANK = {
    "failed": 0,
    "not graded": 1,
    "remark": 2,
    "passed": 3,
}


class CompareError(ValueError):
    """These cannot be compared; the message says why."""


def compared(before: Path, after: Path) -> str:
    """What has changed between two cards.

    They are files that ``--report card.json`` or a class wrote, or
    folders of a class. Raises CompareError.
    """
    if before.is_dir() and after.is_dir():
        return _tables(_read(before / "table.json"), _read(after / "table.json"))
    return _cards(_read(before), _read(after))


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CompareError(f"{path} cannot be read: {error}") from None


def _cards(before: Any, after: Any) -> str:
    then = _marks_in(before)
    now = _marks_in(after)
    texts = {line["name"]: line["text"] for line in (*before["lines"], *after["lines"])}
    happened = {line["name"]: line["happened"] for line in after["lines"]}

    mended = []
    broken = []
    for name in now.keys() & then.keys():
        change = f"  {SIGNS[then[name]]} → {SIGNS[now[name]]}  {texts[name]}"
        if RANK[now[name]] > RANK[then[name]]:
            mended.append(change)
        elif RANK[now[name]] < RANK[then[name]]:
            broken.append(f"{change}\n         {plain(happened[name])}")

    still = sum(
        mark == "failed" and then.get(name) == "failed" for name, mark in now.items()
    )
    sections = [
        ("Better", mended),
        ("Worse", broken),
        ("New", [f"  {SIGNS[now[name]]}  {texts[name]}" for name in now.keys() - then]),
        (
            "Gone",
            [f"  {SIGNS[then[name]]}  {texts[name]}" for name in then.keys() - now],
        ),
    ]
    lines = []
    for heading, changes in sections:
        if changes:
            lines += [f"{heading}:", *sorted(changes), ""]
    lines.append(f"{len(mended)} better, {len(broken)} worse, {still} still to mend.")
    return "\n".join(lines)


def _marks_in(whole: Any) -> dict[str, str]:
    """The marks by the names of the lines. Raises CompareError."""
    try:
        marks = {line["name"]: line["mark"] for line in whole["lines"]}
    except (KeyError, TypeError):
        raise CompareError("it is no card: write one with --report card.json") from None
    if not RANK.keys() >= set(marks.values()):
        raise CompareError("it has marks that there are not")
    return marks


def _tables(before: Any, after: Any) -> str:
    try:
        then = {row["name"]: row["percent"] for row in before["submissions"]}
        now = {row["name"]: row["percent"] for row in after["submissions"]}
    except (KeyError, TypeError):
        raise CompareError("it is no table of a class") from None

    lines = []
    for name in dict.fromkeys([*then, *now]):
        if name not in now:
            lines.append(f"{name}: {then[name]:.1f} % before, and not graded again")
        elif name not in then:
            lines.append(f"{name}: new, {now[name]:.1f} %")
        else:
            change = now[name] - then[name]
            lines.append(
                f"{name}: {then[name]:.1f} % → {now[name]:.1f} % ({change:+.1f})"
            )
    return "\n".join(lines)
