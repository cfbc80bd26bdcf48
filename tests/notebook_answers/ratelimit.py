"""Wrong answers to 06-rate-limiting.

Each has words of the complaint that it must get.
"""

import math

WRONG: dict[str, list[tuple[object, str]]] = {
    "bursts": [
        ((..., ..., ...), "in place of the dots"),
        ((5, 5, 5), "just before a full minute"),
        ((10, 10, 9), "with a sliding window log"),
        ((10, 5, 5), "come back meanwhile"),
        ((10, 5, 10), "has just left the window"),
        ((10, 5, 19), "not 19 with a token bucket"),
    ]
}


def drop_the_old(times, now, window):
    while times and times[0] + window <= now:
        times.popleft()


def accept(times, now, limit):
    if len(times) >= limit:
        return False
    times.append(now)
    return True


def always(times, now, limit, window):
    return True


def accepts_and_forgets(times, now, limit, window):
    times = [time for time in times if time + window > now]
    return len(times) < limit


def returns_nothing(times, now, limit, window):
    if len(times) < limit:
        times.append(now)


def keeps_no_log(times, now, limit, window):
    times.append(now)
    return True


def counts_refused(times, now, limit, window):
    drop_the_old(times, now, window)
    times.append(now)
    return len(times) <= limit


def closed_window(times, now, limit, window):
    while times and times[0] + window < now:
        times.popleft()
    return accept(times, now, limit)


def drops_one_only(times, now, limit, window):
    if times and times[0] + window <= now:
        times.popleft()
    return accept(times, now, limit)


def drops_nothing(times, now, limit, window):
    if sum(time + window > now for time in times) < limit:
        times.append(now)
        return True
    return False


def drops_all(times, now, limit, window):
    if times and times[0] + window <= now:
        times.clear()
    return accept(times, now, limit)


def makes_room(times, now, limit, window):
    if len(times) >= limit:
        times.popleft()
        return False
    times.append(now)
    return True


def spins(times, now, limit, window):
    while times and times[0] + window <= now:
        pass
    return accept(times, now, limit)


def one_too_few(times, now, limit, window):
    drop_the_old(times, now, window)
    return accept(times, now, limit - 1)


def one_too_many(times, now, limit, window):
    drop_the_old(times, now, window)
    return accept(times, now, limit + 1)


def says_nothing_of_a_refusal(times, now, limit, window):
    drop_the_old(times, now, window)
    if len(times) < limit:
        times.append(now)
        return True
    return None


WRONG["hit"] = [
    (always, "times should be [0.0, 10.0], not []"),
    (accepts_and_forgets, "times should be [0.0, 10.0], not []"),
    (returns_nothing, "returns nothing"),
    (keeps_no_log, "it accepts a third request"),
    (counts_refused, "a refused request does not count"),
    (closed_window, "half-open"),
    (drops_one_only, "should leave times"),
    (drops_nothing, "should leave times"),
    (drops_all, "forgot too much"),
    (makes_room, "still in the window"),
    (spins, "takes nothing out"),
    (one_too_few, "though there is room"),
    (one_too_many, "a third request"),
    (says_nothing_of_a_refusal, "where it refuses, it returns None"),
]


def whole_window(times, now, limit, window):
    return window


def until(time, now, window):
    """Seconds until a request of ``time`` leaves the window."""
    return window - (now - time)


def forgets_room(times, now, limit, window):
    if not times:
        return 0
    return math.ceil(until(times[0], now, window))


def until_the_newest(times, now, limit, window):
    if len(times) < limit:
        return 0
    return math.ceil(until(times[-1], now, window))


def not_whole(times, now, limit, window):
    if len(times) < limit:
        return 0
    return until(times[0], now, window)


def rounds_down(times, now, limit, window):
    return int(not_whole(times, now, limit, window))


def rounds(times, now, limit, window):
    return round(not_whole(times, now, limit, window))


def one_more(times, now, limit, window):
    if len(times) < limit:
        return 0
    return int(until(times[0], now, window)) + 1


def only_ceil(times, now, limit, window):
    return math.ceil(not_whole(times, now, limit, window))


def two_more_if_in_doubt(times, now, limit, window):
    if len(times) < limit:
        return 0
    seconds = math.ceil(until(times[0], now, window))
    return seconds if times[0] + window <= now + seconds else seconds + 2


WRONG["wait"] = [
    (whole_window, "should be 0, not 60"),
    (forgets_room, "should be 0, not 55"),
    (until_the_newest, "room is made when the oldest does"),
    (not_whole, "whole seconds"),
    (rounds_down, "round up"),
    (rounds, "round up"),
    (one_more, "should be 45, not 46"),
    (only_ceil, "in 47 of 100,000 cases"),
    (two_more_if_in_doubt, "of 100,000 cases it is a second too many"),
]


def moves_when_refused(tat, now, limit, window):
    moved = max(tat, now) + window / limit
    return moved <= now + window, moved


def decides_nothing(tat, now, limit, window):
    pass


def only_whether(tat, now, limit, window):
    return True


def three_things(tat, now, limit, window):
    return True, tat, now


def refuses_all(tat, now, limit, window):
    return False, tat


def stands_still(tat, now, limit, window):
    return True, tat


def saves_up(tat, now, limit, window):
    moved = tat + window / limit
    if moved > now + window:
        return False, tat
    return True, moved


def no_burst(tat, now, limit, window):
    if now < tat:
        return False, tat
    return True, now + window / limit


def no_limit(tat, now, limit, window):
    return True, max(tat, now) + window / limit


def strictly(tat, now, limit, window):
    moved = max(tat, now) + window / limit
    if moved >= now + window:
        return False, tat
    return True, moved


def one_second_early(tat, now, limit, window):
    moved = max(tat, now) + window / limit
    if moved > now + window + 1:
        return False, tat
    return True, moved


def whole_seconds(tat, now, limit, window):
    moved = max(tat, now) + window // limit
    if moved > now + window:
        return False, tat
    return True, moved


WRONG["gcra"] = [
    (decides_nothing, "it returns nothing"),
    (only_whether, "return two things, like (True, 6.0), not True"),
    (three_things, "not 3"),
    (refuses_all, "the first request of all"),
    (stands_still, "should move tat to 6.0, not to 0.0"),
    (saves_up, "gets no fuller"),
    (no_burst, "it refuses number 2"),
    (strictly, "it refuses number 10"),
    (no_limit, "an eleventh request"),
    (moves_when_refused, "must not move tat"),
    (one_second_early, "too early"),
    (whole_seconds, "with 8 a minute"),
]
