"""Wrong answers to 02-task-lifecycle.

Each has words of the complaint that it must get.
"""

import asyncio

from taskmanager.errors import IllegalTransitionError
from taskmanager.task import TERMINAL, TRANSITIONS

WRONG: dict[str, list[tuple[object, str]]] = {
    "never": [
        ({"B", "F"}, "right after queued"),
        ({"B", "C", "D", "F"}, "C can be seen"),
        ({"D", "F"}, "queued cannot become completed"),
        ({"B", "D"}, "longest life has three"),
        ({"G"}, "none of the six"),
    ]
}


def acts_first(record, status):
    before = record["status"]
    record["status"] = status
    record["version"] += 1
    if status not in TRANSITIONS[before]:
        raise IllegalTransitionError


def counts_refusals(record, status):
    record["version"] += 1
    if status not in TRANSITIONS[record["status"]]:
        raise IllegalTransitionError
    record["status"] = status


def knows_only_the_end(record, status):
    if record["status"] in TERMINAL:
        raise IllegalTransitionError
    record["status"] = status
    record["version"] += 1


def says_nothing(record, status):
    if status in TRANSITIONS[record["status"]]:
        record["status"] = status
        record["version"] += 1


def forgets_the_version(record, status):
    if status not in TRANSITIONS[record["status"]]:
        raise IllegalTransitionError
    record["status"] = status


def asserts(record, status):
    assert status in TRANSITIONS[record["status"]]
    record["status"] = status
    record["version"] += 1


def looks_up_the_wrong_one(record, status):
    if record["status"] not in TRANSITIONS[status]:
        raise IllegalTransitionError
    record["status"] = status
    record["version"] += 1


WRONG["change"] = [
    (acts_first, "check first"),
    (counts_refusals, "check first"),
    (knows_only_the_end, "it lets a task go from queued to queued"),
    (says_nothing, "without a word"),
    (forgets_the_version, "leaves version 7 at 7"),
    (asserts, "raises AssertionError"),
    (looks_up_the_wrong_one, "queued to processing is allowed"),
]


async def checks_before_only(record, save):
    if record["status"] == "processing":
        await save()
        record["status"] = "completed"
        record["version"] += 1


async def says_so_first(record, save):
    if record["status"] == "processing":
        record["status"] = "completed"
        record["version"] += 1
        await save()


async def does_not_save(record, save):
    if record["status"] == "processing":
        record["status"] = "completed"
        record["version"] += 1


async def locks_what_nobody_else_locks(record, save):
    async with asyncio.Lock():
        await checks_before_only(record, save)


async def forgets_to_count(record, save):
    await save()
    if record["status"] == "processing":
        record["status"] = "completed"


async def counts_always(record, save):
    await save()
    record["version"] += 1
    if record["status"] == "processing":
        record["status"] = "completed"


async def waits_for_a_cancellation(record, save):
    await save()
    while record["status"] == "processing":
        await asyncio.sleep(1)


async def cancels_itself(record, save):
    await save()
    raise asyncio.CancelledError


async def raises_when_it_is_late(record, save):
    await save()
    if record["status"] != "processing":
        raise IllegalTransitionError("too late")
    record["status"] = "completed"
    record["version"] += 1


WRONG["finish"] = [
    (
        checks_before_only,
        "while the result is being saved, and the record ends as 'completed'",
    ),
    (
        locks_what_nobody_else_locks,
        "while the result is being saved, and the record ends as 'completed'",
    ),
    (says_so_first, "before the result is saved"),
    (does_not_save, "not saved"),
    (forgets_to_count, "is 2 then, not 3"),
    (counts_always, "still grows"),
    (waits_for_a_cancellation, "does not return"),
    (cancels_itself, "nobody has cancelled it"),
    (raises_when_it_is_late, "a late result is no bug"),
]
