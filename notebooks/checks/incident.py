"""Checks for 16-the-incident."""

from typing import Any

from notebooks import incident
from notebooks.checks import exercise, numbers_of
from taskmanager import Settings
from taskmanager.settings import SettingsError

EVENTS = ["flood", "retries", "death"]


@exercise(
    "A flood filled the queue, impatience kept it full when the flood was over, and "
    "the loudest lines of the log came last."
)
def diagnosis(answer: Any) -> None:
    asked = 'give three events, each like ("flood", "10.0.0.1", 5).'
    assert isinstance(answer, tuple | list), asked
    assert len(answer) == 3, asked
    for event in answer:
        assert isinstance(event, tuple | list), asked
        assert len(event) == 3, asked
        assert ... not in event, "put what, who and the hour in place of the dots."

    what = [event for event, _, _ in answer]
    assert sorted(map(str, what)) == sorted(EVENTS), (
        f"give each of {', '.join(EVENTS)} once, in their order."
    )
    who = {event: str(name) for event, name, _ in answer}
    hour = {event: time for event, _, time in answer}
    for event, time in hour.items():
        assert isinstance(time, int | float), (
            f"give the hour of the {event} as a number, not {time!r:.20}."
        )

    assert what[0] != "death", (
        "the death is the loudest line of the log, but how old was the oldest task an "
        "hour before it?"
    )
    assert what[0] != "retries", (
        "nobody tries again without a reason: what made them wait for too long?"
    )
    assert what[1] != "death", (
        "look at the table of submissions again: when did the ordinary clients begin "
        "to send more than they had orders?"
    )
    _check_who(who)
    _check_hours(hour)


def _check_who(who: dict[str, str]) -> None:
    assert who["flood"] == incident.FLOODER, (
        f"the flood did not come from {who['flood']}: whose submissions are more than "
        "all the others' together?"
    )
    assert who["retries"] == "the others", (
        f"the retries are not those of {who['retries']} alone: whose submissions grew, "
        "when their orders did not?"
    )
    assert who["death"] == incident.VICTIM, (
        f"it was not {who['death']} that died: the log names the loop."
    )


def _check_hours(hour: dict[str, float]) -> None:
    assert hour["flood"] == 7, (
        f"the flood did not begin in hour {hour['flood']:g}: see who submitted, and "
        "when first."
    )
    assert hour["retries"] in (7, 8), (
        f"the retries did not begin in hour {hour['retries']:g}: clients give up when "
        "a task is older than about 30 s. When was the first that old?"
    )
    assert hour["death"] == 15, (
        f"the worker did not die first in hour {hour['death']:g}: the log has the hour."
    )


@exercise(
    "A limit of so many refuses no ordinary client before 7 o'clock, and lets no "
    "client have more than the busiest of them had."
)
def most(answer: Any) -> None:
    (number,) = numbers_of(answer, 1)
    assert number != 7, "that is of one client's submissions only: polls count as well."
    assert number < 60, (
        f"not {number:g}: that is of all day. Look at the hours before 7, and at "
        "one client at a time."
    )
    assert number >= 21, (
        f"not {number:g}: one of them made more. Look at every window of 60 s, not "
        "only at whole hours, and at every client."
    )
    assert number == 21, f"not {number:g}: no ordinary client made so many in 60 s."


def _praise(answer: dict[str, Any]) -> str:
    points = incident.score(incident.play(**answer)).points
    return (
        f"That is {points} points: the flood is held at the door, what is let in is "
        "done in time, and one worker can be spared."
    )


def _told(score: incident.Score) -> str:
    return (
        f"{score.points} points (goodput {score.goodput:.0%}, p99 {score.p99:.0f} s, "
        f"fairness {score.fairness:.2f})"
    )


@exercise(_praise)
def changes(answer: Any) -> None:
    example = '{"workers": 5, "queue_size": 50}'
    assert isinstance(answer, dict), f"give the settings as a dict, like {example}."
    for name, value in answer.items():
        assert name in incident.BEFORE, (
            f"{name!r:.40} is none of {', '.join(incident.BEFORE)}."
        )
        assert value is not ..., f"put a value in place of the dots, for {name}."
    changed = {
        name: value for name, value in answer.items() if value != incident.BEFORE[name]
    }
    assert changed, "nothing is changed yet, and doing nothing scores 30 points."
    assert len(changed) <= incident.CHANGES, (
        f"it changes {len(changed)} settings, and {incident.CHANGES} are allowed."
    )

    of_the_engine = {name: value for name, value in changed.items() if name != "jitter"}
    try:
        Settings(**of_the_engine)
    except SettingsError as error:
        raise AssertionError(f"{error}.") from None
    day = incident.play(**changed)
    score = incident.score(day)
    assert score.points >= incident.ENOUGH, (
        f"{_told(score)}. {_advice(incident.BEFORE | changed, day)}"
    )


def _advice(settings: dict[str, Any], day: incident.Day) -> str:
    """What is most wrong with these settings."""
    workers = settings["workers"]
    if workers > incident.CORES:
        slower = workers / incident.CORES
        return (
            f"On {incident.CORES} cores, {workers} workers make each task take "
            f"{slower:.1f} times as long."
        )
    if settings["task_timeout"] <= 15:
        return "A report takes 15 s, and task_timeout ends it before that."

    refused = [
        line
        for line in day.access
        if line["status"] == 429 and line["client"] in incident.ORDINARY
    ]
    if len(refused) > 200:
        return (
            f"The limit refused ordinary clients {len(refused)} times: how many "
            "requests do they need in 60 s (exercise 2)?"
        )
    if settings["rate_limit"] is None or settings["rate_limit"] > 60:
        return (
            f"{incident.FLOODER} still has more than its share: what holds one client "
            "back, and not the others?"
        )
    if workers < incident.CORES:
        return (
            f"{workers} workers leave too little to spare, when a flood comes, or when "
            f"one of them dies; the machine has {incident.CORES} cores."
        )
    if settings["queue_size"] > 20:
        return "The queue is so long that people wait in it: how many slots are 5 s?"
    if settings["jitter"]:
        return (
            "Jitter helps where a crowd comes back at once; here four clients are "
            "served later for it."
        )
    return (
        "You are close: another number of slots, or a little more or less of a limit."
    )
