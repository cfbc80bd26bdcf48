"""Wrong answers to 09-cleanup-and-frozen-time.

Each has words of the complaint that it must get.
"""


def first_at(finished):
    at, _ = finished[0]
    return at


def forget_first(records, finished):
    _, task_id = finished.popleft()
    del records[task_id]


def does_nothing(records, finished, now):
    pass


def counts_from_the_submission(records, finished, now):
    for task_id, task in list(records.items()):
        if task["created_at"] + 600 <= now:
            del records[task_id]


def leaves_the_index(records, finished, now):
    for at, task_id in finished:
        if at + 600 > now:
            break
        del records[task_id]


def deletes_while_iterating(records, finished, now):
    for at, task_id in finished:
        if at + 600 <= now:
            del records[task_id]
            finished.remove((at, task_id))


def is_one_late(records, finished, now):
    while finished and first_at(finished) + 600 < now:
        forget_first(records, finished)


def is_early(records, finished, now):
    while finished and first_at(finished) + 599 <= now:
        forget_first(records, finished)


def takes_only_one(records, finished, now):
    if finished and first_at(finished) + 600 <= now:
        forget_first(records, finished)


def scans_all(records, finished, now):
    for at, task_id in list(finished):
        if at + 600 <= now:
            del records[task_id]
            finished.popleft()


def never_stops(records, finished, now):
    while finished:
        if first_at(finished) + 600 <= now:
            forget_first(records, finished)


def only_asks(records, finished, now):
    while finished:
        pass


def forgets_the_end(records, finished, now):
    while first_at(finished) + 600 <= now:
        forget_first(records, finished)


def always_waits(poll, timeout, jump):
    return poll(timeout)


def waits_then_jumps(poll, timeout, jump):
    ready = poll(timeout)
    if not ready:
        jump(timeout)
    return ready


def never_waits(poll, timeout, jump):
    ready = poll(0)
    if not ready and timeout:
        jump(timeout)
    return ready


def jumps_without_a_timer(poll, timeout, jump):
    jump(timeout)
    return poll(0)


def jumps_first(poll, timeout, jump):
    if timeout is None:
        return poll(None)
    jump(timeout)
    return poll(0)


def polls_for_ever(poll, timeout, jump):
    ready = poll(0)
    while not ready:
        ready = poll(0)
    return ready


def never_polls(poll, timeout, jump):
    jump(timeout)
    return []


def jumps_a_little(poll, timeout, jump):
    if timeout is None:
        return poll(None)
    ready = poll(0)
    if not ready:
        jump(1)
    return ready


def drops_what_is_ready(poll, timeout, jump):
    poll(0)
    jump(timeout)


WRONG: dict[str, list[tuple[object, str]]] = {
    "forget": [
        (does_nothing, "still there"),
        (counts_from_the_submission, "not finished"),
        (leaves_the_index, "finished has"),
        (deletes_while_iterating, "RuntimeError: deque mutated"),
        (is_one_late, "exactly 600 s ago"),
        (is_early, "too early"),
        (takes_only_one, "still there"),
        (scans_all, "stop at the first that stays"),
        (never_stops, "it never ends"),
        (only_asks, "it never ends"),
        (forgets_the_end, "IndexError"),
    ],
    "select": [
        (always_waits, "it waits: poll(600)"),
        (waits_then_jumps, "it waits: poll(600)"),
        (never_waits, "wait for it, with poll(None)"),
        (jumps_without_a_timer, "past it"),
        (jumps_first, "past it"),
        (polls_for_ever, "again and again"),
        (never_polls, "never polls"),
        (jumps_a_little, "jumps by 1 s"),
        (drops_what_is_ready, "returns None"),
    ],
}
