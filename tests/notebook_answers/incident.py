"""Wrong answers to 16-the-incident.

Each has words of the complaint that it must get.
"""

FLOOD = ("flood", "10.0.0.66", 7)
RETRIES = ("retries", "the others", 8)
DEATH = ("death", "worker-2", 15)

WRONG: dict[str, list[tuple[object, str]]] = {
    "diagnosis": [
        ([DEATH, FLOOD, RETRIES], "the loudest line"),
        ([RETRIES, FLOOD, DEATH], "without a reason"),
        ([FLOOD, DEATH, RETRIES], "table of submissions"),
        ([FLOOD, FLOOD, DEATH], "give each of flood, retries, death once"),
        ([FLOOD, RETRIES], "give three events"),
        ([("flood", "10.0.0.14", 7), RETRIES, DEATH], "did not come from 10.0.0.14"),
        ([FLOOD, ("retries", "10.0.0.66", 8), DEATH], "not those of 10.0.0.66 alone"),
        ([FLOOD, RETRIES, ("death", "worker-1", 15)], "the log names the loop"),
        ([("flood", "10.0.0.66", 11), RETRIES, DEATH], "did not begin in hour 11"),
        ([FLOOD, ("retries", "the others", 12), DEATH], "older than about 30 s"),
        ([FLOOD, RETRIES, ("death", "worker-2", 16)], "the log has the hour"),
        ([FLOOD, RETRIES, ("death", "worker-2", "15")], "as a number"),
    ],
    "most": [
        (7, "one client's submissions only"),
        (20, "one of them made more"),
        (250, "that is of all day"),
        (30, "no ordinary client"),
    ],
    "changes": [
        ({}, "doing nothing scores 30 points"),
        ({"worker": 6}, "is none of workers, queue_size"),
        ({"workers": "6"}, "must be a whole number"),
        (
            {"workers": 6, "queue_size": 5, "rate_limit": 21, "jitter": True},
            "it changes 4 settings",
        ),
        (
            {"workers": 100, "queue_size": 10_000, "rate_limit": 1000},
            "make each task take",
        ),
        ({"workers": 6, "queue_size": 5}, "holds one client back"),
        ({"workers": 6, "queue_size": 5, "rate_limit": 10}, "in 60 s (exercise 2)"),
        ({"queue_size": 5, "rate_limit": 25}, "too little to spare"),
        ({"workers": 6, "rate_limit": 21}, "people wait in it"),
        ({"queue_size": 5, "workers": 6, "task_timeout": 10.0}, "takes 15 s"),
        ({"workers": ...}, "in place of the dots"),
    ],
}
