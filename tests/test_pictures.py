"""The drawing library, and every picture that is committed.

A picture is read back from its file. Where its texts are is estimated,
with letters as wide as they get in any usual font.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any
from xml.etree import ElementTree

import pytest

from notebooks import lab, pictures, refresh
from notebooks.pictures import SIZE, WIDTH, Axes, Axis, Figure, width_of
from tests.helpers import project_root

SVG = "{http://www.w3.org/2000/svg}"
ALT = "A line & two marks"


@dataclass(frozen=True)
class Label:
    """A text, and the box in which it stands, in pixels."""

    text: str
    left: float
    right: float
    top: float
    bottom: float

    def touches(self, other: "Label") -> bool:
        across = self.left < other.right and other.left < self.right
        down = self.top < other.bottom and other.top < self.bottom
        return across and down


def new_axes(**changes: Any) -> Axes:
    axes: Axes = lab.axes("A title", "time, s", "tasks", alt=ALT, **changes)
    return axes


def root_of(figure: Figure) -> ElementTree.Element:
    return ElementTree.fromstring(figure.svg())  # noqa: S314


def committed() -> Iterator[Any]:
    """Each picture of each notebook, as the root of its tree."""
    for name in refresh.names():
        for number, cell in enumerate(refresh.read(name).cells, 1):
            for output in cell.get("outputs", []):
                if text := output.get("data", {}).get("image/svg+xml"):
                    root = ElementTree.fromstring(text)  # noqa: S314
                    yield pytest.param(root, id=f"{name}-{number}")


COMMITTED = list(committed())


def labels(element: ElementTree.Element, x: float = 0, y: float = 0) -> list[Label]:
    """The texts of a picture that stand still."""
    found = []
    for child in element:
        if child.get("class"):
            continue
        right, down, turned = moved(child)
        if child.tag == f"{SVG}text":
            found.append(label_of(child, x + right, y + down, turned))
        found += labels(child, x + right, y + down)
    return found


def moved(element: ElementTree.Element) -> tuple[float, float, bool]:
    transform = element.get("transform", "")
    place = re.match(r"translate\((\S+) ([^)]+)\)", transform)
    if place is None:
        return 0, 0, False
    return float(place[1]), float(place[2]), "rotate(-90)" in transform


def label_of(text: ElementTree.Element, x: float, y: float, turned: bool) -> Label:
    words = text.text or ""
    size = float(text.get("font-size", SIZE))
    width = width_of(words, size, text.get("font-weight", ""))
    start = {"middle": -width / 2, "end": -width}.get(text.get("text-anchor", ""), 0)
    # Letters reach so far above the line, and below it.
    up = 0.75 * size
    below = 0.2 * size
    if turned:
        return Label(words, x - up, x + below, y + start, y + start + width)

    left = x + float(text.get("x", 0)) + start
    base = y + float(text.get("y", 0))
    return Label(words, left, left + width, base - up, base + below)


def marks(root: ElementTree.Element) -> list[Label]:
    """What is marked between the axes, each as a box in the middle."""
    found = []
    for path in root.iterfind(f"{SVG}svg/{SVG}path[@stroke-linecap]"):
        for across, down in re.findall(r"M(\S+) (\S+?)[hm]", path.get("d", "")):
            x = float(across)
            y = float(down)
            found.append(Label("a mark", x - 3, x + 3, y - 3, y + 3))
    return found


# What is committed


@pytest.mark.parametrize("root", COMMITTED)
def test_no_text_of_a_committed_picture_is_cut_off(root: ElementTree.Element) -> None:
    height = float(root.get("height", 0))
    for label in labels(root):
        assert label.left >= 0, label
        assert label.right <= WIDTH, label
        assert label.top >= 0, label
        assert label.bottom <= height, label


@pytest.mark.parametrize("root", COMMITTED)
def test_no_text_of_a_committed_picture_hides_another(
    root: ElementTree.Element,
) -> None:
    for label, other in combinations(labels(root), 2):
        assert not label.touches(other), (label, other)


@pytest.mark.parametrize("root", COMMITTED)
def test_no_text_of_a_committed_picture_hides_a_mark(root: ElementTree.Element) -> None:
    for mark in marks(root):
        for label in labels(root):
            assert not label.touches(mark), (label, mark)
