"""Wrong answers to 13-watching-it.

Each has words of the complaint that it must get.
"""

from notebooks.solutions import watching
from notebooks.solutions.watching import moment

WRONG: dict[str, list[tuple[object, str]]] = {
    "mean_p50_p99": [
        ((52, 2, 102), "each task counts"),
        ((4, 2, 102), "divided by 100"),
        ((5, 5, 102), "half of them"),
        ((5, 2, 2), "only 97 of 100"),
        ((5, 2, 100), "the time of one of the tasks"),
    ],
}


def of_the_newest(lines, now):
    return now - moment(lines[-1]) if lines else 0


def knows_no_cancelling(lines, now):
    waiting = {}
    for line in lines:
        if line.get("to") == "queued":
            waiting[line["task_id"]] = moment(line)
        elif line.get("to") == "processing":
            waiting.pop(line["task_id"], None)
    return now - min(waiting.values(), default=now)


def never_leaves(lines, now):
    begun = [moment(line) for line in lines if line.get("to") == "queued"]
    return now - min(begun, default=now)


def all_have_an_id(lines, now):
    waiting = {}
    for line in lines:
        waiting[line["task_id"]] = moment(line)
        if line["to"] != "queued":
            del waiting[line["task_id"]]
    return now - min(waiting.values(), default=now)


def says_nothing(lines, now):
    pass


WRONG["queue_age"] = [
    (of_the_newest, "the oldest counts"),
    (never_leaves, "the oldest counts"),
    (knows_no_cancelling, "the oldest is cancelled"),
    (all_have_an_id, "Not every line is about a task"),
    (says_nothing, "not a number of seconds"),
]


def since_midnight(lines, task_id):
    return [
        (round(moment(line) % 60), line["to"])
        for line in lines
        if line.get("task_id") == task_id
    ]


def with_what_was_dropped(lines, task_id):
    theirs = [line for line in lines if line.get("task_id") == task_id]
    begun = moment(theirs[0])
    return [(round(moment(line) - begun, 3), line["to"]) for line in theirs]


def without_the_submission(lines, task_id):
    return with_what_was_dropped(lines, task_id)[1:]


def raises_for_a_death(lines, task_id):
    return [line for line in lines if line["task_id"] == task_id]


def no_pairs(lines, task_id):
    return [line["to"] for line in lines if line.get("task_id") == task_id]


def rounds_too_much(lines, task_id):
    return [(round(at, 1), status) for at, status in watching.trace_of(lines, task_id)]


WRONG["trace_of"] = [
    (since_midnight, "since midnight"),
    (with_what_was_dropped, "was cancelled already"),
    (without_the_submission, "had these statuses"),
    (raises_for_a_death, "Not every line is about a task"),
    (no_pairs, "not with a pair"),
    (lambda lines, task_id: [], "an empty list"),
    (rounds_too_much, "rounded to a thousandth"),
]
