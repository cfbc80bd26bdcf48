"""The pictures that move: what a browser makes of them, without one.

The keyframes are read back from the file, and a shape has to be where
the run says.
"""

import itertools
import re
from collections import namedtuple
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import pytest

from notebooks.movie import COLOUR, Look, Movie, at, movie_of
from notebooks.scenes import (
    DONE,
    LANE_WIDTH,
    LANES,
    QUEUE_END,
    RED,
    Lifelines,
    Limiter,
    Message,
    Queue,
    Stopped,
)

TIMING = "animation-timing-function"
SVG = "{http://www.w3.org/2000/svg}"
Run = namedtuple("Run", "number worker start end")
Span = namedtuple("Span", "task_id number status worker start end")
Poll = namedtuple("Poll", "begun over said")

# Two workers; the third task waits until the second is done.
RUNS = [Run(1, 1, 0, 8), Run(2, 2, 0, 4), Run(3, 2, 4, 8)]
ALT = "Three boxes go from a queue to two workers & out."


@dataclass(frozen=True)
class Seen:
    """A shape at one moment."""

    x: float
    y: float
    fill: str
    visible: bool


class Played:
    """A movie, as its file says it is played."""

    def __init__(self, movie: Movie) -> None:
        self.movie = movie
        self.text = movie.svg()
        self.root = ElementTree.fromstring(self.text)  # noqa: S314

    @property
    def css(self) -> str:
        return self.root.findtext(f"{SVG}style") or ""

    def name_of(self, label: str) -> str:
        """The class of the box with this label."""
        (name,) = (
            group.get("class", "")
            for group in self.root.iter(f"{SVG}g")
            if group.get("class") and group.findtext(f"{SVG}text") == label
        )
        return name

    def still(self, label: str) -> Seen:
        """Where nothing may move."""
        rule = re.search(rf"\.{self.name_of(label)}{{([^}}]*)}}", self.css)
        assert rule
        return seen(rule[1])

    def box(self, label: str, time: float) -> Seen:
        """The box with this label, at a time of the clock."""
        name = self.name_of(label)
        keyframes = re.search(
            rf"@keyframes {name}{{((?:[^{{}}]*{{[^}}]*}})*)}}", self.css
        )
        assert keyframes
        percent = 100 * (time - self.movie.begin) / self.movie.speed
        percent /= self.movie.seconds

        known: dict[str, str] = {}
        start = 0.0
        steadily = False
        for selector, body in re.findall(r"([^{}]*){([^}]*)}", keyframes[1]):
            frame = float(selector.partition("%")[0])
            style = styles(body)
            if frame > percent:
                if not steadily:
                    break
                # What the next does not name, a browser would blend
                # with what one after it does.
                assert set(known) - set(style) <= {"visibility", TIMING}
                share = (percent - start) / (frame - start)
                return between(seen_of(known), seen_of(known | style), share)
            known |= style
            start = frame
            steadily = TIMING in style
        return seen_of(known)


def styles(body: str) -> dict[str, str]:
    return dict(each.split(":", 1) for each in body.split(";"))


def seen(body: str) -> Seen:
    return seen_of(styles(body))


def seen_of(style: dict[str, str]) -> Seen:
    place = re.match(r"translate\(([-\d.]+)px,([-\d.]+)px\)", style["transform"])
    assert place
    return Seen(
        float(place[1]),
        float(place[2]),
        style.get("fill", ""),
        style["visibility"] == "visible",
    )


def between(first: Seen, second: Seen, share: float) -> Seen:
    x = first.x + share * (second.x - first.x)
    y = first.y + share * (second.y - first.y)
    # On its way to "visible", it is visible.
    return Seen(x, y, first.fill, first.visible or second.visible)


def played(scene: Any, **options: Any) -> Played:
    return Played(movie_of("Boxes", {"a scene": scene}, alt=ALT, **options))


def limiter(*, fills: bool = False) -> Limiter:
    hits = [(0.0, True), (1.0, True), (2.0, False), (3.0, False)]
    level = [(0.0, 1.0), (1.0, 2.0), (2.0, 2.0), (3.0, 2.0)]
    return Limiter(hits, level, 2, "counted", RED, window=3, fills=fills)


MESSAGES = [
    Message(10, 11, "POST", to_server=True),
    Message(11, 12, "lost", to_server=False, lost=True),
    Message(12, 13, "GET", to_server=True),
    Message(15, 16, "200", to_server=False),
]
SCENES = {
    "queue": Queue(RUNS),
    "refusals": Queue(RUNS, {3: 2.0}, {3: [1.0]}, slots=2),
    "lifelines": Lifelines(MESSAGES, [Span("a", 1, "processing", 1, 11, 15)], since=10),
    "window": limiter(),
    "bucket": limiter(fills=True),
    "stopped": Stopped([Poll(-0.5, 1, "an error"), Poll(-0.4, 0, "cancelled")], 1.2),
}


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_it_is_a_picture_in_words_as_well(scene: Any) -> None:
    movie = played(scene)
    assert movie.root.get("role") == "img"
    assert movie.root.findtext(f"{SVG}title") == "Boxes"
    assert movie.root.findtext(f"{SVG}desc") == ALT
    assert not re.search(r"<script|<animate|href|\bon\w+=", movie.text)
    # Nothing that must not be in a number.
    assert not re.search(r"nan|inf\b|e-\d", movie.css)


def test_a_clock_that_begins_shortly_before_zero_has_a_plain_zero() -> None:
    text = played(Stopped([Poll(-0.3, 2, "cancelled")], 2)).text
    assert ">0</text>" in text


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_the_same_runs_are_the_same_file(scene: Any) -> None:
    assert played(scene).text == played(scene).text
    assert len(played(scene).text) < 10_000


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_keyframes_go_forward_and_each_is_of_a_shape(scene: Any) -> None:
    movie = played(scene)
    used = {group.get("class") for group in movie.root.iter(f"{SVG}g")} - {None}
    names = re.findall(r"@keyframes (\w+){", movie.css)
    assert set(names) == used
    assert len(names) == len(used)

    for body in re.findall(r"@keyframes \w+{((?:[^{}]*{[^}]*})*)}", movie.css):
        percents = [float(each) for each in re.findall(r"([\d.]+)%(?:,100%)?{", body)]
        assert percents[0] == 0
        assert all(a < b for a, b in itertools.pairwise(percents))
        assert percents[-1] <= 100
        assert body.count("100%") == 1


def test_a_box_is_where_its_run_says() -> None:
    movie = played(SCENES["queue"])
    waiting = movie.box("3", 3.9)
    assert waiting.fill == COLOUR["queued"]
    assert waiting.x < QUEUE_END

    # Half-way through its four seconds, it is in the middle of the
    # lane of the second worker.
    working = movie.box("3", 6.0)
    assert working.fill == COLOUR["processing"]
    assert working.x + 11 == pytest.approx(LANES + LANE_WIDTH / 2, abs=1)
    assert working.y == movie.box("2", 1.0).y != movie.box("1", 1.0).y

    assert movie.box("2", 4.1).fill == COLOUR["completed"]
    for label in "123":
        done = movie.box(label, 9.0)
        assert done.fill == COLOUR["completed"]
        assert done.x >= DONE


def test_the_queue_moves_up() -> None:
    runs = [Run(1, 1, 0, 2), Run(2, 1, 2, 4), Run(3, 1, 4, 6), Run(4, 1, 6, 8)]
    movie = played(Queue(runs))
    places = [movie.box("4", time).x for time in (1.0, 3.0, 5.0)]
    assert places == sorted(places)
    assert len(set(places)) == 3
    # It is then where the first in line has been.
    assert places[-1] == movie.box("2", 1.0).x


def test_who_comes_later_and_goes_first_stands_in_front() -> None:
    runs = [Run(1, 1, 0, 4), Run(2, 1, 8, 12), Run(3, 1, 4, 8)]
    movie = played(Queue(runs, {3: 2.0}))
    front = movie.box("2", 1.0).x
    assert not movie.box("3", 1.0).visible
    assert movie.box("3", 3.0) == Seen(
        front, movie.box("2", 1.0).y, COLOUR["queued"], visible=True
    )
    assert movie.box("2", 3.0).x < front


def test_before_it_comes_it_is_not_seen() -> None:
    movie = played(Queue(RUNS, {1: 0.0, 2: 0.0, 3: 4.0}))
    assert not movie.box("3", 3.9).visible
    assert movie.box("3", 4.1).visible


def test_who_is_refused_waits_outside() -> None:
    movie = played(SCENES["refusals"])
    assert not movie.box("3", 0.5).visible
    outside = movie.box("3", 1.5)
    assert (outside.fill, outside.visible) == (RED, True)
    inside = movie.box("3", 3.0)
    assert inside.fill == COLOUR["queued"]
    assert inside.y < outside.y


@pytest.mark.parametrize(("still", "status"), [(2, "queued"), (None, "completed")])
def test_where_nothing_may_move_it_shows_one_moment(
    still: float | None, status: str
) -> None:
    movie = played(Queue(RUNS), still=still)
    time = 8.0 if still is None else still
    assert movie.still("3") == movie.box("3", time)
    assert movie.still("3").fill == COLOUR[status]

    for condition in ("print", r"\(prefers-reduced-motion:reduce\)"):
        rule = rf"@media {condition}{{[^{{}}]+{{animation:none!important}}}}"
        assert re.search(rule, movie.css)


def test_a_shape_that_moves_stands_still_between_its_looks() -> None:
    looks = [(0.0, Look(x=0, moves=True)), (4.0, Look(x=8)), (6.0, Look(x=20))]
    assert [at(looks, time).x for time in (0, 1, 4, 5, 6, 9)] == [0, 2, 8, 8, 20, 20]


def test_two_on_one_page_share_no_name() -> None:
    first = played(Queue(RUNS))
    second = played(Queue(RUNS[:2]))
    names = [set(re.findall(r"@keyframes (\w+)", each.css)) for each in (first, second)]
    assert not names[0] & names[1]
    # No rule is about the shapes of the other.
    prefixes = [
        set(re.findall(r'\[class\^="(\w+)"\]', each.css)) for each in (first, second)
    ]
    assert len(prefixes[0] | prefixes[1]) == 2


def test_shapes_that_move_alike_share_their_rule() -> None:
    movie = movie_of("", {"a scene": Queue(RUNS)}, alt=ALT)
    before = len(movie.svg())
    looks: Sequence[tuple[float, Look]] = [(0.0, Look()), (3.0, Look(x=200))]
    movie.box("a", looks, 22)
    one = len(movie.svg())
    movie.box("b", looks, 22)
    assert len(movie.svg()) - one < 0.6 * (one - before)


def test_it_runs_on_after_its_speed_and_a_pause() -> None:
    assert played(Queue(RUNS), speed=2).movie.seconds == 8 / 2 + 2
    assert "animation:6s step-end infinite" in played(Queue(RUNS), speed=2).css


def test_a_lost_reply_ends_half_way() -> None:
    movie = played(SCENES["lifelines"])
    x = movie.movie.x
    dots = [
        group.get("class", "")
        for group in movie.root.iter(f"{SVG}g")
        if group.find(f"{SVG}circle") is not None
    ]
    assert len(dots) == 4
    ends = []
    for name in dots:
        (frames,) = re.findall(
            rf"@keyframes {name}{{((?:[^{{}}]*{{[^}}]*}})*)}}", movie.css
        )
        *_, last = re.findall(r"translate\(([\d.]+)px,([\d.]+)px", frames)
        ends.append([float(each) for each in last])

    (_, server), (lost_x, lost_y), *_, (answered, client) = ends
    assert lost_x == pytest.approx(x(1.5), abs=0.1)
    assert lost_y == pytest.approx((server + client) / 2, abs=0.1)
    assert answered == pytest.approx(x(6.0), abs=0.1)
    # The server has held the question for two seconds.
    held = f"H{x(5.0):.1f}".removesuffix(".0")
    assert held in movie.text


def test_a_trace_is_a_queue_and_strangers_are_left_out() -> None:
    spans = [
        Span("a", 1, "queued", None, 10, 10),
        Span("a", 1, "processing", 1, 10, 15),
        Span("x", 2, "queued", None, 10, 11),
        Span("x", 2, "processing", 2, 11, 15),
    ]
    whole = Queue.of(spans, since=10)
    assert [tuple(run) for run in whole.runs] == [(1, 1, 0, 5), (2, 2, 1, 5)]
    assert whole.came == {1: 0, 2: 0}

    part = Queue.of(spans, 10, {"a": 7}, {7: [10.0], 8: []})
    assert [run.number for run in part.runs] == [7]
    assert part.refused == {7: [0.0]}
